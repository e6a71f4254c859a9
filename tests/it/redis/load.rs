//! Clients that go on asking while a test changes the servers.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tidegate::store::{KeyedCharge, RedisStore, StoreError};
use tokio::task::JoinSet;

use crate::harness::eventually;

/// How many of them there are.
pub const CLIENTS: usize = 8;

/// Clients that all ask the same, again and again.
pub struct Load {
    tally: Arc<Tally>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Tally {
    admitted: AtomicI64,
    errors: Mutex<Vec<StoreError>>,
    over: AtomicBool,
}

impl Load {
    /// The limits are not reached.
    pub fn start(store: &Arc<RedisStore>, asks: &[KeyedCharge]) -> Self {
        let (tally, mut clients) = (Arc::<Tally>::default(), JoinSet::new());
        for _ in 0..CLIENTS {
            clients.spawn(go_on(Arc::clone(store), asks.to_vec(), Arc::clone(&tally)));
        }
        Self { tally, clients }
    }

    /// Waits until many more were let through, so that whatever the test has changed was met by some.
    pub async fn goes_on(&self) {
        let before = self.tally.admitted.load(Ordering::Relaxed);
        eventually("the clients to be let through", async || {
            (self.tally.admitted.load(Ordering::Relaxed) >= before + 100).then_some(())
        })
        .await;
    }

    /// Ends it. Returns how many requests were admitted, and why there was no decision about others.
    pub async fn end(self) -> (i64, Vec<StoreError>) {
        self.tally.over.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        let errors = self.tally.errors.lock().unwrap().clone();
        (self.tally.admitted.load(Ordering::Relaxed), errors)
    }
}

async fn go_on(store: Arc<RedisStore>, asks: Vec<KeyedCharge>, tally: Arc<Tally>) {
    while !tally.over.load(Ordering::Relaxed) {
        let answer = store.take(&asks).await;
        if let Some(error) = answer.iter().find_map(|decision| decision.as_ref().err()) {
            tally.errors.lock().unwrap().push(error.clone());
        } else {
            assert!(answer.iter().flatten().all(|decision| decision.taken.charged), "{answer:?}");
            tally.admitted.fetch_add(1, Ordering::Relaxed);
        }
    }
}
