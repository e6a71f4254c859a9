//! `tidegate health`: gets a probe of a running tidegate, for images without a shell and curl.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Failure;

/// The time from the connection to the end of the response. Orchestrators end a probe earlier, each after a time of its own.
const DEADLINE: Duration = Duration::from_secs(5);
/// The bytes of a response that are read. Those of a probe are about a hundred.
const MAX_RESPONSE: u64 = 16 * 1024;

/// `tidegate health`: gets the probe at `path` from the instance with this `ops_listen`, and writes the body of the response
/// to standard output.
///
/// # Errors
/// When the status of the response is not 200, or no response comes in time.
pub fn health(ops_listen: SocketAddr, path: &str) -> Result<(), Failure> {
    // One thread: an orchestrator starts this every few seconds, perhaps with a small CPU quota.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let body = runtime.context("cannot start the runtime")?.block_on(probe(ops_listen, path))?;
    writeln!(std::io::stdout(), "{body}")?;
    Ok(())
}

/// Returns the body of the response. (A connection to 0.0.0.0 or [::] is one to this host.)
async fn probe(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let response = match timeout(DEADLINE, exchange(address, path)).await {
        Ok(response) => response.with_context(|| format!("no response from {address}"))?,
        Err(_) => bail!("no response from {address} within {} s", DEADLINE.as_secs()),
    };
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match status {
        Some("200") => Ok(body.trim_end().to_owned()),
        Some(status) => bail!("{address} responded to {path} with {status}: {}", body.trim_end()),
        None => bail!("{address} does not speak HTTP/1.1: is it the address of ops_listen?"),
    }
}

async fn exchange(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut response).await?;
    Ok(response)
}
