//! Certificates that nobody else trusts, gone with the test.

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

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
        Self::dated(names, None)
    }

    /// All but the authority's are valid from the start of one year to the start of another.
    pub fn between(from: i32, until: i32) -> Self {
        Self::dated(&["127.0.0.1", "localhost"], Some([from, until]))
    }

    fn dated(names: &[&str], years: Option<[i32; 2]>) -> Self {
        let mut ca = named("a CA of tests", &[]);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let made = Self { directory: Arc::new(tempfile::tempdir().unwrap()) };
        made.write(CA, &ca.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(ca, key);
        // Servers of a cluster, and replicas, are clients of each other.
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        for (files, names, uses) in [(SERVER, names, &both[..]), (CLIENT, &[], &both[1..])] {
            let mut wanted = named(files[0], names);
            wanted.extended_key_usages = uses.to_vec();
            wanted.use_authority_key_identifier_extension = true;
            if let Some([from, until]) = years {
                wanted.not_before = date_time_ymd(from, 1, 1);
                wanted.not_after = date_time_ymd(until, 1, 1);
            }
            made.issue(&issuer, files, &wanted);
        }
        made
    }

    fn issue(&self, issuer: &Issuer<'_, KeyPair>, [certificate, key]: [&str; 2], wanted: &CertificateParams) {
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

    /// A server with the certificate for servers, which speaks these protocols.
    pub fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let (chain, key) = self.identity(SERVER);
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|&name| name.into()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts the authority, and speaks these protocols.
    pub async fn connect(&self, address: SocketAddr, protocols: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let config = self.trusting().with_no_client_auth();
        self.handshake(config, address, protocols).await
    }

    /// One that shows the certificate for clients.
    pub async fn connect_known(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let (chain, key) = self.identity(CLIENT);
        let config = self.trusting().with_client_auth_cert(chain, key).unwrap();
        self.handshake(config, address, protocols).await
    }

    /// One that shows the certificate for clients of another authority.
    pub async fn connect_shown(&self, other: &Self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let (chain, key) = other.identity(CLIENT);
        let config = self.trusting().with_client_auth_cert(chain, key).unwrap();
        self.handshake(config, address, &["http/1.1"]).await
    }

    async fn handshake(
        &self,
        mut config: ClientConfig,
        address: SocketAddr,
        protocols: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        config.alpn_protocols = protocols.iter().map(|&name| name.into()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn trusting(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots)
    }

    fn identity(
        &self,
        [certificate, key]: [&str; 2],
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::from_pem_file(self.path(certificate)).unwrap();
        (vec![chain], PrivateKeyDer::from_pem_file(self.path(key)).unwrap())
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
