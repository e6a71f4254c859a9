//! `tidegate ctl`: the admin API at a terminal.

mod changes;
mod http;
mod json;
mod requests;
mod table;
mod text;
mod views;

use std::io::Write as _;

use ::http::Method;
use serde_json::{Value, json};

use crate::cli::{CtlArgs, CtlCommand, Output, SetArgs};
use http::{Failure, Server};

/// Of sysexits(3).
const EX_CONFIG: u8 = 78;

/// Why a command failed, for standard error, and its exit code.
#[derive(Debug)]
pub struct CtlError {
    /// In the form of the configuration's diagnostics.
    pub message: String,
    /// The exit code.
    pub code: u8,
}

/// Runs a command.
///
/// # Errors
/// When the API cannot be reached, or refuses.
pub fn run(arguments: &CtlArgs) -> Result<(), CtlError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CtlError { message: format!("error: {error}"), code: 1 })?;
    let text = runtime.block_on(respond(arguments)).map_err(error)?;
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CtlError { message: format!("error: {error}"), code: 1 }),
        Ok(()) => Ok(()),
    }
}

async fn respond(arguments: &CtlArgs) -> Result<String, Failure> {
    let server = Server::new(&arguments.server, arguments.token_file.as_deref())?;
    let (body, view) = request(&server, &arguments.command).await?;
    Ok(match arguments.output {
        // The response has no body.
        Output::Json if body.is_null() => String::new(),
        Output::Json => format!("{body:#}\n"),
        Output::Table => view(&body),
    })
}

type View = fn(&Value) -> String;

/// Sends the request of a command. Returns the body of the response, and what shows it.
async fn request(server: &Server, command: &CtlCommand) -> Result<(Value, View), Failure> {
    let get = async |path: &str| server.send(Method::GET, path, None).await;
    Ok(match command {
        CtlCommand::Status => (get("/v1/status").await?, views::status),
        CtlCommand::Rules { rule: None } => (get("/v1/rules").await?, views::rules),
        CtlCommand::Rules { rule: Some(rule) } => (get(&rule_path(rule)).await?, views::rule),
        CtlCommand::Set(set) => {
            let SetArgs { rate, burst, mode, until, .. } = set;
            let change = json!({ "rate": rate, "burst": burst, "mode": mode });
            let body = requests::with_until(change, until);
            let path = override_path(set.rule.as_deref());
            (server.send(Method::PUT, &path, Some(&body)).await?, changes::set)
        }
        CtlCommand::Unset { rule, .. } => {
            let path = override_path(rule.as_deref());
            (server.send(Method::DELETE, &path, None).await?, changes::unset)
        }
        CtlCommand::Overrides => (get("/v1/overrides").await?, changes::overrides),
        CtlCommand::Client(command) => requests::client(server, command).await?,
        CtlCommand::Explain { method, url, headers, peer } => {
            let body = requests::question(method, url, headers, *peer)?;
            (server.send(Method::POST, "/v1/explain", Some(&body)).await?, changes::explained)
        }
        CtlCommand::Reload => (server.send(Method::POST, "/v1/reload", None).await?, views::reloaded),
        CtlCommand::Instances => (get("/v1/instances").await?, views::instances),
    })
}

fn rule_path(rule: &str) -> String {
    format!("/v1/rules/{}", text::encoded(rule))
}

/// Returns the path of the override of a rule, or of all rules at once.
fn override_path(rule: Option<&str>) -> String {
    rule.map_or_else(|| "/v1/override".to_owned(), |rule| format!("{}/override", rule_path(rule)))
}

/// Writes a failure as the configuration's diagnostics are written.
fn error(failure: Failure) -> CtlError {
    let Failure { message, help, faults, .. } = failure;
    let mut text: Vec<String> = faults
        .iter()
        .map(|fault| {
            let part = |name: &str| text::clean(fault[name].as_str().unwrap_or_default());
            format!("error: {}\n --> {}\n    help: {}", part("message"), part("location"), part("help"))
        })
        .collect();
    text.push(format!("error: {}", text::clean(&message)));
    text.extend(help.map(|help| format!("    help: {}", text::clean(&help))));
    CtlError { message: text.join("\n"), code: if faults.is_empty() { 1 } else { EX_CONFIG } }
}
