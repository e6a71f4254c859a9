//! What commands send to the admin API.
#![expect(clippy::indexing_slicing, reason = "a JSON value without the key is null: nothing panics")]

use std::io::BufRead as _;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method, Uri};
use serde_json::{Value, json};

use super::http::{Failure, Server};
use super::text::{encoded, is_id};
use super::{View, changes, rule_path};
use crate::cli::{ClientArgs, ClientCommand, SetClientArgs, Until};

/// Adds to a change how long it holds, and why.
pub(super) fn with_until(mut change: Value, until: &Until) -> Value {
    change["expires_in"] = json!(until.expires_in);
    change["reason"] = json!(until.reason);
    change
}

/// Sends the request of `ctl client ...`.
pub(super) async fn client(server: &Server, command: &ClientCommand) -> Result<(Value, View), Failure> {
    let path = async |arguments| client_path(server, arguments).await;
    Ok(match command {
        ClientCommand::Show(client) => {
            (server.send(Method::GET, &path(client).await?, None).await?, changes::client)
        }
        ClientCommand::Reset(client) => {
            (server.send(Method::DELETE, &path(client).await?, None).await?, changes::reset)
        }
        ClientCommand::Set(set) => {
            let SetClientArgs { client, rate, burst, unlimited, blocked, until } = set;
            let change = json!({ "rate": rate, "burst": burst, "unlimited": unlimited, "blocked": blocked });
            let (path, body) = (path(client).await? + "/override", with_until(change, until));
            (server.send(Method::PUT, &path, Some(&body)).await?, changes::set)
        }
        ClientCommand::Unset(client) => {
            let path = path(client).await? + "/override";
            (server.send(Method::DELETE, &path, None).await?, changes::unset)
        }
    })
}

/// Returns the path of a client. Clear values become an id first, in a body: no URL has them.
async fn client_path(server: &Server, ClientArgs { rule, client }: &ClientArgs) -> Result<String, Failure> {
    let values = match &**client {
        [from_input] if from_input == "-" => input()?,
        values => values.to_vec(),
    };
    let rule = rule_path(rule);
    let parts = match server.send(Method::GET, &rule, None).await {
        Ok(shown) => shown["key"].as_array().map_or(0, Vec::len),
        // The rule may be gone, and its overrides still there: these are listed with ids.
        Err(failure) if failure.is_missing && values.len() == 1 => 0,
        Err(failure) => return Err(failure),
    };
    let id = match &*values {
        [] if parts == 0 => "*".to_owned(),
        [id] if parts != 1 || is_id(id) => id.clone(),
        values => {
            let path = format!("{rule}/client-id");
            let shown = server.send(Method::POST, &path, Some(&json!({ "key": values }))).await?;
            shown["id"].as_str().unwrap_or_default().to_owned()
        }
    };
    Ok(format!("{rule}/clients/{}", encoded(&id)))
}

/// Reads values from standard input, one a line.
fn input() -> Result<Vec<String>, Failure> {
    let lines = std::io::stdin().lock().lines().collect::<Result<Vec<String>, _>>();
    let lines = lines.map_err(|error| {
        Failure::new(format!("standard input cannot be read: {error}"), "expected one value a line")
    })?;
    Ok(lines.into_iter().filter(|line| !line.trim().is_empty()).collect())
}

/// Returns the request that is to be explained.
pub(super) fn question(
    method: &Method,
    url: &Uri,
    headers: &[(HeaderName, HeaderValue)],
    peer: IpAddr,
) -> Result<Value, Failure> {
    let field = |(name, value): &(HeaderName, HeaderValue)| match value.to_str() {
        Ok(value) => Ok(format!("{name}: {value}")),
        Err(_) => Err(Failure::new(format!("the value of {name} is not ASCII"), "leave the field out")),
    };
    let headers = headers.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "method": method.as_str(),
        "url": url.to_string(),
        "headers": headers,
        "peer": peer.to_string(),
    }))
}
