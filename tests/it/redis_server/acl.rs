//! The least that Redis must allow: the lines that the reference gives, and none of their commands too many.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tempfile::TempDir;

use super::{Visitor, configured, decides, does_without_because, settings};
use crate::harness::{Cluster, Redis, Sentinels, Setup, Tidegate};

/// As the reference writes it, and the name of the file where it stands.
const PASSWORD: &str = "PASSWORD";

/// The lines of the reference.
#[derive(Clone, Copy)]
enum Line {
    OneServer,
    Database,
    BehindSentinel,
    Sentinel,
    Cluster,
}

impl Line {
    /// What stands behind `ACL SETUSER tidegate reset`.
    fn rules(self) -> Vec<&'static str> {
        let reference = include_str!("../../../docs/configuration.md");
        let section = reference
            .split("\n#### ")
            .find(|section| section.starts_with("The least that Redis must allow\n"));
        let lines =
            section.unwrap().lines().filter_map(|line| line.strip_prefix("ACL SETUSER tidegate reset "));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 5, "{lines:#?}");
        lines[self as usize].split(' ').collect()
    }

    fn commands(self) -> impl Iterator<Item = &'static str> {
        self.rules().into_iter().filter(|rule| rule.starts_with('+'))
    }

    /// The same without this command.
    fn without(self, command: &str) -> Vec<&'static str> {
        let rules = self.rules();
        let left: Vec<_> = rules.iter().copied().filter(|rule| *rule != command).collect();
        assert_eq!(left.len(), rules.len() - 1, "{command} is not in {rules:?}");
        left
    }
}

async fn allow(redis: &Redis, user: &str, rules: &[&str]) {
    let words = [&["ACL", "SETUSER", user, "reset"], rules].concat();
    let _: String = redis.command(&words).await;
}

/// A directory with the password of the reference in a file.
fn secrets() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(PASSWORD), PASSWORD).unwrap();
    directory
}

/// Settings to log in as that user.
fn login(user: &str, secrets: &TempDir) -> String {
    let file = secrets.path().join(PASSWORD);
    format!("username: '{user}', password_file: '{}'", file.display())
}

/// What tidegate does without where it is not allowed.
const OPTIONAL: [&str; 3] = ["client|setname", "info", "subscribe"];

/// With these permissions limits hold, and Redis refused only commands that are optional according to the reference.
async fn is_enough(servers: &[Redis], config: &str) {
    let (_upstream, tidegate) = configured(config).await;
    decides(&tidegate).await;
    let visitor = Visitor::new(&tidegate);
    for left in [1, 0] {
        assert_eq!(visitor.ask("/closed").await.left, Some(left));
    }
    assert_eq!(visitor.status("/closed").await, 429);
    for server in servers {
        let denied: Vec<BTreeMap<String, String>> = server.command(&["ACL", "LOG"]).await;
        assert!(denied.iter().all(|entry| OPTIONAL.contains(&&*entry["object"])), "{denied:#?}");
    }
}

/// With this little, nothing is decided, for a reason with these texts.
async fn is_too_little(config: &str, reason: &[&str]) {
    let (_upstream, tidegate) = configured(config).await;
    does_without_because(&tidegate, 1, |error| reason.iter().all(|text| error.contains(text))).await;
}

async fn on_one_server(line: Line, database: u8) {
    let (redis, secrets) = (Redis::start().await, secrets());
    let url = redis.url().replace("/0", &format!("/{database}"));
    let config = |user: &str| settings(&format!("url: '{url}', {}", login(user, &secrets)), 2);
    allow(&redis, "tidegate", &line.rules()).await;
    is_enough(std::slice::from_ref(&redis), &config("tidegate")).await;
    let each = line.commands().enumerate().map(async |(place, command)| {
        let user = format!("user-{place}");
        allow(&redis, &user, &line.without(command)).await;
        let (_upstream, tidegate) = configured(&config(&user)).await;
        let refuses =
            |error: &str| error.contains("no permissions") || error.contains("can't run this command");
        does_without_because(&tidegate, 1, refuses).await;
    });
    join_all(each).await;
    allow(&redis, "elsewhere", &[&line.without("~tidegate:*")[..], &["~other:*"]].concat()).await;
    is_too_little(&config("elsewhere"), &["NoPerm", "keys"]).await;
    let prefix = config("elsewhere").replace("url:", "key_prefix: other, url:");
    let (_upstream, tidegate) = configured(&prefix).await;
    decides(&tidegate).await;
}

#[tokio::test]
async fn one_server_needs_exactly_the_commands_of_the_reference() {
    on_one_server(Line::OneServer, 0).await;
}

#[tokio::test]
async fn another_database_needs_to_be_selected() {
    on_one_server(Line::Database, 3).await;
}

/// Users that lack one command of the reference.
const HINDERED: [&str; 2] = ["hindered-in-one", "hindered-in-another"];

#[tokio::test]
async fn behind_sentinels_exactly_the_commands_of_the_reference_are_needed() {
    let secrets = secrets();
    let users = |line: Line, less: &[&str]| {
        let hindered = less
            .iter()
            .enumerate()
            .flat_map(|(place, command)| [vec!["--user", HINDERED[place]], line.without(command)].concat());
        let words: Vec<&str> =
            ["--user", "tidegate"].into_iter().chain(line.rules()).chain(hindered).collect();
        Setup::plain(&words)
    };
    let asked: Vec<&str> = Line::Sentinel.commands().collect();
    let (servers, sentinels) = (users(Line::BehindSentinel, &["+role"]), users(Line::Sentinel, &asked));
    let topology = Sentinels::with(1, &servers, &sentinels).await;
    let config = |of_servers: &str, of_sentinels: &str| {
        let (urls, name) = (topology.urls().join(", ").replace("/0", ""), Sentinels::MASTER);
        let of_sentinels = login(of_sentinels, &secrets);
        let sentinel = format!("sentinel: {{ urls: [{urls}], master: {name}, {of_sentinels} }}");
        settings(&format!("{sentinel}, {}", login(of_servers, &secrets)), 2)
    };
    is_enough(&topology.servers, &config("tidegate", "tidegate")).await;
    is_too_little(&config(HINDERED[0], "tidegate"), &["NoPerm", "'role'"]).await;
    for (command, user) in asked.into_iter().zip(HINDERED) {
        is_too_little(&config("tidegate", user), &["NoPerm", &command[1..]]).await;
    }
}

/// A cluster where these users may do that.
async fn cluster(users: &[(&str, Vec<&str>)]) -> Cluster {
    let cluster = Cluster::start().await;
    for node in &cluster.nodes {
        for (user, rules) in users {
            allow(node, user, rules).await;
        }
    }
    cluster
}

/// Whether requests are decided in a slot that is on its way to another server.
async fn finds_what_is_on_its_way(cluster: &Cluster, tidegate: &Tidegate) -> bool {
    let visitor = Visitor::new(tidegate);
    assert_eq!(visitor.ask("/closed").await.left, Some(1));
    let mut keys = Vec::new();
    for master in &cluster.nodes[..3] {
        let found: Vec<String> = master.command(&["KEYS", "*:closed:*"]).await;
        keys.extend(found);
    }
    let slot = cluster.slot_of(&keys[0]).await;
    let migration = cluster.begin_migration(slot, (cluster.owner(slot).await + 1) % 3).await;
    cluster.move_keys(migration, 100).await;
    let told = visitor.ask("/closed").await;
    cluster.end_migration(migration).await;
    for master in &cluster.nodes[..3] {
        let _: String = master.command(&["FLUSHALL"]).await;
    }
    told.left == Some(0)
}

/// Whether a request that one slot refuses costs nothing in the other.
async fn gives_back(tidegate: &Tidegate) -> bool {
    let [one, other] = [Visitor::new(tidegate), Visitor::new(tidegate)];
    let ask = async |visitor: &Visitor<'_>, pair: &str| {
        let request = visitor.request("/pairs").header("X-Pair", format!("{pair} of {}", one.name));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&one, "first").await, 200);
    assert_eq!(ask(&one, "second").await, 429);
    ask(&other, "second").await == 200
}

#[tokio::test]
async fn a_cluster_needs_exactly_the_commands_of_the_reference() {
    let secrets = secrets();
    let less = |command| Line::Cluster.without(command);
    let users = [
        ("tidegate", Line::Cluster.rules()),
        ("lost", less("+cluster|slots")),
        ("turned-away", less("+asking")),
        ("stingy", less("+del")),
    ];
    let cluster = cluster(&users).await;
    let config = |user: &str| {
        let redis = format!("cluster: [{}], {}", cluster.urls().join(", "), login(user, &secrets));
        let pairs = "  - { name: pairs, match: { path: /pairs }, key: ['header:X-Client'], rate: 1/h, on_outage: closed }
global: [{ name: second, match: { path: /pairs }, key: ['header:X-Pair'], rate: 1/h, on_outage: closed }]
";
        settings(&redis, 2) + pairs
    };
    is_enough(&cluster.nodes, &config("tidegate")).await;
    is_too_little(&config("lost"), &["NoPerm", "'cluster|slots'"]).await;
    for (user, found, given_back) in
        [("tidegate", true, true), ("turned-away", false, true), ("stingy", true, false)]
    {
        let (_upstream, tidegate) = configured(&config(user)).await;
        decides(&tidegate).await;
        assert_eq!(gives_back(&tidegate).await, given_back, "{user}");
        // A server that refuses the command is not used for a while.
        decides(&tidegate).await;
        assert_eq!(finds_what_is_on_its_way(&cluster, &tidegate).await, found, "{user}");
    }
}
