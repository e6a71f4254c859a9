//! The load of `make bench`: HTTP/1.1 requests over connections that are kept, one thread for each.
//!
//! ```text
//! cargo run --release --example load -- 127.0.0.1:8080 --requests 40000               as fast as it goes
//! cargo run --release --example load -- 127.0.0.1:8080 --requests 8000 --rate 2000    on schedule
//! ```
//! On schedule, a request that finds its connection busy counts from the time that it was due: what a slow response
//! delays behind it is part of the latency. Threads, because timers of an event loop have steps of 1 ms.

#![allow(clippy::print_stdout, reason = "prints its report")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use tidegate::clock::Stopwatch;

/// Until all connections are there.
const LEAD_S: f64 = 0.2;
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Parser)]
struct Options {
    /// The server
    address: SocketAddr,
    /// Requests in all
    #[arg(long)]
    requests: usize,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests per second in all, evenly spaced; without it, each connection sends as soon as it has a response
    #[arg(long)]
    rate: Option<f64>,
    /// Values of the field x-api-key, taken in turn
    #[arg(long, default_value_t = 1000)]
    keys: usize,
}

/// What one connection has measured.
#[derive(Default)]
struct Report {
    latencies_us: Vec<u64>,
    statuses: Vec<u16>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let watch = Stopwatch::start();
    let threads: Vec<_> = (0..options.connections)
        .map(|connection| {
            let options = options.clone();
            std::thread::spawn(move || run(&options, connection, watch))
        })
        .collect();
    let (mut latencies_us, mut statuses) = (Vec::new(), Vec::new());
    for thread in threads {
        let report = thread.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))??;
        latencies_us.extend(report.latencies_us);
        statuses.extend(report.statuses);
    }
    let seconds = watch.seconds();
    latencies_us.sort_unstable();
    let percentile = |percent: usize| latencies_us.get(latencies_us.len() * percent / 100).copied();
    let count = |wanted: u16| statuses.iter().filter(|&&status| status == wanted).count();
    let report = serde_json::json!({
        "seconds": seconds,
        "ok": count(200),
        "refused": count(429),
        "others": statuses.len() - count(200) - count(429),
        "p50_us": percentile(50),
        "p99_us": percentile(99),
    });
    println!("{report}");
    Ok(())
}

/// Sends every n-th request, where n is the number of connections.
fn run(options: &Options, connection: usize, watch: Stopwatch) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut stream = connect(options.address)?;
    if options.rate.is_some() {
        // Wakes the thread when it asked for it, not up to 50 us later. Only Linux has the file.
        let _ = std::fs::write("/proc/thread-self/timerslack_ns", "1");
    }
    for number in (connection..options.requests).step_by(options.connections) {
        let key = number % options.keys;
        let request = format!("GET /api/tasks HTTP/1.1\r\nHost: bench\r\nx-api-key: client-{key}\r\n\r\n");
        let mut start = watch.seconds();
        if let Some(rate) = options.rate {
            let due = LEAD_S + number as f64 / rate;
            if start < due {
                pause(due - start);
                start = watch.seconds();
            } else {
                start = due;
            }
        }
        stream.get_mut().write_all(request.as_bytes())?;
        let (status, keeps) = receive(&mut stream)?;
        report.latencies_us.push(Duration::from_secs_f64(watch.seconds() - start).as_micros().try_into()?);
        report.statuses.push(status);
        if !keeps {
            stream = connect(options.address)?;
        }
    }
    Ok(report)
}

#[expect(clippy::disallowed_methods, reason = "each connection has a thread of its own")]
fn pause(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

fn connect(address: SocketAddr) -> anyhow::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(BufReader::new(stream))
}

/// Reads a response with a length; returns its status, and whether the connection stays open.
fn receive(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(u16, bool)> {
    let (mut line, mut length, mut keeps) = (String::new(), None, true);
    if stream.read_line(&mut line)? == 0 {
        bail!("the server closed the connection instead of a response");
    }
    let status = line.split(' ').nth(1).context("no status")?.parse()?;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<u64>()?);
        } else if name.eq_ignore_ascii_case("connection") {
            keeps = !value.trim().eq_ignore_ascii_case("close");
        }
    }
    let length = length.context("a response without Content-Length")?;
    let read = std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
    if read < length {
        bail!("the response ended early");
    }
    Ok((status, keeps))
}
