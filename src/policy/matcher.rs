//! Which requests a rule is for, and how the rule for a request is found among a thousand.

use std::collections::HashMap;

use http::{HeaderName, Method};

use super::Facts;
use super::condition::{Condition, has_host, has_method};
use super::header;
use super::holds::Holds;
use super::host_pattern::HostPattern;
use super::networks::Networks;
use super::paths::Paths;
use super::pattern::ValuePattern;
use super::template::{Segment, split};

/// The conditions of a rule; all must hold. An empty list is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// GET stands for HEAD too.
    pub methods: Vec<Method>,
    /// One of them must match the path.
    pub path: Paths,
    /// One of them must admit the host.
    pub hosts: Vec<HostPattern>,
    /// Each must hold.
    pub headers: Vec<(HeaderName, ValuePattern)>,
    /// Each must hold.
    pub query: Vec<(Box<str>, ValuePattern)>,
    /// The client's address must be in one of them.
    pub clients: Networks,
    /// Whether the request must be an upgrade to WebSocket, or must be none. None: no condition.
    pub websocket: Option<bool>,
    /// None of its conditions may hold. It has no `not` of its own.
    pub not: Option<Box<Match>>,
}

impl Match {
    /// Returns whether all conditions hold.
    #[must_use]
    pub fn holds(&self, facts: &Facts<'_>) -> Holds {
        if self.path.matches(facts.path) { self.holds_besides_path(facts) } else { Holds::Never }
    }

    /// Returns whether the conditions other than that on the path hold.
    #[must_use]
    pub(super) fn holds_besides_path(&self, facts: &Facts<'_>) -> Holds {
        let plain = (self.methods.is_empty() || has_method(&self.methods, facts.method))
            && self.websocket.is_none_or(|websocket| websocket == facts.websocket)
            && (self.hosts.is_empty() || has_host(&self.hosts, facts.host))
            && (self.clients.is_empty() || self.clients.contains(facts.client.address));
        let mut holds = Holds::from(plain);
        for (name, pattern) in &self.headers {
            if !holds.is_possible() {
                return holds;
            }
            holds = holds.and(header::holds(name, pattern, facts.headers));
        }
        for (name, pattern) in &self.query {
            if !holds.is_possible() {
                return holds;
            }
            holds = holds.and(facts.query.holds(name, pattern));
        }
        match &self.not {
            Some(not) if holds.is_possible() => {
                let excluded = not.conditions().map(|condition| condition.holds(facts));
                holds.and(excluded.fold(Holds::Never, Holds::or).not())
            }
            _ => holds,
        }
    }

    /// The conditions, without those of `not`.
    pub fn conditions(&self) -> impl Iterator<Item = Condition<'_>> {
        let path = (!self.path.is_any()).then_some(Condition::Path(&self.path));
        let methods = (!self.methods.is_empty()).then_some(Condition::Methods(&self.methods));
        let hosts = (!self.hosts.is_empty()).then_some(Condition::Hosts(&self.hosts));
        let clients = (!self.clients.is_empty()).then_some(Condition::Clients(&self.clients));
        let websocket = self.websocket.map(Condition::WebSocket);
        let headers = self.headers.iter().map(|(name, pattern)| Condition::Header(name, pattern));
        let query = self.query.iter().map(|(name, pattern)| Condition::Query(name, pattern));
        let single = [path, methods, hosts, clients, websocket].into_iter().flatten();
        single.chain(headers).chain(query)
    }

    /// The conditions of which none may hold.
    pub fn exclusions(&self) -> impl Iterator<Item = Condition<'_>> {
        self.not.iter().flat_map(|not| not.conditions())
    }

    /// The names of the headers that it reads.
    pub(super) fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        let not = self.not.iter().flat_map(|not| &not.headers);
        self.headers.iter().chain(not).map(|(name, _)| name)
    }

    /// Returns the condition that holds for each request of the rule although `not` has it, so that the rule has no request.
    #[must_use]
    pub fn contradiction(&self) -> Option<Condition<'_>> {
        self.exclusions().find(|excluded| self.conditions().any(|condition| condition.implies(excluded)))
    }

    /// Returns whether every request for which the conditions of `other` hold is one for which these hold too. `false` may
    /// be wrong: where several conditions together imply one, it counts as not implied.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let holds = |mine: Condition<'_>| other.conditions().any(|theirs| theirs.implies(&mine));
        let fails = |mine: Condition<'_>| {
            other.exclusions().any(|theirs| mine.implies(&theirs))
                || other.conditions().any(|theirs| theirs.excludes(&mine))
        };
        self.conditions().all(holds) && self.exclusions().all(fails)
    }
}

/// The templates of all rules as a tree of segments, so that the time to find a rule does not grow with their
/// number. It is a tree of our own because precedence is the file's order, where routers of the usual kind
/// let the more specific route win and refuse two names for one parameter.
#[derive(Debug, Default)]
pub(crate) struct Index {
    literals: HashMap<Box<str>, Index, foldhash::fast::RandomState>,
    param: Option<Box<Index>>,
    /// The indices of the rules whose template ends here.
    exact: Vec<usize>,
    /// The indices of the rules whose template ends here in `*`.
    open: Vec<usize>,
}

impl Index {
    /// Builds the tree. The index of a rule is its position in `rules`.
    pub(crate) fn new<'a>(rules: impl Iterator<Item = &'a Paths>) -> Self {
        let mut root = Self::default();
        for (index, paths) in rules.enumerate() {
            for template in paths.templates() {
                let node = template.segments().iter().fold(&mut root, |node, segment| match segment {
                    Segment::Literal(literal) => node.literals.entry(literal.clone()).or_default(),
                    Segment::Param(_) => node.param.get_or_insert_default(),
                });
                if template.is_open() { node.open.push(index) } else { node.exact.push(index) }
            }
        }
        root
    }

    /// Returns the lowest index, `from` this one on, of a rule that has the canonical `path` and for which `holds` returns
    /// that its other conditions hold, and in how many readings they do.
    #[must_use]
    pub(crate) fn first(
        &self,
        path: &str,
        from: usize,
        holds: impl Fn(usize) -> Holds,
    ) -> Option<(usize, Holds)> {
        let admits = |index| if index < from { Holds::Never } else { holds(index) };
        self.first_below(split(path), None, &admits)
    }

    /// Returns the lowest such index below this node, or `found` if that is lower.
    fn first_below<'a>(
        &self,
        mut rest: impl Iterator<Item = &'a str> + Clone,
        found: Option<(usize, Holds)>,
        admits: &impl Fn(usize) -> Holds,
    ) -> Option<(usize, Holds)> {
        // The indices at a node are in ascending order.
        let lowest = |found: Option<(usize, Holds)>, indices: &[usize]| {
            for &index in indices {
                if found.is_some_and(|(found, _)| found < index) {
                    return found;
                }
                let holds = admits(index);
                if holds.is_possible() {
                    return Some((index, holds));
                }
            }
            found
        };
        let found = lowest(found, &self.open);
        let Some(segment) = rest.next() else { return lowest(found, &self.exact) };
        let found = match self.literals.get(segment) {
            Some(node) => node.first_below(rest.clone(), found, admits),
            None => found,
        };
        match self.param.as_deref().filter(|_| !segment.is_empty()) {
            Some(node) => node.first_below(rest, found, admits),
            None => found,
        }
    }
}
