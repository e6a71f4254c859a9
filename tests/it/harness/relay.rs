//! A network between tidegate and Redis that is slow, silent, or cuts connections, as a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidegate::clock::{Deadline, Stopwatch};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A way there and back takes this long. What follows closely arrives as closely: nothing waits for what is
    /// ahead of it.
    Delay(Duration),
    /// Nothing arrives on either side, no end of a connection either. What was sent meanwhile arrives when this is
    /// over.
    Hold,
    /// Connections are taken, and nobody answers on them, now or later.
    Mute,
    /// Of the new connections each so-manyth is reset as soon as tidegate says something.
    ResetEvery(usize),
}

/// A relay on a port of its own.
pub struct Relay {
    port: u16,
    network: watch::Sender<Network>,
    /// Connections of an earlier age are cut.
    age: watch::Sender<usize>,
    /// How many connections have been made to it.
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

/// What every connection knows.
#[derive(Clone)]
struct Ends {
    redis: SocketAddr,
    network: watch::Receiver<Network>,
    /// How many connections there have been in a network that resets some.
    counted: Arc<AtomicUsize>,
}

impl Relay {
    /// One that carries everything to Redis on this port and back, at once.
    pub async fn to(redis: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (network, current) = watch::channel(Network::Delay(Duration::ZERO));
        let age = watch::Sender::new(0);
        let redis = SocketAddr::from(([127, 0, 0, 1], redis));
        let ends = Ends { redis, network: current, counted: Arc::default() };
        let accepted = Arc::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&accepted), age.subscribe(), ends));
        Self { port, network, age, accepted, accepting }
    }

    /// The port that takes Redis's place.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address that takes Redis's place.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// From now on the network is like this. Connections stay, unless it is one that takes them from Redis.
    pub fn becomes(&self, network: Network) {
        self.network.send_replace(network);
        if matches!(network, Network::Mute | Network::ResetEvery(_)) {
            self.cut();
        }
    }

    /// How many connections have been made to it so far.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Resets every connection that there is.
    pub fn cut(&self) {
        self.age.send_modify(|age| *age += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    accepted: Arc<AtomicUsize>,
    mut age: watch::Receiver<usize>,
    ends: Ends,
) {
    while let Ok((near, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        near.set_nodelay(true).unwrap();
        // Dropped, it is reset, as by a network that fails.
        near.set_zero_linger().unwrap();
        age.mark_unchanged();
        let (mut age, cut, ends) = (age.clone(), age.clone(), ends.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = age.changed() => {}
                () = carry(near, cut, ends) => {}
            }
        });
    }
}

async fn carry(near: TcpStream, cut: watch::Receiver<usize>, mut ends: Ends) {
    let network = *ends.network.borrow_and_update();
    match network {
        Network::Mute => return std::future::pending().await,
        Network::ResetEvery(nth)
            if (ends.counted.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(nth) =>
        {
            // It waits for the first words; then the connection is dropped with them unread.
            drop(near.readable().await);
            return;
        }
        _ => {}
    }
    // Nobody there: the connection is reset, which is not quite as if it had been refused.
    let Ok(far) = TcpStream::connect(ends.redis).await else { return };
    far.set_nodelay(true).unwrap();
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::join!(
        one_way(near_read, far_write, cut.clone(), ends.network.clone()),
        one_way(far_read, near_write, cut, ends.network)
    );
}

/// What has been sent together.
struct Parcel {
    bytes: Bytes,
    /// When it arrives. None: at once.
    due: Option<Deadline>,
}

/// What is on its way in one direction at most. Beyond that the sender has to wait.
const UNDER_WAY: usize = 1024;

async fn one_way(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    cut: watch::Receiver<usize>,
    network: watch::Receiver<Network>,
) {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    tokio::join!(depart(from, sender, network.clone()), arrive(to, receiver, cut, network));
}

/// Takes what is sent, and says when it may arrive.
async fn depart(mut from: OwnedReadHalf, line: mpsc::Sender<Parcel>, network: watch::Receiver<Network>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let delay = match *network.borrow() {
            Network::Delay(both_ways) => both_ways / 2,
            _ => Duration::ZERO,
        };
        // A timer would make a millisecond of nothing.
        let due = (!delay.is_zero()).then(|| Stopwatch::start().deadline(delay));
        if line.send(Parcel { due, bytes: Bytes::copy_from_slice(&buffer[..read]) }).await.is_err() {
            return;
        }
    }
}

async fn arrive(
    mut to: OwnedWriteHalf,
    mut line: mpsc::Receiver<Parcel>,
    cut: watch::Receiver<usize>,
    mut network: watch::Receiver<Network>,
) {
    loop {
        let parcel = line.recv().await;
        if let Some(due) = parcel.as_ref().and_then(|parcel| parcel.due) {
            sleep_until(due.instant().into()).await;
        }
        if network.wait_for(|network| *network != Network::Hold).await.is_err() {
            return;
        }
        let Some(parcel) = parcel else { break };
        // The connection is cut, and its task has not ended yet: Redis must not execute a call whose reply cannot arrive.
        if cut.has_changed().unwrap_or(true) {
            return;
        }
        if to.write_all(&parcel.bytes).await.is_err() {
            break;
        }
    }
    // The end of the connection arrives like the rest.
    let _ = to.shutdown().await;
}
