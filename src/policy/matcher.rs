//! Which requests a rule is for, and how the rule for a request is found among a thousand.

use std::collections::HashMap;

use http::{HeaderName, Method};

use super::Facts;
use super::header::HeaderPattern;
use super::template::{Segment, Template, split};

/// A host name, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `api.example.com`, in lower case.
    Exact(Box<str>),
    /// `*.example.com`, kept as `.example.com`.
    Below(Box<str>),
}

impl HostPattern {
    fn admits(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(name)) => self.admits(name),
            (Self::Below(mine), Self::Below(theirs)) => theirs.ends_with(&**mine),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

/// The conditions of a rule; all must hold. An empty list is no condition.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// GET stands for HEAD too.
    pub methods: Vec<Method>,
    /// The path.
    pub path: Template,
    /// One of them must admit the host.
    pub hosts: Vec<HostPattern>,
    /// Each must hold.
    pub headers: Vec<(HeaderName, HeaderPattern)>,
    /// Whether the request must be an upgrade to WebSocket, or must be none. None: no condition.
    pub websocket: Option<bool>,
}

/// What every upgrade to WebSocket is, over HTTP/1.1 (RFC 6455, section 4.1), and as it is matched over HTTP/2.
const UPGRADE_METHODS: &[Method] = &[Method::GET];

impl Match {
    /// Whether all conditions hold.
    #[must_use]
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.path.matches(facts.path) && self.admits(facts)
    }

    /// Whether the conditions other than the path hold.
    #[must_use]
    pub fn admits(&self, facts: &Facts<'_>) -> bool {
        self.admits_method(facts.method)
            && self.websocket.is_none_or(|websocket| websocket == facts.websocket)
            && (self.hosts.is_empty() || self.hosts.iter().any(|host| host.admits(facts.host)))
            && self.headers.iter().all(|(name, pattern)| pattern.admits(name, facts.headers))
    }

    /// Whether the condition on the method holds.
    #[must_use]
    pub fn admits_method(&self, method: &Method) -> bool {
        // Methods differ by case (RFC 9110, section 9.1), but there are applications that do not know.
        let listed =
            |method: &str| self.methods.iter().any(|each| each.as_str().eq_ignore_ascii_case(method));
        let head = method.as_str().eq_ignore_ascii_case("HEAD");
        self.methods.is_empty() || listed(method.as_str()) || (head && listed("GET"))
    }

    /// Whether every request that `other` admits is admitted by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let theirs = if other.websocket == Some(true) { UPGRADE_METHODS } else { &*other.methods };
        let methods = self.methods.is_empty()
            || (!theirs.is_empty() && theirs.iter().all(|method| self.admits_method(method)));
        // Without GET among its methods, a rule takes no upgrade.
        let no_upgrades = other.websocket == Some(false) || !other.admits_method(&Method::GET);
        let websocket = match self.websocket {
            None => true,
            Some(true) => other.websocket == Some(true),
            Some(false) => no_upgrades,
        };
        let hosts = self.hosts.is_empty()
            || (!other.hosts.is_empty()
                && other.hosts.iter().all(|theirs| self.hosts.iter().any(|mine| mine.covers(theirs))));
        let headers = self.headers.iter().all(|(name, mine)| {
            other.headers.iter().any(|(other, theirs)| other == name && mine.covers(theirs))
        });
        methods && websocket && hosts && headers && self.path.covers(&other.path)
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
    /// Builds the tree. A template's index is its position in `templates`.
    pub(crate) fn new<'a>(templates: impl Iterator<Item = &'a Template>) -> Self {
        let mut root = Self::default();
        for (index, template) in templates.enumerate() {
            let node = template.segments().iter().fold(&mut root, |node, segment| match segment {
                Segment::Literal(literal) => node.literals.entry(literal.clone()).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
            });
            if template.is_open() { node.open.push(index) } else { node.exact.push(index) }
        }
        root
    }

    /// Returns the lowest index of a template that matches the canonical `path` and that `admits` admits.
    #[must_use]
    pub(crate) fn first(&self, path: &str, admits: impl Fn(usize) -> bool) -> Option<usize> {
        self.first_below(split(path), None, &admits)
    }

    /// Returns the lowest such index below this node, or `found` if that is lower.
    fn first_below<'a>(
        &self,
        mut rest: impl Iterator<Item = &'a str> + Clone,
        found: Option<usize>,
        admits: &impl Fn(usize) -> bool,
    ) -> Option<usize> {
        // The indices at a node are in ascending order.
        let lowest = |found: Option<usize>, indices: &[usize]| {
            for &index in indices {
                if found.is_some_and(|found| found < index) {
                    return found;
                }
                if admits(index) {
                    return Some(index);
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
