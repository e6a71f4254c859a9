//! Certificates that nobody else trusts, gone with the test.

use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

/// A certificate authority with one certificate for servers and one for clients, as PEM files.
#[derive(Clone)]
pub struct Certificates {
    directory: Arc<TempDir>,
}

impl Certificates {
    /// The server's is for where the tests' servers are.
    pub fn new() -> Self {
        Self::for_server(&["127.0.0.1", "localhost"])
    }

    /// The server's is for these names and addresses.
    pub fn for_server(names: &[&str]) -> Self {
        let mut ca = named("a CA of tests", &[]);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let made = Self { directory: Arc::new(tempfile::tempdir().unwrap()) };
        made.write(CA, &ca.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(ca, key);
        // Servers of a cluster, and replicas, are clients of each other.
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        made.issue(&issuer, SERVER, names, &both);
        made.issue(&issuer, CLIENT, &[], &both[1..]);
        made
    }

    fn issue(
        &self,
        issuer: &Issuer<'_, KeyPair>,
        [certificate, key]: [&str; 2],
        names: &[&str],
        uses: &[ExtendedKeyUsagePurpose],
    ) {
        let mut wanted = named(certificate, names);
        wanted.extended_key_usages = uses.to_vec();
        wanted.use_authority_key_identifier_extension = true;
        let pair = KeyPair::generate().unwrap();
        self.write(certificate, &wanted.signed_by(&pair, issuer).unwrap().pem());
        self.write(key, &pair.serialize_pem());
    }

    pub fn ca(&self) -> String {
        self.path(CA)
    }

    pub fn server_certificate(&self) -> String {
        self.path(SERVER[0])
    }

    pub fn server_key(&self) -> String {
        self.path(SERVER[1])
    }

    pub fn client_certificate(&self) -> String {
        self.path(CLIENT[0])
    }

    pub fn client_key(&self) -> String {
        self.path(CLIENT[1])
    }

    /// A client that has the certificate for clients, and writes answers as JSON.
    pub fn redis_cli(&self, port: u16) -> Command {
        let mut command = self.redis_cli_without_certificate(port);
        command.args(["--cert", &self.client_certificate(), "--key", &self.client_key()]);
        command
    }

    /// One that has none.
    pub fn redis_cli_without_certificate(&self, port: u16) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "--json", "-e", "--no-auth-warning"]);
        command.args(["--tls", "--cacert", &self.ca()]);
        command
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, pem: &str) {
        std::fs::write(self.path(name), pem).unwrap();
    }
}

const CA: &str = "ca.pem";
const SERVER: [&str; 2] = ["server.pem", "server.key"];
const CLIENT: [&str; 2] = ["client.pem", "client.key"];

fn named(subject: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut wanted = CertificateParams::new(names).unwrap();
    wanted.distinguished_name.push(DnType::CommonName, subject);
    wanted
}
