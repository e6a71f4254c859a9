//! The response to a request that a limit has no room for.

use std::fmt::Write as _;

use http::{HeaderMap, Response, StatusCode, header};

use super::{Body, GRPC_RESOURCE_EXHAUSTED, grpc_error, problem_response, retry_after};
use crate::grpc::is_grpc;
use crate::limiter::{Limited, Standing};
use crate::policy::NamedLimit;
use crate::policy::limit::whole_seconds;
use crate::proxy::headers;

/// A problem type of draft-ietf-httpapi-ratelimit-headers-11, section 8.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Room for the problem of a limit with a name of the usual length.
const QUOTA_PROBLEM_BYTES: usize = 320;

/// 429, or the response that the rule configures: a limit has no room.
pub(in crate::proxy) fn limited(
    request: &HeaderMap,
    limited: &Limited<'_>,
    x_ratelimit_headers: bool,
) -> Response<Body> {
    let Limited { rule, standing, violated } = limited;
    let custom = rule.custom_response.as_deref();
    let wait_ms = custom.map_or(standing.reset_ms, |custom| later(standing.reset_ms, custom.retry_jitter));
    let is_grpc = is_grpc(request);
    let mut response = if is_grpc {
        grpc_error(GRPC_RESOURCE_EXHAUSTED, "the rate limit is exceeded", wait_ms)
    } else {
        let seconds = whole_seconds(wait_ms);
        let status = custom.and_then(|custom| custom.status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        let body = match custom.and_then(|custom| custom.body.as_ref()) {
            Some(body) => body.fill(seconds, standing.limit.limit.quota()),
            None => quota_problem(status, standing, seconds, violated).into(),
        };
        let mut response = problem_response(status, body);
        retry_after(&mut response, seconds);
        response
    };
    for (name, value) in custom.map(|custom| &*custom.headers).unwrap_or_default() {
        // An error of gRPC has no body, and clients know it by its type.
        if !(is_grpc && *name == header::CONTENT_TYPE) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    headers::advertise(response.headers_mut(), standing, x_ratelimit_headers);
    response
}

/// Adds up to `percent` of a wait to it, at random.
fn later(wait_ms: i64, percent: u8) -> i64 {
    if percent == 0 {
        return wait_ms;
    }
    let most = wait_ms.max(0).saturating_mul(percent.into()) / 100;
    wait_ms + fastrand::i64(0..=most)
}

/// Returns the problem of a limit that has no room, written without `serde_json`: a flood of refusals has to cost little.
fn quota_problem(
    status: StatusCode,
    standing: &Standing<'_>,
    retry_after: i64,
    violated: &[&NamedLimit],
) -> String {
    let limit = &standing.limit.limit;
    let mut digits = itoa::Buffer::new();
    let mut text = String::with_capacity(QUOTA_PROBLEM_BYTES);
    text.push_str("{\"type\":\"");
    text.push_str(QUOTA_EXCEEDED);
    text.push_str(
        "\",\"title\":\"Request cannot be satisfied as assigned quota has been exceeded\",\"status\":",
    );
    text.push_str(status.as_str());
    text.push_str(",\"detail\":\"The limit is ");
    text.push_str(digits.format(limit.quota()));
    text.push_str(" requests in ");
    push_seconds(&mut text, limit.window_ms());
    text.push_str(" s. Try again in ");
    text.push_str(digits.format(retry_after));
    text.push_str(" s.\",\"violated-policies\":[");
    for (place, limit) in violated.iter().enumerate() {
        text.push_str(if place == 0 { "\"" } else { ",\"" });
        // The configuration accepts only plain text as the name of a rule: nothing needs an escape.
        text.push_str(&limit.name);
        text.push('"');
    }
    text.push_str("]}\n");
    text
}

/// Writes milliseconds as seconds.
fn push_seconds(text: &mut String, milliseconds: i64) {
    if milliseconds % 1000 == 0 {
        text.push_str(itoa::Buffer::new().format(milliseconds / 1000));
    } else {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", milliseconds as f64 / 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::{QUOTA_EXCEEDED, later, quota_problem};
    use crate::limiter::Standing;
    use crate::policy::NamedLimit;

    #[test]
    fn the_problem_of_a_limit_is_what_serde_json_writes() {
        for (window_ms, seconds) in [(60_000, "60"), (1_500, "1.5"), (7, "0.007")] {
            let limits = [("login:1m", window_ms), ("all", 1_000)]
                .map(|(name, window_ms)| NamedLimit::example(name, 12, window_ms));
            let standing = Standing { limit: &limits[0], remaining: 0, reset_ms: 4_001 };
            let problem = json!({
                "type": QUOTA_EXCEEDED,
                "title": "Request cannot be satisfied as assigned quota has been exceeded",
                "status": 403,
                "detail": format!("The limit is 12 requests in {seconds} s. Try again in 5 s."),
                "violated-policies": ["login:1m", "all"],
            });
            let written = quota_problem(StatusCode::FORBIDDEN, &standing, 5, &[&limits[0], &limits[1]]);
            assert_eq!(written, format!("{problem}\n"));
        }
    }

    #[test]
    fn jitter_only_adds_to_a_wait() {
        for wait_ms in [0, 1, 99, 12_345, i64::MAX / 2] {
            assert_eq!(later(wait_ms, 0), wait_ms);
            let waits = (0..100).map(|_| later(wait_ms, 10));
            assert!(waits.into_iter().all(|wait| (wait_ms..=wait_ms + wait_ms / 10).contains(&wait)));
        }
    }

    #[test]
    fn jitter_spreads_waits() {
        let waits: std::collections::BTreeSet<i64> = (0..100).map(|_| later(1_000_000, 50)).collect();
        assert!(waits.len() > 50, "{waits:?}");
    }
}
