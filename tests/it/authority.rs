//! A certificate authority for tests.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use tidegate::tls::{self, Roots};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Signs certificates for whatever name it is asked for.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn sign(&self, name: &str) -> Pair {
        self.sign_params(&CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// Valid from the start of one year to the start of another.
    pub fn sign_between(&self, name: &str, from: i32, until: i32) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        self.sign_params(&params)
    }

    /// For names of every kind.
    pub fn sign_names(&self, names: Vec<SanType>) -> Pair {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        self.sign_params(&params)
    }

    /// A client on this connection that believes in this authority alone, and shows what it is given. The server is
    /// `localhost`.
    pub async fn connect(
        &self,
        stream: TcpStream,
        shown: Option<&Pair>,
        protocol: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let shown = shown.map(|pair| (pair.certificate.as_bytes(), pair.key.as_bytes()));
        let mut config = tls::client(Roots::Pem(self.pem().as_bytes()), shown).unwrap();
        config.alpn_protocols = vec![protocol.into()];
        let name = tls::server_name("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn sign_params(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}
