//! Where Redis should be is something that speaks like it, and means something else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{Visitor, configured, decides, does_without, settings};
use crate::harness::{Redis, Upstream, eventually};

/// The time of a server that is right, near enough.
const NOW: &str = "*2\r\n$10\r\n1800000000\r\n$1\r\n0\r\n";

/// Replies with the time to TIME, with each of these in turn to scripts, and with OK to all else.
struct Impostor {
    time: &'static str,
    scripts: &'static [&'static str],
    asked: AtomicUsize,
}

impl Impostor {
    fn answer(&self, command: &[u8]) -> &'static str {
        match command {
            b"TIME" => self.time,
            b"EVALSHA" => self.scripts[self.asked.fetch_add(1, Ordering::Relaxed) % self.scripts.len()],
            _ => "+OK\r\n",
        }
    }

    /// Until the client hangs up.
    async fn talk(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let words = number(&mut stream).await?;
            let mut command = None;
            for _ in 0..words {
                let mut word = vec![0; number(&mut stream).await? + 2];
                stream.read_exact(&mut word).await?;
                word.truncate(word.len() - 2);
                command.get_or_insert(word);
            }
            stream.write_all(self.answer(&command.unwrap_or_default()).as_bytes()).await?;
        }
    }
}

/// Reads how many words a command has, or bytes a word.
async fn number(stream: &mut BufReader<TcpStream>) -> io::Result<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    line.trim_end().get(1..).and_then(|digits| digits.parse().ok()).ok_or(io::ErrorKind::UnexpectedEof.into())
}

/// tidegate goes on without it; and when Redis has its place, with that. Tells what the log said.
async fn is_done_without(impostor: Impostor) -> String {
    let (impostor, over) = (Arc::new(impostor), CancellationToken::new());
    let token = over.clone();
    let listening = Upstream::raw(move |stream| {
        let (impostor, over) = (Arc::clone(&impostor), token.clone());
        async move {
            over.run_until_cancelled(impostor.talk(stream)).await;
        }
    })
    .await;
    let config = settings(&format!("url: 'redis://{}'", listening.address), 5);
    let (_upstream, mut tidegate) = configured(&config).await;
    let error = does_without(&tidegate, 1).await;
    // Each reply has reached each connection.
    let visitor = Visitor::new(&tidegate);
    for _ in 0..2 {
        let answers = join_all((0..20).map(|_| visitor.ask("/open"))).await;
        assert!(answers.iter().all(|told| (told.status, told.left) == (200, None)), "{answers:?}");
    }
    assert_eq!(visitor.status("/closed").await, 503);
    let port = listening.address.port();
    drop(listening);
    over.cancel();
    let _redis = eventually("redis-server to have the port", async || Redis::start_on(port).await).await;
    decides(&tidegate).await;
    assert_eq!(Visitor::new(&tidegate).ask("/open").await.left, Some(4));
    assert!(tidegate.is_running());
    error
}

#[tokio::test]
async fn answers_of_an_impossible_time_or_none_at_all_end_with_the_one_who_gives_them() {
    let scripts = &[
        "*3\r\n:-9223372036854775808\r\n:1\r\n$0\r\n\r\n",
        "*3\r\n:9223372036854775807\r\n:1\r\n$0\r\n\r\n",
        "*3\r\n:-1\r\n:1\r\n$0\r\n\r\n",
        "*3\r\n$13\r\n1800000000000\r\n:1\r\n$0\r\n\r\n",
        "*3\r\n:1800000000000\r\n$0\r\n\r\n:1\r\n",
        "*2\r\n:1800000000000\r\n:1\r\n",
        "*0\r\n",
        "*-1\r\n",
        "$-1\r\n",
        ":9223372036854775807\r\n",
        "+OK\r\n",
    ];
    let error = is_done_without(Impostor { time: NOW, scripts, asked: AtomicUsize::default() }).await;
    assert!(!error.is_empty());
}

#[tokio::test]
async fn a_reply_that_says_late_with_an_impossible_time_ends_with_the_one_who_gives_it() {
    let scripts = &["*1\r\n:-9223372036854775808\r\n", "*1\r\n:9223372036854775807\r\n"];
    is_done_without(Impostor { time: NOW, scripts, asked: AtomicUsize::default() }).await;
}

#[tokio::test]
async fn a_server_whose_clock_is_out_of_all_bounds_is_not_used() {
    let times = [
        "*2\r\n$19\r\n9223372036854775807\r\n$1\r\n0\r\n",
        "*2\r\n$20\r\n-9223372036854775808\r\n$1\r\n0\r\n",
        "*2\r\n$1\r\n0\r\n$20\r\n-9223372036854775808\r\n",
    ];
    let scripts: &[&str] = &["+OK\r\n"];
    join_all(times.map(async |time| {
        let error = is_done_without(Impostor { time, scripts, asked: AtomicUsize::default() }).await;
        assert!(error.contains("clock"), "{error}");
    }))
    .await;
}
