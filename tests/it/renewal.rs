//! Certificates that are renewed while clients are served.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Request;
use http_body_util::BodyExt as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::authority::{Authority, Pair};
use crate::harness::{Tidegate, Upstream, Wire, eventually, full, h2_over};

/// Makes `..data` point to a new directory with these files, as the kubelet does with a Secret.
fn mount(volume: &Path, version: &str, files: &[(&str, &str)]) {
    let directory = volume.join(version);
    std::fs::create_dir(&directory).unwrap();
    for (name, text) in files {
        std::fs::write(directory.join(name), text).unwrap();
        let visible = volume.join(name);
        if !visible.exists() {
            symlink(Path::new("..data").join(name), &visible).unwrap();
        }
    }
    let link = volume.join("..data_tmp");
    symlink(version, &link).unwrap();
    std::fs::rename(link, volume.join("..data")).unwrap();
}

fn files(pair: &Pair) -> [(&'static str, &str); 2] {
    [("tls.crt", &pair.certificate), ("tls.key", &pair.key)]
}

async fn serving(upstream: &Upstream, volume: &Path, more: &str) -> Tidegate {
    let at = |name: &str| volume.join(name).display().to_string();
    let tls = format!("cert_file: {}, key_file: {}{more}", at("tls.crt"), at("tls.key"));
    let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
    Tidegate::described(&format!("tls: {{ {tls} }}\nupstream: {}\n{rules}", upstream.url())).await
}

async fn connect(tidegate: &Tidegate, authority: &Authority, protocol: &str) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(tidegate.address).await.unwrap();
    authority.connect(stream, None, protocol).await.expect("a new connection failed")
}

/// What a new connection is shown.
async fn shown(tidegate: &Tidegate, authority: &Authority) -> CertificateDer<'static> {
    let stream = connect(tidegate, authority, "http/1.1").await;
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn shows(tidegate: &Tidegate, authority: &Authority, pair: &Pair) {
    let want = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let seen = async || (shown(tidegate, authority).await == want).then_some(());
    eventually("the certificate to be shown", seen).await;
}

/// Clients that each keep their connection, or open one for every request.
struct Load {
    over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(tidegate: &Arc<Tidegate>, authority: &Arc<Authority>) -> Self {
        let (over, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut clients = Vec::new();
        for (h2, keeps) in [(false, true), (false, false), (true, true), (true, false)] {
            let (tidegate, authority) = (Arc::clone(tidegate), Arc::clone(authority));
            let (over, answers) = (Arc::clone(&over), Arc::clone(&answers));
            clients.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    // The connection that is kept outlasts the test.
                    let go_on = || keeps && !over.load(Ordering::Relaxed);
                    let answered = || answers.fetch_add(1, Ordering::Relaxed);
                    if h2 {
                        ask_over_h2(connect(&tidegate, &authority, "h2").await, go_on, answered).await;
                    } else {
                        ask_over_h1(connect(&tidegate, &authority, "http/1.1").await, go_on, answered).await;
                    }
                }
            }));
        }
        Self { over, answers, clients }
    }

    async fn goes_on(&self) {
        let enough = self.answers.load(Ordering::Relaxed) + 50;
        let more = async || (self.answers.load(Ordering::Relaxed) >= enough).then_some(());
        eventually("more answers", more).await;
        assert!(self.clients.iter().all(|client| !client.is_finished()), "a request failed");
    }

    async fn ends(self) {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a request failed");
        }
    }
}

async fn ask_over_h1(stream: TlsStream<TcpStream>, go_on: impl Fn() -> bool, answered: impl Fn() -> usize) {
    let mut wire = Wire::over(stream);
    loop {
        assert_eq!(wire.ask("POST /", &["Content-Length: 0"]).await.status, 200);
        answered();
        if !go_on() {
            return;
        }
    }
}

async fn ask_over_h2(stream: TlsStream<TcpStream>, go_on: impl Fn() -> bool, answered: impl Fn() -> usize) {
    let mut sender = h2_over(stream).await;
    loop {
        let request = Request::post("https://localhost/").body(full("payload")).unwrap();
        let answer = sender.send_request(request).await.expect("a request was lost");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.expect("an answer broke off").to_bytes(), "ok");
        answered();
        if !go_on() {
            return;
        }
    }
}

#[tokio::test]
async fn a_new_certificate_under_load_fails_no_request() {
    let (upstream, volume) = (Upstream::forgetful().await, tempfile::tempdir().unwrap());
    let authority = Arc::new(Authority::new());
    let pairs = [(); 3].map(|()| authority.sign("localhost"));
    mount(volume.path(), "..2024_01", &files(&pairs[0]));
    let tidegate = Arc::new(serving(&upstream, volume.path(), "").await);
    shows(&tidegate, &authority, &pairs[0]).await;
    let load = Load::on(&tidegate, &authority);
    load.goes_on().await;

    mount(volume.path(), "..2024_02", &files(&pairs[1]));
    std::fs::remove_dir_all(volume.path().join("..2024_01")).unwrap();
    shows(&tidegate, &authority, &pairs[1]).await;
    load.goes_on().await;

    // Written in place, the key last: what is there in between is not acted on, or told and left.
    for (name, text) in files(&pairs[2]) {
        std::fs::write(volume.path().join(name), text).unwrap();
    }
    shows(&tidegate, &authority, &pairs[2]).await;
    load.goes_on().await;
    load.ends().await;
    let told = async || (!tidegate.logged("clients are shown another certificate").is_empty()).then_some(());
    eventually("a log line", told).await;
}

#[tokio::test]
async fn a_damaged_certificate_is_reported_instead_of_used() {
    let (upstream, volume) = (Upstream::forgetful().await, tempfile::tempdir().unwrap());
    let authority = Arc::new(Authority::new());
    let pairs = [(); 3].map(|()| authority.sign("localhost"));
    mount(volume.path(), "..1", &files(&pairs[0]));
    let tidegate = Arc::new(serving(&upstream, volume.path(), "").await);
    let load = Load::on(&tidegate, &authority);
    let half = &pairs[1].certificate[..pairs[1].certificate.len() / 2];
    let damages = [
        ("tls.crt", [("tls.crt", half), ("tls.key", &pairs[1].key)]),
        ("tls.key", [("tls.crt", &pairs[1].certificate), ("tls.key", "")]),
        ("tls.key", [("tls.crt", &pairs[1].certificate), ("tls.key", &pairs[2].key)]),
    ];
    for (number, (file, damage)) in damages.into_iter().enumerate() {
        mount(volume.path(), &format!("..bad{number}"), &damage);
        let told = async || tidegate.logged("nothing was changed").get(number).cloned();
        let told = eventually("the fault to be told", told).await;
        assert_eq!(told["level"], "ERROR");
        let reason = told["reason"].as_str().unwrap();
        assert!(reason.contains(file) || reason.contains("key_file"), "{reason}");
        assert!(!reason.contains("PRIVATE KEY"), "a key is in the log: {reason}");
        shows(&tidegate, &authority, &pairs[0]).await;
        load.goes_on().await;
    }
    mount(volume.path(), "..good", &files(&pairs[1]));
    shows(&tidegate, &authority, &pairs[1]).await;
    load.ends().await;
}

#[tokio::test]
async fn new_authorities_of_clients_hold_for_new_connections() {
    let (upstream, volume) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let (authority, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let (pair, former, present) = (authority.sign("localhost"), old.sign("a"), new.sign("b"));
    let with = |clients: &Authority, version: &str| {
        let pem = clients.pem();
        mount(volume.path(), version, &[&files(&pair)[..], &[("ca.crt", &pem)]].concat());
    };
    with(&old, "..1");
    let more = format!(", client_ca_file: {}", volume.path().join("ca.crt").display());
    let tidegate = serving(&upstream, volume.path(), &more).await;
    // In TLS 1.3 the server's judgement comes after the client's last word: only an answer tells.
    let admitted = async |shown: &Pair| {
        let stream = TcpStream::connect(tidegate.address).await.unwrap();
        let mut wire = Wire::over(authority.connect(stream, Some(shown), "http/1.1").await.ok()?);
        wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        wire.try_reply().await.map(|reply| (reply.status, wire))
    };
    let (status, mut open) = admitted(&former).await.expect("the authority is believed");
    assert_eq!(status, 200);
    assert!(admitted(&present).await.is_none(), "a stranger is served");
    with(&new, "..2");
    eventually("the new authority to be believed", async || admitted(&present).await.map(drop)).await;
    assert!(admitted(&former).await.is_none(), "the old authority is still believed");
    assert_eq!(open.ask("GET /", &[]).await.status, 200, "an open connection was dropped");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_a_warning_at_the_start() {
    let (upstream, volume) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let pair = Authority::new().sign_between("localhost", 2020, 2021);
    mount(volume.path(), "..1", &files(&pair));
    let tidegate = serving(&upstream, volume.path(), "").await;
    let lines = tidegate.logged("expired on 2021-01-01T00:00:00Z");
    assert!(lines.len() == 1 && lines[0]["level"] == "WARN", "{lines:#?}");
    assert!(lines[0]["message"].as_str().unwrap().contains("tls.crt'"), "{lines:#?}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_a_warning_when_it_comes_with_a_reload() {
    let (upstream, volume) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let authority = Authority::new();
    mount(volume.path(), "..1", &files(&authority.sign("localhost")));
    let tidegate = serving(&upstream, volume.path(), "").await;
    assert_eq!(tidegate.logged("expired on").len(), 0);
    mount(volume.path(), "..2", &files(&authority.sign_between("localhost", 2020, 2021)));
    let warned = async || tidegate.logged("expired on 2021-01-01T00:00:00Z").pop();
    let line = eventually("the warning", warned).await;
    assert_eq!(line["level"], "WARN");
}
