//! Who sends a request when, and through which instance.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{INSTANCES, Scale};

/// One client.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: String,
    /// Sends more than its limit admits.
    pub is_greedy: bool,
    /// The only instance that it uses, while that is there.
    stays_at: Option<usize>,
    first: Duration,
    every: Duration,
}

/// How many clients of each kind there are, and the requests of each in a second, of which the limit admits 5: 400 in all.
const GREEDY: (u32, u32) = (20, 14);
const HONEST: (u32, u32) = (30, 4);
/// How many of the honest clients use one instance only.
const STAYING: u32 = 10;

fn clients(scale: &Scale) -> Vec<Client> {
    let greedy = |number| {
        let (count, pace) = GREEDY;
        // They use up their limits, and get them back, at different times.
        let first = scale.windows(0.2) * number / count;
        let every = Duration::from_secs(1) / pace;
        Client { name: format!("greedy-{number}"), is_greedy: true, stays_at: None, first, every }
    };
    let honest = |number| {
        let (count, pace) = HONEST;
        let every = Duration::from_secs(1) / pace;
        let first = every * number / count;
        let stays_at = (number < STAYING).then(|| usize::try_from(number).unwrap() % INSTANCES);
        Client { name: format!("honest-{number}"), is_greedy: false, stays_at, first, every }
    };
    (0..GREEDY.0).map(greedy).chain((0..HONEST.0).map(honest)).collect()
}

/// The requests to come.
pub struct Plan {
    pub clients: Vec<Client>,
    /// When each client sends its next request.
    next: BinaryHeap<Reverse<(Duration, usize)>>,
    /// How many requests each client has sent.
    turns: Vec<usize>,
    random: Option<fastrand::Rng>,
}

/// A request to come.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub at: Duration,
    pub client: usize,
    pub instance: usize,
}

impl Plan {
    /// Clients that do not stay use the instances in turn, or as chance has it.
    pub fn new(scale: &Scale, random: Option<fastrand::Rng>) -> Self {
        let clients = clients(scale);
        let next = clients.iter().enumerate().map(|(client, plan)| Reverse((plan.first, client))).collect();
        Self { next, turns: vec![0; clients.len()], clients, random }
    }

    /// The next request.
    pub fn next(&mut self) -> Planned {
        let Reverse((at, client)) = self.next.pop().unwrap();
        let Client { every, stays_at, .. } = self.clients[client];
        self.next.push(Reverse((at + every, client)));
        self.turns[client] += 1;
        let spread = || match &mut self.random {
            Some(random) => random.usize(..INSTANCES),
            // Not all begin at the same instance.
            None => (client + self.turns[client]) % INSTANCES,
        };
        Planned { at, client, instance: stays_at.unwrap_or_else(spread) }
    }

    /// The next request, if it is to be sent before this time.
    pub fn next_before(&mut self, end: Duration) -> Option<Planned> {
        let Reverse((at, _)) = *self.next.peek()?;
        (at < end).then(|| self.next())
    }
}
