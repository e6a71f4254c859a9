//! A primary, its replicas, and the three sentinels that watch them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Redis, Setup, eventually};

/// Servers under sentinels. What was started first is `servers[0]`; who is the primary, the sentinels say.
pub struct Sentinels {
    pub servers: Vec<Redis>,
    pub sentinels: Vec<Redis>,
}

/// What sentinels are told of their own pace. Seconds, or a tenth of a minute, are for networks and for people; and
/// on a machine that is busy with other tests, a sentinel must not think that its clock is wrong. They promote no
/// replica of which they have heard nothing for five times the period of pings, but while its primary is down, they
/// ask it only every second.
const PACE: &str = "INFO-PERIOD 200 PING-PERIOD 400 ASK-PERIOD 100 TILT-TRIGGER 20000";

/// How often they tell each other what they know. While they meet, often.
const MEETING: &str = "PUBLISH-PERIOD 100";

/// Later not: four times this is how long they bear with a replica that says it is a primary, before they make it a
/// replica again. The one that leads a failover looks every second whether the promotion worked, and only then
/// tells the others, who would undo it.
const MET: &str = "PUBLISH-PERIOD 600";

/// What a sentinel says of a server: names and values.
type Fields = BTreeMap<String, String>;

impl Sentinels {
    /// The name that clients ask for.
    pub const MASTER: &str = "limits";

    /// A primary with one replica.
    pub async fn start() -> Self {
        Self::with(1, &Setup::default(), &Setup::default()).await
    }

    /// So many replicas, with servers and sentinels that are set up like this. Servers that speak TLS need sentinels
    /// that do, and the other way round.
    pub async fn with(replicas: usize, servers: &Setup, sentinels: &Setup) -> Self {
        let mut started = Self { servers: vec![Redis::with(servers).await], sentinels: Vec::new() };
        for _ in 0..replicas {
            let replica = Redis::with(servers).await;
            replica.replica_of(&started.servers[0]).await;
            started.servers.push(replica);
        }
        let setup = sentinels.watching(watch(&started.servers[0], servers.password()));
        for _ in 0..3 {
            started.sentinels.push(Redis::with(&setup).await);
        }
        started.keep_pace(PACE).await;
        started.keep_pace(MEETING).await;
        started.settled().await;
        started.keep_pace(MET).await;
        started
    }

    async fn keep_pace(&self, pace: &str) {
        let words: Vec<&str> = ["SENTINEL", "DEBUG"].into_iter().chain(pace.split(' ')).collect();
        for sentinel in &self.sentinels {
            let _: String = sentinel.command(&words).await;
        }
    }

    /// The addresses of the sentinels, without credentials.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::url).collect()
    }

    /// Which server is the primary, as soon as all sentinels that run say the same.
    pub async fn primary(&self) -> usize {
        eventually("the sentinels to agree", async || self.named().await).await
    }

    async fn named(&self) -> Option<usize> {
        let mut named = BTreeSet::new();
        for sentinel in self.running() {
            let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::MASTER];
            let (_, port): (String, u16) = sentinel.try_command(&words).await.ok()?;
            named.insert(self.servers.iter().position(|server| server.port() == port)?);
        }
        named.pop_first().filter(|_| named.is_empty())
    }

    /// Lets the sentinels promote a replica while all is well, and tells which server is the primary then.
    pub async fn failover(&self) -> usize {
        let before = self.primary().await;
        eventually("a sentinel to begin a failover", async || {
            let words = ["SENTINEL", "FAILOVER", Self::MASTER];
            self.running().next()?.try_command::<String>(&words).await.ok()
        })
        .await;
        self.promoted(before).await
    }

    /// The new primary, as soon as all sentinels that run name another than `before` and it thinks so too.
    pub async fn promoted(&self, before: usize) -> usize {
        eventually("a replica to be promoted", async || {
            let named = self.named().await.filter(|&named| named != before)?;
            (self.servers[named].info("role").await? == "master").then_some(named)
        })
        .await
    }

    /// Waits until nothing is under way: the sentinels that run know each other and all servers, every server that runs
    /// follows the one primary, and a failover could begin.
    pub async fn settled(&self) {
        eventually("the sentinels to settle", async || {
            for sentinel in self.running() {
                if !self.is_settled(sentinel).await? {
                    return None;
                }
            }
            // The sentinels' word is as old as their last look.
            let primary = self.named().await?;
            for (place, server) in self.servers.iter().enumerate().filter(|(_, server)| server.runs()) {
                let leads = server.info("role").await? == "master";
                if leads != (place == primary) || !(leads || server.is_in_sync().await) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    async fn is_settled(&self, sentinel: &Redis) -> Option<bool> {
        let asked = |what| ["SENTINEL", what, Self::MASTER];
        let master: Fields = sentinel.try_command(&asked("MASTER")).await.ok()?;
        let replicas: Vec<Fields> = sentinel.try_command(&asked("REPLICAS")).await.ok()?;
        let has_quorum = sentinel.try_command::<String>(&asked("CKQUORUM")).await.is_ok();
        let follows = |replica: &Fields| replica["flags"] == "slave" && replica["master-link-status"] == "ok";
        let gone = self.servers.iter().filter(|server| !server.runs()).count();
        Some(
            has_quorum
                && master["flags"] == "master"
                && master["num-other-sentinels"] == (self.sentinels.len() - 1).to_string()
                && replicas.len() == self.servers.len() - 1
                && replicas.iter().filter(|replica| follows(replica)).count() + gone == replicas.len(),
        )
    }

    fn running(&self) -> impl Iterator<Item = &Redis> {
        self.sentinels.iter().filter(|sentinel| sentinel.runs())
    }
}

/// What a sentinel needs to know: two of three must miss the primary for three seconds. Less would not do: after a
/// failover they wait for a period of pings before they connect to the new one, and must not miss it meanwhile; nor because
/// the machine was busy for a moment.
fn watch(primary: &Redis, password: Option<&str>) -> String {
    let (master, port) = (Sentinels::MASTER, primary.port());
    let mut lines = format!(
        "sentinel monitor {master} 127.0.0.1 {port} 2
sentinel down-after-milliseconds {master} 3000
sentinel failover-timeout {master} 3000
"
    );
    if let Some(password) = password {
        lines += &format!("sentinel auth-pass {master} \"{password}\"\n");
    }
    lines
}
