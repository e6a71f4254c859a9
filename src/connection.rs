//! A client's connection: what the server has found out about it, and the proxy goes by.

mod interim;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;

pub use interim::Interim;

/// What is known of the connection that a request came over. It lasts as long as anything of the connection does:
/// a tunnel holds it after HTTP has ended.
#[derive(Debug)]
pub struct Connection {
    /// The other end, or whom a trusted balancer speaks for (PROXY protocol). Behind a Unix socket it is 127.0.0.1,
    /// port 0.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub secure: bool,
    /// The names in the client's certificate, which has been verified: URIs first, then DNS names.
    pub names: Vec<String>,
    /// The way for interim answers. None: HTTP/2.
    pub interim: Option<Arc<Interim>>,
    /// What is given back when the last of it is gone.
    pub held: Held,
}

/// Whatever is to be dropped when the last who holds it is gone. In the extensions of a request that may become a
/// tunnel: for the tunnel to hold.
#[derive(Clone)]
pub struct Held(pub Arc<dyn std::any::Any + Send + Sync>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held(..)")
    }
}

/// In the extensions of a request that stands for one that could not be read: how it is to be answered.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// 400, 408, 414, 431, 501 or 505.
    pub status: StatusCode,
    /// What is wrong, in words for the client.
    pub reason: String,
}

/// So many places, of which one client may take a part.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_per_client: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize, foldhash::fast::RandomState>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// The client has its part.
    Client,
}

/// A place, free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    client: IpAddr,
}

impl Places {
    /// All free.
    #[must_use]
    pub fn new(most: usize, most_per_client: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_client, taken: Mutex::default() })
    }

    /// A place for a client, if there is one.
    ///
    /// # Errors
    /// Which of the two bounds is reached.
    pub fn take(self: &Arc<Self>, client: IpAddr) -> Result<Place, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.most {
            return Err(Full::All);
        }
        let own = taken.by_client.entry(client).or_default();
        if *own >= self.most_per_client {
            return Err(Full::Client);
        }
        *own += 1;
        taken.all += 1;
        Ok(Place { places: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_client.get_mut(&self.client) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}
