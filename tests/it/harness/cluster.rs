//! A Redis Cluster: three masters, each with a replica.

mod migration;
mod view;

use std::collections::BTreeSet;

use super::{Redis, Setup, eventually};
use view::{Member, Role};

/// The nodes of a cluster, masters first: at the start, `nodes[3]` is the replica of `nodes[0]`, and so on.
pub struct Cluster {
    pub nodes: Vec<Redis>,
    setup: Setup,
    /// The names of the nodes among themselves.
    ids: Vec<String>,
}

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// Failovers within a few seconds, and not because the machine was busy for a moment; roles that change when the test says so; and an address that nodes know before
/// they have heard of each other.
const NODE: [&str; 10] = [
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "3000",
    "--cluster-replica-validity-factor",
    "0",
    "--cluster-allow-replica-migration",
    "no",
    "--cluster-announce-ip",
    "127.0.0.1",
];

impl Cluster {
    pub async fn start() -> Self {
        Self::with(&Setup::default()).await
    }

    /// One whose nodes are all set up like this.
    pub async fn with(setup: &Setup) -> Self {
        let mut cluster = Self { nodes: Vec::new(), setup: setup.clone(), ids: Vec::new() };
        let node = setup.clone().and(&NODE);
        for _ in 0..2 * MASTERS {
            let started = Redis::with(&node).await;
            cluster.ids.push(started.command(&["CLUSTER", "MYID"]).await);
            cluster.nodes.push(started);
        }
        cluster.share_out().await;
        cluster.meet().await;
        for (place, replica) in cluster.nodes.iter().enumerate().skip(MASTERS) {
            let words = ["CLUSTER", "REPLICATE", cluster.ids[place - MASTERS].as_str()];
            eventually("a replica to meet its master", async || {
                replica.try_command::<String>(&words).await.ok()
            })
            .await;
        }
        cluster.settled().await;
        cluster
    }

    /// To each master its third of the slots.
    async fn share_out(&self) {
        for (place, node) in self.nodes.iter().enumerate() {
            // Nodes of one epoch would have to resolve that first.
            let epoch = (place + 1).to_string();
            let _: String = node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            if place < MASTERS {
                let first = (place * SLOTS / MASTERS).to_string();
                let last = ((place + 1) * SLOTS / MASTERS - 1).to_string();
                let _: String = node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
            }
        }
    }

    /// Everybody is introduced to everybody: gossip would take its time.
    async fn meet(&self) {
        for (place, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[..place] {
                let (port, bus) = (other.port().to_string(), other.bus_port().to_string());
                let _: String = node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
            }
        }
    }

    /// The addresses of all nodes, without credentials.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Waits until the cluster serves, all nodes that run see the same masters and replicas, and replicas have
    /// everything.
    pub async fn settled(&self) {
        eventually("the cluster to settle", async || {
            for (_, node) in self.running() {
                let info: String = node.try_command(&["CLUSTER", "INFO"]).await.ok()?;
                if !info.contains("cluster_state:ok") {
                    return None;
                }
            }
            for member in self.agreed().await? {
                if matches!(member.role, Role::ReplicaOf(_)) && !self.nodes[member.node].is_in_sync().await {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// The slot of a key, as Redis computes it.
    pub async fn slot_of(&self, key: &str) -> u16 {
        let (_, node) = self.running().next().expect("no node runs");
        node.command(&["CLUSTER", "KEYSLOT", key]).await
    }

    /// The first of the names, counted from 0, whose slot this node has.
    pub async fn key_on(&self, node: usize, name: impl Fn(usize) -> String) -> String {
        let mut count = 0;
        while self.owner(self.slot_of(&name(count)).await).await != node {
            count += 1;
            assert!(count < 1000, "no such key is on node {node}");
        }
        name(count)
    }

    /// Which node has the slot, as soon as all nodes that run say the same.
    pub async fn owner(&self, slot: u16) -> usize {
        eventually("the nodes to agree", async || view::owner(&self.agreed().await?, slot)).await
    }

    /// The replica of this master, as soon as all nodes that run say the same.
    pub async fn replica_of(&self, master: usize) -> usize {
        eventually("the nodes to agree", async || {
            let members = self.agreed().await?;
            let follows = |member: &&Member| member.role == Role::ReplicaOf(master);
            members.iter().find(follows).map(|member| member.node)
        })
        .await
    }

    /// Ends a node at once.
    pub async fn kill(&self, node: usize) {
        self.nodes[node].kill().await;
    }

    /// Waits until this replica has taken over from its master, all nodes that run know, and the cluster serves.
    pub async fn promoted(&self, replica: usize) {
        let is_master = |member: &Member| member.node == replica && member.role == Role::Master;
        eventually("a replica to be promoted", async || {
            self.agreed().await?.iter().any(is_master).then_some(())
        })
        .await;
        self.settled().await;
    }

    /// Lets a replica and its master change places while all is well, and waits until all nodes know.
    pub async fn failover(&self, replica: usize) {
        let _: String = self.nodes[replica].command(&["CLUSTER", "FAILOVER"]).await;
        self.promoted(replica).await;
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Redis)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.runs())
    }

    /// The members that run, if all of them say the same about each other.
    async fn agreed(&self) -> Option<Vec<Member>> {
        let mut views = BTreeSet::new();
        for (_, node) in self.running() {
            let text: String = node.try_command(&["CLUSTER", "NODES"]).await.ok()?;
            let mut members = view::parse(&text, &self.ids)?;
            members.retain(|member| self.nodes[member.node].runs());
            views.insert(members);
        }
        views.pop_first().filter(|members| views.is_empty() && members.len() == self.running().count())
    }
}
