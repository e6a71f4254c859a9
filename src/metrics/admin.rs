//! Requests to the admin API.

use http::StatusCode;
use metrics::counter;

use super::table::ADMIN_REQUESTS;

/// All values of the label, so that each series exists from the start.
const OUTCOMES: [&str; 6] = ["ok", "invalid", "unauthorized", "forbidden", "limited", "failed"];

pub(super) fn announce() {
    for outcome in OUTCOMES {
        counter!(ADMIN_REQUESTS, "outcome" => outcome).increment(0);
    }
}

/// Counts a request to the admin API by the status of its response.
pub(crate) fn admin_request(status: StatusCode) {
    counter!(ADMIN_REQUESTS, "outcome" => outcome(status)).increment(1);
}

fn outcome(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => "forbidden",
        StatusCode::TOO_MANY_REQUESTS => "limited",
        _ if status.is_server_error() => "failed",
        _ if status.is_client_error() => "invalid",
        _ => "ok",
    }
}
