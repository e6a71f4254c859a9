//! Slots that move from one master to another, in steps between which a test can act.

use super::Cluster;
use crate::harness::{Redis, eventually};

/// A slot that both masters know to be on its way.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    pub slot: u16,
    pub from: usize,
    pub to: usize,
}

impl Cluster {
    /// From now on the old master sends clients to the new one with `ASK`, for keys that it does not have.
    pub async fn begin_migration(&self, slot: u16, to: usize) -> Migration {
        let from = self.owner(slot).await;
        self.set_slot(to, slot, &["IMPORTING", &self.ids[from]]).await;
        self.set_slot(from, slot, &["MIGRATING", &self.ids[to]]).await;
        Migration { slot, from, to }
    }

    /// Moves some of the keys that are still at the old master, and tells which.
    pub async fn move_keys(&self, migration: Migration, most: usize) -> Vec<String> {
        let Migration { slot, from, to } = migration;
        let (slot, most) = (slot.to_string(), most.to_string());
        let from = &self.nodes[from];
        let keys: Vec<String> = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, &most]).await;
        if !keys.is_empty() {
            let port = self.nodes[to].port().to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
            words.extend(self.setup.password().into_iter().flat_map(|password| ["AUTH", password]));
            words.push("KEYS");
            words.extend(keys.iter().map(String::as_str));
            // A key that has expired meanwhile is no key to move.
            let moved: String = from.command(&words).await;
            assert!(moved == "OK" || moved == "NOKEY", "{moved}");
        }
        keys
    }

    /// Moves what is left, gives the slot to the new master, and waits until all nodes know.
    pub async fn end_migration(&self, migration: Migration) {
        while !self.move_keys(migration, 1000).await.is_empty() {}
        let Migration { slot, from, to } = migration;
        // The new master first: were the old one first and the new one gone, nobody would have the slot.
        for master in [to, from] {
            self.set_slot(master, slot, &["NODE", &self.ids[to]]).await;
        }
        eventually("the nodes to know the new owner", async || (self.owner(slot).await == to).then_some(()))
            .await;
    }

    async fn set_slot(&self, node: usize, slot: u16, words: &[&str]) {
        let node: &Redis = &self.nodes[node];
        let slot = slot.to_string();
        let _: String = node.command(&[&["CLUSTER", "SETSLOT", &slot], words].concat()).await;
    }
}
