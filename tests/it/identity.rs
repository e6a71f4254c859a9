//! Whom a request comes from, and who is let past the limits.

mod bypass;
mod lists;
mod spellings;
mod untrusted;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Tidegate, Upstream, Wire, client, client_from};

/// Asks as two clients might, and tells whether tidegate takes them for one.
struct Twins {
    tidegate: Tidegate,
    _upstream: Upstream,
    fresh: AtomicUsize,
}

/// How a request is sent: from which address, with which header lines.
type Sender<'s> = (&'s str, &'s [&'s str]);

impl Twins {
    /// `client` are the settings under `client:`.
    async fn with(client: &str) -> Self {
        let upstream = Upstream::start().await;
        let config = format!(
            "store: {{ memory: {{}} }}
client: {{ {client} }}
rules: [{{ name: once, match: {{ path: '/{{fresh}}' }}, key: [client_ip, 'path:fresh'], rate: 1/h }}]"
        );
        let tidegate = Tidegate::configured(upstream.address, &config).await;
        Self { tidegate, _upstream: upstream, fresh: AtomicUsize::new(0) }
    }

    async fn are_one(&self, first: Sender<'_>, second: Sender<'_>) -> bool {
        let path = self.tidegate.url(&format!("/{}", self.fresh.fetch_add(1, Ordering::Relaxed)));
        let ask = async |(address, lines): Sender<'_>| {
            let mut request = client_from(address).get(&path);
            for line in lines {
                let (name, value) = line.split_once(": ").unwrap();
                request = request.header(name, value);
            }
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(ask(first).await, 200, "{first:?}");
        ask(second).await == 429
    }

    /// Whether a request through the trusted proxy counts as `client`'s, who is named in the plain way.
    async fn comes_from(&self, lines: &[&str], client: &str) -> bool {
        self.are_one(("127.0.0.1", lines), ("127.0.0.1", &[&format!("X-Forwarded-For: {client}")])).await
    }
}

const HERE: Sender<'_> = ("127.0.0.1", &[]);
const THERE: Sender<'_> = ("127.0.0.2", &[]);

#[tokio::test]
async fn without_trusted_proxies_the_peer_is_the_client_whatever_it_says() {
    let twins = Twins::with("").await;
    assert!(twins.are_one(HERE, HERE).await);
    assert!(!twins.are_one(HERE, THERE).await);
    for forged in [
        "X-Forwarded-For: 203.0.113.9",
        "Forwarded: for=203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "True-Client-IP: 203.0.113.9",
        "CF-Connecting-IP: 203.0.113.9",
        "X-Client-IP: 203.0.113.9",
        "X-Forwarded-For: 127.0.0.2",
    ] {
        assert!(
            twins.are_one(HERE, ("127.0.0.1", &[forged])).await,
            "{forged} made another client of the same"
        );
        assert!(!twins.are_one(THERE, ("127.0.0.1", &[forged])).await, "{forged} made it somebody else");
    }
}

#[tokio::test]
async fn a_peer_that_is_no_trusted_proxy_is_not_believed() {
    let twins = Twins::with("trusted_proxies: [127.0.0.1, 10.0.0.0/8]").await;
    assert!(twins.are_one(THERE, ("127.0.0.2", &["X-Forwarded-For: 203.0.113.9"])).await);
    // That it names itself behind a trusted proxy's address changes nothing either.
    assert!(twins.are_one(THERE, ("127.0.0.2", &["X-Forwarded-For: 203.0.113.9, 10.0.0.1"])).await);
}

#[tokio::test]
async fn behind_trusted_proxies_the_first_stranger_from_the_right_is_the_client() {
    let twins = Twins::with("trusted_proxies: [127.0.0.1, 10.0.0.0/8]").await;
    let stranger = "203.0.113.9";
    for lines in [
        &["X-Forwarded-For: 203.0.113.9"][..],
        &["X-Forwarded-For: 198.51.100.1, 203.0.113.9"],
        &["X-Forwarded-For: 198.51.100.1,203.0.113.9 , 10.1.1.1,10.2.2.2"],
        &["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 10.1.1.1"],
        &["X-Forwarded-For: 203.0.113.9:4711"],
        &["X-Forwarded-For: ::ffff:203.0.113.9, ::ffff:10.1.1.1"],
        &["X-Forwarded-For: unknown, 203.0.113.9"],
        &["X-Forwarded-For: 203.0.113.9", "Forwarded: for=198.51.100.1"],
        &["X-Forwarded-For: 203.0.113.9", "X-Real-IP: 198.51.100.1"],
    ] {
        assert!(twins.comes_from(lines, stranger).await, "{lines:?}");
    }
    // Only trusted proxies in the list: the leftmost of them is the one who asks.
    assert!(twins.comes_from(&["X-Forwarded-For: 10.9.9.9, 10.1.1.1"], "10.9.9.9").await);
    assert!(
        !twins.comes_from(&["X-Forwarded-For: 203.0.113.9, 198.51.100.1"], stranger).await,
        "forged on the left"
    );
}

#[tokio::test]
async fn an_entry_that_is_no_address_ends_the_walk_at_the_last_one_that_is() {
    let twins = Twins::with("trusted_proxies: [127.0.0.1, 10.0.0.0/8]").await;
    for garbage in ["unknown", "203.0.113.999", "localhost", "-", "203.0.113.9 198.51.100.1", "\u{fc}"] {
        let (alone, before) =
            (format!("X-Forwarded-For: {garbage}"), format!("X-Forwarded-For: 203.0.113.9, {garbage}"));
        assert!(twins.are_one(HERE, ("127.0.0.1", &[&alone])).await, "{garbage:?} made another client");
        assert!(twins.are_one(HERE, ("127.0.0.1", &[&before])).await, "{garbage:?} was skipped");
        let behind = format!("X-Forwarded-For: 203.0.113.9, {garbage}, 10.1.1.1");
        if !garbage.contains('\u{fc}') {
            assert!(twins.comes_from(&[&behind], "10.1.1.1").await, "{garbage:?} was skipped");
        }
    }
}

#[tokio::test]
async fn an_empty_element_names_no_client() {
    let twins = Twins::with("trusted_proxies: [127.0.0.1, 10.0.0.0/8]").await;
    for lines in [
        &["X-Forwarded-For: 203.0.113.9,"][..],
        &["X-Forwarded-For: ,203.0.113.9"],
        &["X-Forwarded-For: 203.0.113.9, ,\t, 10.1.1.1,,"],
        &["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: ", "X-Forwarded-For: ,"],
    ] {
        assert!(twins.comes_from(lines, "203.0.113.9").await, "{lines:?} made another client");
    }
    for empty in ["X-Forwarded-For: ", "X-Forwarded-For: , ,"] {
        assert!(twins.are_one(HERE, ("127.0.0.1", &[empty])).await, "{empty:?} made another client");
    }
}

#[tokio::test]
async fn every_spelling_of_an_ipv6_address_is_in_its_network() {
    let twins = Twins::with("trusted_proxies: [127.0.0.1]").await;
    let same =
        ["2001:db8:1:2::1", "2001:0DB8:0001:0002:ffff::9", "[2001:db8:1:2::1]:443", "2001:db8:1:2::1%eth0"];
    for spelled in same {
        let line = format!("X-Forwarded-For: {spelled}");
        assert!(twins.comes_from(&[&line], "2001:db8:1:2:3:4:5:6").await, "{spelled} is in the same /64");
        assert!(!twins.comes_from(&[&line], "2001:db8:1:3::1").await, "{spelled} is in another /64");
    }
}

#[tokio::test]
async fn ipv6_clients_may_be_told_apart_by_their_whole_address() {
    let whole = Twins::with("trusted_proxies: [127.0.0.1], ipv6_prefix: 128").await;
    assert!(!whole.comes_from(&["X-Forwarded-For: 2001:db8::1"], "2001:db8::2").await);
    assert!(whole.comes_from(&["X-Forwarded-For: 2001:db8::1"], "2001:db8:0::1").await);
}

#[tokio::test]
async fn the_forwarded_header_is_read_instead_where_the_file_says_so() {
    let twins = Twins::with("trusted_proxies: [127.0.0.1, 10.0.0.0/8, 'fd00::/8'], header: forwarded").await;
    let plain = &["Forwarded: for=203.0.113.9"][..];
    for lines in [
        &["Forwarded: for=198.51.100.1, For=\"203.0.113.9:80\";proto=https, for=10.1.1.1"][..],
        &[
            "Forwarded: for=198.51.100.1",
            "Forwarded: by=10.1.1.1;for=203.0.113.9",
            "Forwarded: for=\"[fd00::1]:9\"",
        ],
        &["Forwarded: proto=http;host=a;for=203.0.113.9", "X-Forwarded-For: 198.51.100.1"],
        &["Forwarded: , for=203.0.113.9, ,\t,", "Forwarded: "],
    ] {
        assert!(twins.are_one(("127.0.0.1", lines), ("127.0.0.1", plain)).await, "{lines:?}");
    }
    for lines in [
        &["X-Forwarded-For: 203.0.113.9"][..],
        &["Forwarded: for=_hidden"],
        &["Forwarded: for=unknown"],
        &["Forwarded: by=203.0.113.9"],
    ] {
        assert!(twins.are_one(("127.0.0.1", lines), HERE).await, "{lines:?} made another client");
    }
}

#[tokio::test]
async fn a_dual_stack_listener_knows_ipv4_peers_as_ipv4() {
    let upstream = Upstream::start().await;
    let Ok(_) = std::net::TcpListener::bind("[::]:0") else { return };
    let config = "store: { memory: {} }
client: { trusted_proxies: [127.0.0.1] }
bypass: [{ name: office, cidrs: [127.0.0.2] }]
rules: [{ name: once, rate: 1/h }]";
    let tidegate = Tidegate::configured_with(upstream.address, config, &["--listen=[::]:0"]).await;
    let url = format!("http://127.0.0.1:{}/", tidegate.address.port());
    let status = async |client: reqwest::Client, forwarded: &str| {
        client.get(&url).header("X-Forwarded-For", forwarded).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(client(), "203.0.113.9").await, 200);
    assert_eq!(status(client(), "203.0.113.9").await, 429);
    assert_eq!(status(client(), "203.0.113.10").await, 200, "the proxy at 127.0.0.1 is not believed");
    for _ in 0..3 {
        assert_eq!(
            status(client_from("127.0.0.2"), "203.0.113.9").await,
            200,
            "127.0.0.2 is not let through"
        );
    }
    assert_eq!(
        upstream.last().headers["x-forwarded-for"],
        "127.0.0.2",
        "a peer that is no proxy of ours has its word passed on"
    );
    let mut wire = Wire::to(format!("[::1]:{}", tidegate.address.port()).parse().unwrap()).await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    assert_eq!(
        wire.ask("GET /", &["X-Forwarded-For: 203.0.113.11"]).await.status,
        429,
        "::1 is no trusted proxy"
    );
}

const BYPASSES: &str = "
store: { memory: {} }
client: { trusted_proxies: [127.0.0.1] }
bypass:
  - { name: probes, paths: [/healthz, '/static/*'] }
  - { name: batch, cidrs: [127.0.0.2, 203.0.113.0/24] }
  - { name: internal, header: X-Internal-Token, secret_file: token }
rules: [{ name: everything, key: [], rate: 1/h }]
";

async fn with_bypasses(upstream: &Upstream) -> Tidegate {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "correct-horse-battery\n").unwrap();
    let config = BYPASSES.replace("secret_file: token", &format!("secret_file: '{}'", token.display()));
    // The secret is read at the start.
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    // The one request that the rule has room for.
    assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
    tidegate
}

#[tokio::test]
async fn a_bypass_lets_only_its_own_requests_through() {
    let upstream = Upstream::start().await;
    let tidegate = with_bypasses(&upstream).await;
    let status = async |(address, lines): Sender<'_>, path: &str| {
        let mut request = client_from(address).get(tidegate.url(path));
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    for path in ["/healthz", "/healthz/", "/static/a/b.css", "//healthz", "/static"] {
        assert_eq!(status(HERE, path).await, 200, "{path}");
    }
    for path in ["/healthz/x", "/healthzz", "/statics", "/static/../secret", "/x/healthz", "/x?/healthz"] {
        assert_eq!(status(HERE, path).await, 429, "{path}");
    }
    assert_eq!(status(THERE, "/").await, 200, "from the network itself");
    assert_eq!(status(("127.0.0.3", &[]), "/").await, 429, "from beside the network");
    for claimed in [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 127.0.0.2",
        "X-Forwarded-For: 127.0.0.2, 127.0.0.1",
    ] {
        assert_eq!(status(("127.0.0.1", &[claimed]), "/").await, 429, "{claimed}, a network by hearsay");
    }
    let (right, wrong) =
        ("X-Internal-Token: correct-horse-battery", "X-Internal-Token: correct-horse-batterx");
    assert_eq!(status(("127.0.0.1", &[right]), "/").await, 200);
    for lines in [
        &[wrong][..],
        &["X-Internal-Token: "],
        &["X-Internal-Token: correct-horse-batter"],
        &[right, right],
        &[right, wrong],
        &[wrong, right],
        &["X-Internal-Token: CORRECT-HORSE-BATTERY"],
        &["Authorization: correct-horse-battery"],
    ] {
        assert_eq!(status(("127.0.0.1", lines), "/").await, 429, "{lines:?}");
    }
    assert_eq!(tidegate.counted("probes", "bypassed").await, 5.0);
    assert_eq!(tidegate.counted("batch", "bypassed").await, 1.0);
    assert_eq!(tidegate.counted("internal", "bypassed").await, 1.0);
    assert_eq!(tidegate.counted("everything", "limited").await, 18.0);
}

#[tokio::test]
async fn no_header_makes_a_proxy_speak_for_itself() {
    let upstream = Upstream::start().await;
    let config = "store: { memory: {} }
client: { trusted_proxies: [127.0.0.0/8] }
bypass: [{ name: office, cidrs: [127.0.0.0/8] }]
rules: [{ name: none, key: [], rate: 1/h }]";
    let tidegate = Tidegate::configured(upstream.address, config).await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 200, "the proxy itself is let through");
    assert_eq!(wire.ask("GET /", &["X-Forwarded-For: 203.0.113.1"]).await.status, 200);
    for forged in [
        "X-Forwarded-For: unknown",
        "X-Forwarded-For: \u{e9}, 203.0.113.1",
        "X-Forwarded-For: 127.0.0.1, 127.0.0.7",
        "Forwarded: for=_hidden",
        "Forwarded: for=127.0.0.1",
    ] {
        assert_eq!(wire.ask("GET /", &[forged]).await.status, 429, "{forged} is a way past the limits");
    }
}

#[tokio::test]
async fn what_a_client_puts_in_quotes_is_not_what_the_proxy_says() {
    let twins = Twins::with("trusted_proxies: [127.0.0.1], header: forwarded").await;
    let me = "127.0.0.1";
    for (one, other) in [
        (
            "for=203.0.113.9;host=\"evil,for=198.51.100.1;x=y\"",
            "for=203.0.113.9;host=\"evil,for=198.51.100.2;x=y\"",
        ),
        ("host=\"evil;for=198.51.100.1\";for=203.0.113.9", "for=203.0.113.9"),
        ("for=\"198.51.100.1, for=203.0.113.9", "for=203.0.113.9"),
        ("for=198.51.100.1, for=\"[2001:db8::9]:4711\"", "for=\"[2001:db8::9]\""),
    ] {
        let (one, other) = (format!("Forwarded: {one}"), format!("Forwarded: {other}"));
        assert!(twins.are_one((me, &[&one]), (me, &[&other])).await, "{one} / {other}");
    }
}
