//! How many requests Redis has counted in all: the rule's second limit, which nobody reaches and which forgets nothing.

use std::fmt;

use tidegate::store::{KeyedCharge, RedisStore};
use tidegate::window::{Charge, Limit};

/// As the configuration has it.
pub const RATE: &str = "1000000/h";
const QUOTA: i64 = 1_000_000;
const HOUR_MS: i64 = 3_600_000;

/// For each client, how many requests Redis has counted, and how many were admitted.
pub struct Tally(pub Vec<(String, usize, usize)>);

impl Tally {
    /// # Panics
    /// When the requests of a client that were counted are not those that were admitted.
    pub fn is_complete(&self) {
        self.lacks_at_most(0);
    }

    /// # Panics
    /// When more requests of a client were counted than were admitted, or fewer by more than this.
    pub fn lacks_at_most(&self, most: usize) {
        self.counts_nothing_twice();
        let wrong: Vec<_> =
            self.0.iter().filter(|(_, counted, admitted)| counted + most < *admitted).collect();
        assert!(wrong.is_empty(), "counted, and admitted: {wrong:?}");
    }

    /// # Panics
    /// When more requests of a client were counted than were admitted.
    pub fn counts_nothing_twice(&self) {
        let wrong: Vec<_> = self.0.iter().filter(|(_, counted, admitted)| counted > admitted).collect();
        assert!(wrong.is_empty(), "counted, and admitted: {wrong:?}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut counted, mut admitted) = (0, 0);
        for (_, each_counted, each_admitted) in &self.0 {
            counted += each_counted;
            admitted += each_admitted;
        }
        write!(f, "{counted} of {admitted} admitted requests are counted")
    }
}

/// What the names of the counters that forget nothing end with: `{client}` stands before it.
pub const COUNTERS: &str = ":each:3600000:4";

/// How many requests are in the counter of this name.
pub async fn counted(store: &RedisStore, name: &str) -> usize {
    let limit = Limit::auto(QUOTA, 0, HOUR_MS).unwrap();
    // To ask for too much changes nothing.
    let charge = Charge { limit, cost: QUOTA + 1, group: Charge::BINDING };
    let ask = KeyedCharge { key: name.to_owned(), charge };
    let decision = store.take(&[ask]).await.remove(0).unwrap();
    usize::try_from(decision.counter.used(&limit, decision.now.as_i64())).unwrap()
}
