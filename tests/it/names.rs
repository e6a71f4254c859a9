//! Names in clients' certificates, from the handshake to the limit.

use rcgen::SanType;
use tokio::net::{TcpSocket, TcpStream};

use crate::authority::{Authority, Pair};
use crate::harness::{Tidegate, Upstream, Wire};

struct Mesh {
    upstream: Upstream,
    tidegate: Tidegate,
    server: Authority,
    clients: Authority,
    _directory: tempfile::TempDir,
}

impl Mesh {
    /// Clients may show a certificate or not.
    async fn with(rest: &str) -> Self {
        let upstream = Upstream::start().await;
        let (server, clients, directory) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
        let write = |name: &str, text: String| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let own = server.sign("localhost");
        let (own, ca) = (write("own.pem", own.certificate + &own.key), write("ca.pem", clients.pem()));
        let tls = format!("cert_file: {own}, key_file: {own}, client_ca_file: {ca}, client_auth: optional");
        let config =
            format!("tls: {{ {tls} }}\nupstream: {}\nstore: {{ memory: {{}} }}\n{rest}", upstream.url());
        let tidegate = Tidegate::described(&config).await;
        Self { upstream, tidegate, server, clients, _directory: directory }
    }

    fn sign(&self, names: &[&str]) -> Pair {
        let names = names.iter().map(|&name| match name.contains(':') {
            true => SanType::URI(name.try_into().unwrap()),
            false => SanType::DnsName(name.try_into().unwrap()),
        });
        self.clients.sign_names(names.collect())
    }

    /// The status of one request on a connection of its own.
    async fn ask(&self, shown: Option<&Pair>, lines: &[&str]) -> u16 {
        self.ask_from("127.0.0.1", shown, lines).await
    }

    async fn ask_from(&self, address: &str, shown: Option<&Pair>, lines: &[&str]) -> u16 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        let stream: TcpStream = socket.connect(self.tidegate.address).await.unwrap();
        let stream = self.server.connect(stream, shown, "http/1.1").await.unwrap();
        Wire::over(stream).ask("GET /", lines).await.status
    }
}

const JOBS: &str = "spiffe://prod/ns/jobs/sa/nightly";

#[tokio::test]
async fn a_bypass_goes_by_any_name_of_the_certificate() {
    let mesh = Mesh::with(
        "bypass: [{ name: mesh, client_san: ['spiffe://prod/ns/jobs/*', batch.internal] }]\n\
         rules: [{ name: x, key: [], rate: 1/h }]",
    )
    .await;
    assert_eq!(mesh.ask(None, &[]).await, 200, "the one request that the rule has room for");
    for names in
        [&[JOBS][..], &["other.internal", JOBS], &["batch.internal"], &["spiffe://a/b", "BATCH.internal"]]
    {
        let pair = mesh.sign(names);
        for _ in 0..2 {
            assert_eq!(mesh.ask(Some(&pair), &[]).await, 200, "{names:?}");
        }
    }
    for names in [
        &["spiffe://prod/ns/jobs/"][..],
        &["spiffe://prod/ns/jobsite/sa/a"],
        &["spiffe://Prod/ns/jobs/sa/a"],
        &["spiffe://evil/spiffe://prod/ns/jobs/sa/a"],
        &["batch.internal.evil"],
        &["a.batch.internal"],
        &["*.internal"],
        &[],
    ] {
        assert_eq!(mesh.ask(Some(&mesh.sign(names)), &[]).await, 429, "{names:?}");
    }
    assert_eq!(mesh.ask(None, &[]).await, 429, "nobody");
    // A name in a header is not one in a certificate.
    let line = format!("X-Forwarded-Client-Cert: URI={JOBS}");
    assert_eq!(mesh.ask(None, &[&line]).await, 429);
    assert_eq!(mesh.tidegate.counted("mesh", "bypassed").await, 8.0);
}

#[tokio::test]
async fn each_name_has_a_limit_of_its_own() {
    let mesh = Mesh::with("rules: [{ name: x, key: 'tls:san', rate: 1/h }]").await;
    let pairs = [mesh.sign(&[JOBS]), mesh.sign(&["spiffe://prod/ns/web/sa/b"]), mesh.sign(&["a.internal"])];
    for pair in &pairs {
        assert_eq!(mesh.ask(Some(pair), &[]).await, 200);
        assert_eq!(mesh.ask(Some(pair), &[]).await, 429);
    }
    // A renewed certificate is the same client's, wherever it connects from; the first URI stands for it.
    for names in [&[JOBS][..], &["z.internal", JOBS], &[JOBS, "spiffe://prod/another"]] {
        assert_eq!(mesh.ask_from("127.0.0.3", Some(&mesh.sign(names)), &[]).await, 429, "{names:?}");
    }
    // Without a certificate, and with one without a name, it is the address that counts.
    assert_eq!(mesh.ask(None, &[]).await, 200);
    assert_eq!(mesh.ask(Some(&mesh.sign(&[])), &[]).await, 429);
    assert_eq!(mesh.ask_from("127.0.0.3", None, &[]).await, 200);
}

#[tokio::test]
async fn without_a_certificate_the_rule_says_what_happens() {
    for (on_missing, statuses) in
        [("reject", [400, 400]), ("skip", [200, 200]), ("shared", [200, 429]), ("client_ip", [200, 200])]
    {
        let rule = format!("{{ name: x, key: 'tls:san', on_missing: {on_missing}, rate: 1/h }}");
        let mesh = Mesh::with(&format!("rules: [{rule}]")).await;
        let mut seen = Vec::new();
        for address in ["127.0.0.1", "127.0.0.2"] {
            seen.push(mesh.ask_from(address, None, &[]).await);
        }
        assert_eq!(seen, statuses, "{on_missing}");
        assert_eq!(mesh.ask(Some(&mesh.sign(&[JOBS])), &[]).await, 200, "{on_missing}");
    }
}

#[tokio::test]
async fn a_proxy_that_forwards_does_not_lend_its_name() {
    let mesh = Mesh::with(
        "client: { trusted_proxies: 127.0.0.2 }\nbypass: [{ name: mesh, client_san: 'spiffe://prod/*' }]\n\
         rules: [{ name: x, key: 'tls:san', on_missing: reject, rate: 1/h }]",
    )
    .await;
    let pair = mesh.sign(&[JOBS]);
    let forwarding = "X-Forwarded-For: 203.0.113.9";
    // On its own behalf it has its name, and so has a peer that only claims to forward.
    assert_eq!(mesh.ask_from("127.0.0.2", Some(&pair), &[]).await, 200);
    assert_eq!(mesh.ask_from("127.0.0.1", Some(&pair), &[forwarding]).await, 200);
    assert_eq!(mesh.upstream.seen().len(), 2);
    for line in [forwarding, "Forwarded: for=203.0.113.9", "X-Forwarded-For: unknown"] {
        assert_eq!(mesh.ask_from("127.0.0.2", Some(&pair), &[line]).await, 400, "{line}");
    }
    assert_eq!(mesh.upstream.seen().len(), 2);
}
