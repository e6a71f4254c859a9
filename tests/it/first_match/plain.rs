//! A plain reference: rules and requests as they are written, compared one by one.

use std::net::Ipv4Addr;

use fastrand::Rng;

/// A condition, as the configuration has it.
#[derive(Clone, Debug)]
pub enum Condition {
    Path(Vec<String>),
    Methods(Vec<&'static str>),
    Hosts(Vec<&'static str>),
    Header(&'static str, &'static str),
    Query(&'static str, &'static str),
    Clients(Vec<(u32, u8)>),
    WebSocket(bool),
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub conditions: Vec<Condition>,
    pub not: Vec<Condition>,
}

/// A request, with all values of each name.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub host: &'static str,
    pub headers: Vec<(&'static str, &'static str)>,
    pub query: Vec<(&'static str, &'static str)>,
    pub client: u32,
    pub websocket: bool,
}

/// A request as one upstream reads it: at most one value of each name.
#[derive(Debug)]
pub struct Reading<'r> {
    request: &'r Request,
    segments: Vec<&'r str>,
    values: Vec<(Name, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Header(&'static str),
    Query(&'static str),
}

const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "DELETE"];
const HOSTS: [&str; 4] = ["a.test", "b.test", "x.b.test", "c.test"];
const HOST_PATTERNS: [&str; 4] = ["a.test", "'*.test'", "'*.b.test'", "c.test"];
const HEADERS: [&str; 3] = ["x-plan", "x-api-key", "x-region"];
const PARAMETERS: [&str; 3] = ["dry_run", "tag", "page"];
const VALUES: [&str; 6] = ["", "1", "11", "12", "2", "true"];
const PATTERNS: [&str; 6] = ["*", "1", "1*", "12", "2", "true"];

fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}

fn some<T: Copy + PartialEq>(random: &mut Rng, from: &[T]) -> Vec<T> {
    let mut picked = vec![pick(random, from)];
    while random.bool() {
        let another = pick(random, from);
        if !picked.contains(&another) {
            picked.push(another);
        }
    }
    picked
}

fn template(random: &mut Rng) -> String {
    let mut path = format!("/api/v{}", random.u8(1..3));
    for depth in 0..random.u8(1..4) {
        match random.u8(..6) {
            0 if depth > 0 => {
                path.push_str("/*");
                break;
            }
            1 => path.push_str(&format!("/{{p{depth}}}")),
            _ => path.push_str(&format!("/r{}", random.u8(..8))),
        }
    }
    path
}

fn condition(random: &mut Rng) -> Condition {
    match random.u8(..7) {
        0 => Condition::Path(vec![template(random)]),
        1 => Condition::Methods(some(random, &METHODS)),
        2 => Condition::Hosts(some(random, &HOST_PATTERNS)),
        3 => Condition::Header(pick(random, &HEADERS), pick(random, &PATTERNS)),
        4 => Condition::Query(pick(random, &PARAMETERS), pick(random, &PATTERNS)),
        5 => Condition::Clients(vec![(random.u32(..16), random.u8(28..=32)), (random.u32(..16), 32)]),
        _ => Condition::WebSocket(random.bool()),
    }
}

/// One condition for each key, so that it can be written as a mapping.
fn conditions(random: &mut Rng, path: Option<Vec<String>>, count: usize) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = path.map(Condition::Path).into_iter().collect();
    for _ in 0..count {
        let condition = condition(random);
        let kind = std::mem::discriminant(&condition);
        if conditions.iter().all(|other| std::mem::discriminant(other) != kind) {
            conditions.push(condition);
        }
    }
    conditions
}

impl Rule {
    pub fn random(random: &mut Rng) -> Self {
        let paths = (0..random.usize(1..4)).map(|_| template(random)).collect();
        let count = random.usize(1..4);
        let conditions = conditions(random, Some(paths), count);
        let excluded = if random.u8(..3) == 0 { random.usize(1..3) } else { 0 };
        Self { conditions, not: self::conditions(random, None, excluded) }
    }

    /// As the file has it.
    pub fn written(&self, name: usize) -> String {
        let mut keys: Vec<String> = self.conditions.iter().map(Condition::written).collect();
        if !self.not.is_empty() {
            let not: Vec<String> = self.not.iter().map(Condition::written).collect();
            keys.push(format!("not: {{ {} }}", not.join(", ")));
        }
        format!("- {{ name: '{name}', rate: 1/s, match: {{ {} }} }}\n", keys.join(", "))
    }

    /// Whether the conditions on the path hold, which are the same in every reading.
    pub fn has_path(&self, reading: &Reading<'_>) -> bool {
        let is_path = |condition: &&Condition| matches!(condition, Condition::Path(_));
        self.conditions.iter().filter(is_path).all(|condition| condition.holds(reading))
    }

    pub fn matches(&self, reading: &Reading<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(reading))
            && !self.not.iter().any(|condition| condition.holds(reading))
    }
}

impl Condition {
    fn written(&self) -> String {
        match self {
            Self::Path(paths) => format!("path: ['{}']", paths.join("', '")),
            Self::Methods(methods) => format!("methods: [{}]", methods.join(", ")),
            Self::Hosts(hosts) => format!("hosts: [{}]", hosts.join(", ")),
            Self::Header(name, pattern) => format!("headers: {{ {name}: '{pattern}' }}"),
            Self::Query(name, pattern) => format!("query: {{ {name}: '{pattern}' }}"),
            Self::Clients(networks) => {
                let written =
                    |(address, prefix): &(u32, u8)| format!("{}/{prefix}", Ipv4Addr::from(*address));
                format!("clients: [{}]", networks.iter().map(written).collect::<Vec<_>>().join(", "))
            }
            Self::WebSocket(wanted) => format!("websocket: {wanted}"),
        }
    }

    fn holds(&self, reading: &Reading<'_>) -> bool {
        let Reading { request, segments, .. } = reading;
        match self {
            Self::Path(paths) => paths.iter().any(|path| path_matches(path, segments)),
            Self::Methods(methods) => {
                methods.contains(&request.method) || (request.method == "HEAD" && methods.contains(&"GET"))
            }
            Self::Hosts(hosts) => hosts.iter().any(|host| match host.trim_matches('\'').strip_prefix('*') {
                Some(below) => request.host.ends_with(below),
                None => request.host == *host,
            }),
            Self::Header(name, pattern) => value_matches(pattern, reading.value(Name::Header(name))),
            Self::Query(name, pattern) => value_matches(pattern, reading.value(Name::Query(name))),
            Self::Clients(networks) => networks.iter().any(|(address, prefix)| {
                let host_bits = 32 - u32::from(*prefix);
                address.checked_shr(host_bits).unwrap_or(0)
                    == request.client.checked_shr(host_bits).unwrap_or(0)
            }),
            Self::WebSocket(wanted) => *wanted == request.websocket,
        }
    }
}

fn path_matches(template: &str, segments: &[&str]) -> bool {
    let mut rest = segments.iter();
    for part in template.split('/').skip(1) {
        match (part, rest.next()) {
            ("*", _) => return true,
            (part, Some(segment)) if part.starts_with('{') || part == *segment => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

fn value_matches(pattern: &str, value: Option<&str>) -> bool {
    match (pattern.strip_suffix('*'), value) {
        (_, None) => false,
        (Some(start), Some(value)) => value.starts_with(start),
        (None, Some(value)) => value == pattern,
    }
}

impl Request {
    pub fn random(random: &mut Rng) -> Self {
        let mut path = format!("/api/v{}", random.u8(1..3));
        for _ in 0..random.u8(1..4) {
            path.push_str(&format!("/r{}", random.u8(..8)));
        }
        let lines = |random: &mut Rng, names: &[&'static str]| {
            // Half of the requests have at most one value of each name.
            let count = random.usize(..4);
            let mut lines: Vec<(&str, &str)> =
                (0..count).map(|_| (pick(random, names), pick(random, &VALUES))).collect();
            if random.bool() {
                lines.sort_unstable();
                lines.dedup_by_key(|(name, _)| *name);
                lines.retain(|(_, value)| !value.is_empty());
            }
            lines
        };
        let websocket = random.u8(..8) == 0;
        Self {
            method: if websocket { "GET" } else { pick(random, &METHODS) },
            path,
            host: pick(random, &HOSTS),
            headers: lines(random, &HEADERS),
            query: lines(random, &PARAMETERS),
            client: random.u32(..20),
            websocket,
        }
    }

    /// The query as it is sent.
    pub fn query(&self) -> String {
        self.query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    /// Every choice of one value for each name; an empty value may also be none.
    pub fn readings(&self) -> Vec<Reading<'_>> {
        let headers = self.headers.iter().map(|(name, value)| (Name::Header(name), *value));
        let query = self.query.iter().map(|(name, value)| (Name::Query(name), *value));
        let all: Vec<(Name, &str)> = headers.chain(query).collect();
        let mut readings: Vec<Vec<(Name, &'static str)>> = vec![Vec::new()];
        for (index, (name, _)) in all.iter().enumerate() {
            if all[..index].iter().any(|(before, _)| before == name) {
                continue;
            }
            let mut choices: Vec<Option<&str>> = Vec::new();
            for (_, value) in all.iter().filter(|(other, _)| other == name) {
                choices.push(Some(value));
                choices.extend(value.is_empty().then_some(None));
            }
            choices.sort_unstable();
            choices.dedup();
            let with = |reading: &Vec<_>| {
                let chosen = choices.iter().map(|choice| choice.map(|value| (*name, value)));
                chosen.map(|chosen| reading.iter().copied().chain(chosen).collect()).collect::<Vec<_>>()
            };
            readings = readings.iter().flat_map(with).collect();
        }
        let segments: Vec<&str> = self.path.split('/').skip(1).collect();
        let reading = |values| Reading { request: self, segments: segments.clone(), values };
        readings.into_iter().map(reading).collect()
    }
}

impl Reading<'_> {
    fn value(&self, name: Name) -> Option<&'static str> {
        self.values.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }
}
