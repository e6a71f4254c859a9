//! Which rule takes all requests of a later one, without a comparison of all pairs. Pure.
//!
//! A rule can only take all requests of another one if each of its conditions follows from those of the other. So it is filed
//! under one of its conditions, the one at which the fewest rules look, and a later rule looks at all conditions that follow
//! from its own.

use std::collections::HashMap;

use http::HeaderName;
use ipnet::IpNet;

use super::host_pattern::HostPattern;
use super::matcher::Match;
use super::pattern::ValuePattern;
use super::template::{Segment, Template};

/// A part of a condition, under which rules are filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mark<'m> {
    /// Of rules that have no other mark.
    None,
    /// This segment of the path is this text.
    Segment(usize, &'m str),
    Host(&'m str),
    HostBelow(&'m str),
    Client(IpNet),
    Header(&'m HeaderName, Value<'m>),
    Query(&'m str, Value<'m>),
    NotHeader(&'m HeaderName, Value<'m>),
    NotQuery(&'m str, Value<'m>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Value<'m> {
    Present,
    Equals(&'m [u8]),
    /// At most [`START`] bytes.
    StartsWith(&'m [u8]),
}

/// How much of the start of a value distinguishes it. A rule looks at each start of its own values.
const START: usize = 64;

/// Returns for each rule the index of the first one before it that takes all of its requests.
#[must_use]
pub(crate) fn first_covers(rules: &[&Match]) -> Vec<Option<usize>> {
    let implied: Vec<Vec<Mark<'_>>> = rules.iter().map(|rule| implied(rule)).collect();
    let mut looks: HashMap<Mark<'_>, usize> = HashMap::new();
    for mark in implied.iter().flatten() {
        *looks.entry(*mark).or_default() += 1;
    }
    let looks = |mark: &Mark<'_>| looks.get(mark).copied().unwrap_or_default();
    let mut filed: HashMap<Mark<'_>, Vec<usize>> = HashMap::new();
    let mut covers = Vec::with_capacity(rules.len());
    for (index, (rule, implied)) in rules.iter().zip(&implied).enumerate() {
        let takes_all = |earlier: &&usize| rules.get(**earlier).is_some_and(|earlier| earlier.covers(rule));
        // Those at a mark are in ascending order.
        let first_at = |mark: &Mark<'_>| filed.get(mark)?.iter().find(takes_all).copied();
        covers.push(implied.iter().filter_map(first_at).min());
        for mark in least_seen(&conditions(rule), looks) {
            filed.entry(mark).or_default().push(index);
        }
    }
    covers
}

/// The alternatives of a condition, of which one holds, each with its marks, all of which hold.
type Condition<'m> = Vec<Vec<Mark<'m>>>;

/// Returns the marks of the condition at which the fewest rules look, one for each of its alternatives.
fn least_seen<'m>(conditions: &[Condition<'m>], looks: impl Fn(&Mark<'m>) -> usize) -> Vec<Mark<'m>> {
    let marks = conditions.iter().filter_map(|alternatives| {
        let least = |marks: &Vec<Mark<'m>>| marks.iter().copied().min_by_key(&looks);
        alternatives.iter().map(least).collect::<Option<Vec<Mark<'m>>>>()
    });
    let total = |marks: &Vec<Mark<'m>>| marks.iter().map(&looks).sum::<usize>();
    marks.min_by_key(total).unwrap_or_else(|| vec![Mark::None])
}

/// Returns the conditions under which a rule can be filed.
fn conditions(rule: &Match) -> Vec<Condition<'_>> {
    let mut conditions = Vec::new();
    if !rule.path.is_any() {
        conditions.push(rule.path.templates().iter().map(|template| segments(template).collect()).collect());
    }
    if !rule.hosts.is_empty() {
        conditions.push(rule.hosts.iter().map(|host| vec![host_mark(host)]).collect());
    }
    if !rule.clients.is_empty() {
        conditions.push(rule.clients.iter().map(|network| vec![Mark::Client(*network)]).collect());
    }
    let headers = rule.headers.iter().map(|(name, pattern)| Mark::Header(name, value(pattern)));
    let query = rule.query.iter().map(|(name, pattern)| Mark::Query(name, value(pattern)));
    conditions.extend(headers.chain(query).map(|mark| vec![vec![mark]]));
    // What it excludes, the other rule has to exclude as well: itself, or more than that.
    for (name, pattern) in rule.not.iter().flat_map(|not| &not.headers) {
        conditions.push(implied_values(pattern).map(|value| vec![Mark::NotHeader(name, value)]).collect());
    }
    for (name, pattern) in rule.not.iter().flat_map(|not| &not.query) {
        conditions.push(implied_values(pattern).map(|value| vec![Mark::NotQuery(name, value)]).collect());
    }
    conditions
}

/// Returns the marks that a rule can be filed under if it takes all requests of this one. It takes those of each alternative
/// of a condition, so the first alternative is enough.
fn implied(rule: &Match) -> Vec<Mark<'_>> {
    let mut marks = vec![Mark::None];
    marks.extend(rule.path.templates().first().into_iter().flat_map(segments));
    if let Some(host) = rule.hosts.first() {
        marks.push(host_mark(host));
        let (HostPattern::Exact(name) | HostPattern::Below(name)) = host;
        let dots = name.match_indices('.').filter_map(|(at, _)| name.get(at..));
        marks.extend(dots.map(Mark::HostBelow));
    }
    let network = rule.clients.iter().next().copied();
    marks.extend(std::iter::successors(network, IpNet::supernet).map(Mark::Client));
    for (name, pattern) in &rule.headers {
        marks.extend(implied_values(pattern).map(|value| Mark::Header(name, value)));
    }
    for (name, pattern) in &rule.query {
        marks.extend(implied_values(pattern).map(|value| Mark::Query(name, value)));
    }
    if let Some(not) = &rule.not {
        marks.extend(not.headers.iter().map(|(name, pattern)| Mark::NotHeader(name, value(pattern))));
        marks.extend(not.query.iter().map(|(name, pattern)| Mark::NotQuery(name, value(pattern))));
    }
    marks
}

fn segments(template: &Template) -> impl Iterator<Item = Mark<'_>> {
    template.segments().iter().enumerate().filter_map(|(place, segment)| match segment {
        Segment::Literal(text) => Some(Mark::Segment(place, text)),
        Segment::Param(_) => None,
    })
}

fn host_mark(host: &HostPattern) -> Mark<'_> {
    match host {
        HostPattern::Exact(name) => Mark::Host(name),
        HostPattern::Below(suffix) => Mark::HostBelow(suffix),
    }
}

fn value(pattern: &ValuePattern) -> Value<'_> {
    match pattern {
        ValuePattern::Present => Value::Present,
        ValuePattern::Equals(whole) => Value::Equals(whole),
        ValuePattern::StartsWith(start) => Value::StartsWith(start.get(..START).unwrap_or(start)),
    }
}

/// Returns the demands that every value fulfils that is as this pattern demands.
fn implied_values(pattern: &ValuePattern) -> impl Iterator<Item = Value<'_>> {
    let text = match pattern {
        ValuePattern::Present => None,
        ValuePattern::Equals(text) | ValuePattern::StartsWith(text) => Some(text),
    };
    let starts = text.into_iter().flat_map(|text| (0..=START).map_while(|end| text.get(..end)));
    let starts = starts.map(Value::StartsWith);
    // A start is among its own starts.
    let whole = Some(value(pattern)).filter(|value| matches!(value, Value::Equals(_)));
    std::iter::once(Value::Present).chain(whole).chain(starts)
}
