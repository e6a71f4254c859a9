//! Every metric, in one table: its name, type, unit, labels and meaning. The exporter describes the metrics by it, and a
//! test compares `docs/metrics.md` with it.

use metrics::Unit;

/// One metric.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Option<Unit>,
    /// Only `docs/metrics.md` lists them: the series have theirs where they are made.
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the page"))]
    pub(super) labels: &'static [&'static str],
    /// In the words of `docs/metrics.md`.
    pub(super) help: &'static str,
}

/// The type of a metric.
pub(super) enum Kind {
    Counter,
    Gauge,
    /// With the upper ends of its buckets.
    Histogram(&'static [f64]),
}

use Kind::{Counter, Gauge, Histogram};

/// From what a check in memory takes to what a client would notice.
const CHECK_SECONDS: &[f64] =
    &[5e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3];
const UPSTREAM_SECONDS_BUCKETS: &[f64] =
    &[1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// A request takes at least what the upstream takes; a refused one takes less than the shortest of these.
const REQUEST_SECONDS_BUCKETS: &[f64] =
    &[250e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

const NO_LABELS: &[&str] = &[];
const SECONDS: Option<Unit> = Some(Unit::Seconds);
const BYTES: Option<Unit> = Some(Unit::Bytes);

/// Makes a constant of each name, and a table of all rows.
macro_rules! table {
    ($($constant:tt = $name:literal, $kind:expr, $unit:expr, $labels:expr, $help:expr;)*) => {
        $(pub(super) const $constant: &str = $name;)*

        /// All metrics, in the order of `docs/metrics.md`.
        pub(super) const TABLE: &[Metric] =
            &[$(Metric { name: $name, kind: $kind, unit: $unit, labels: $labels, help: $help }),*];
    };
}

table! {
    REQUESTS = "tidegate_requests_total", Counter, None, &["rule", "outcome"],
        "every request, counted once, by the rule that decided and what it decided";
    RESPONSES = "tidegate_responses_total", Counter, None, &["code"],
        "responses sent to clients, the upstream's and tidegate's own";
    REQUEST_SECONDS = "tidegate_request_duration_seconds", Histogram(REQUEST_SECONDS_BUCKETS), SECONDS, NO_LABELS,
        "from the end of a request's head to the end of its response, or until the client has left; a tunnel's response ends with its head";
    REQUESTS_IN_FLIGHT = "tidegate_requests_in_flight", Gauge, None, NO_LABELS,
        "requests whose response has not ended; tunnels are not among them";
    REQUEST_BYTES = "tidegate_request_body_bytes_total", Counter, BYTES, NO_LABELS,
        "bytes of request bodies on their way to the upstream";
    RESPONSE_BYTES = "tidegate_response_body_bytes_total", Counter, BYTES, NO_LABELS,
        "bytes of response bodies on their way to clients, the upstream's and tidegate's own, counted when a response ends";
    NEAR_LIMIT = "tidegate_near_limit_requests_total", Counter, None, &["rule"],
        "admitted requests after which their client has used more than 80 % of a limit of the rule, its burst included";
    RULE_LIMIT = "tidegate_rule_limit", Gauge, None, &["rule", "window"],
        "units per window that the rule admits, by its override if it has one; NaN: it has no such limit any more";
    RULE_BURST = "tidegate_rule_burst", Gauge, None, &["rule", "window"],
        "units above the limit that a rested client may use; NaN as above";
    RULE_CONFIGURED_LIMIT = "tidegate_rule_configured_limit", Gauge, None, &["rule", "window"],
        "the same by the configuration alone; NaN as above";
    DECISION_SECONDS = "tidegate_decision_duration_seconds", Histogram(CHECK_SECONDS), SECONDS, NO_LABELS,
        "how long the limiter took for its verdict on a request: the latency that a check adds";
    DECISIONS = "tidegate_decisions_total", Counter, None, &["origin"],
        "requests that rules decided about, by [where the decision came from](#origin)";
    TRIALS = "tidegate_trial_requests_total", Counter, None, &["rule", "result"],
        "requests of each rule with a [`trial`](configuration.md#rules) limit, refused ones included, by what that limit would have done: `allowed`, `limited`, or `undecided`, as the store made no decision";
    STORE_SECONDS = "tidegate_store_duration_seconds", Histogram(CHECK_SECONDS), SECONDS, &["store", "result"],
        "one check in the store; `result` is `ok`, `timeout` or `error`";
    STORE_UP = "tidegate_store_up", Gauge, None, NO_LABELS,
        "0 while a server of the store is down: it gets no checks, `on_outage` decides, and probes find out when it is back";
    STORE_BREAKER_OPEN = "tidegate_store_breaker_open", Gauge, None, &["server"],
        "1 while this server of the store is not used; `cluster` stands for the time in which no server has reported its slots; NaN: the server has left";
    STORE_DEGRADED = "tidegate_store_degraded_seconds_total", Counter, SECONDS, NO_LABELS,
        "for how long a server of the store has been down in all, in whole seconds";
    STORE_OUTAGES = "tidegate_store_outages_total", Counter, None, NO_LABELS,
        "how often a server went down; an outage between two scrapes shows here";
    INSTANCES = "tidegate_instances", Gauge, None, NO_LABELS,
        "instances that share the limits, as last seen in Redis; 1 with counters in memory";
    SETTLED = "tidegate_settled_units_total", Counter, None, NO_LABELS,
        "units admitted without Redis that were added to its counters afterwards";
    FALLBACK_EVICTIONS = "tidegate_fallback_evictions_total", Counter, None, NO_LABELS,
        "counters forgotten here to make room for others (32,768 are kept): without Redis they would be decided like those of unknown clients";
    STORE_KEYS = "tidegate_store_keys", Gauge, None, &["store"],
        "counters in the memory store, as of the last sweep (every 5 s)";
    STORE_EVICTIONS = "tidegate_store_evictions_total", Counter, None, &["store"],
        "live counters that the memory store dropped to make room: raise `max_keys`";
    STORE_ROUND_TRIPS = "tidegate_store_round_trips_total", Counter, None, &["store"],
        "batches of checks sent to Redis; checks that overlap share one";
    STORE_BATCH_SIZE = "tidegate_store_batch_size", Histogram(BATCH_SIZES), None, &["store"],
        "calls that shared one round trip to Redis";
    STORE_QUEUE_DEPTH = "tidegate_store_queue_depth", Gauge, None, NO_LABELS,
        "calls that wait for a round trip to Redis, at the time of the scrape; up to 4,096 may wait for each server";
    STORE_DISAGREEMENTS = "tidegate_store_disagreements_total", Counter, None, &["store"],
        "decisions of the Redis script that the arithmetic here does not confirm; not 0 is a bug, please report it";
    UPSTREAM_SECONDS = "tidegate_upstream_response_duration_seconds", Histogram(UPSTREAM_SECONDS_BUCKETS), SECONDS, NO_LABELS,
        "from forwarding a request to the head of the upstream's response";
    UPSTREAM_ERRORS = "tidegate_upstream_errors_total", Counter, None, &["error"],
        "requests that the upstream gave no response to: `unreachable`, `full` (too many wait for it), `broken`, `framing`, `timeout`, `unsolicited`";
    UPSTREAM_RETRIES = "tidegate_upstream_retries_total", Counter, None, NO_LABELS,
        "requests sent once more, because their connection had ended: the upstream closes idle connections before `upstream.idle_timeout`";
    UPSTREAM_CONNECTIONS = "tidegate_upstream_connections", Gauge, None, NO_LABELS,
        "open connections to the upstream, tunnels included";
    ADMIN_REQUESTS = "tidegate_admin_requests_total", Counter, None, &["outcome"],
        "requests to the admin API: `ok`; `invalid` (400, 404, 409, 422 and the like); `unauthorized` (401); `forbidden` (403, 421); `limited` (429); `failed` (5xx)";
    BOUND_EXCEEDED = "tidegate_bound_exceeded_total", Counter, None, &["bound"],
        "requests and connections that were refused or cut at a [bound](#bound)";
    TUNNELS = "tidegate_tunnels", Gauge, None, NO_LABELS,
        "open tunnels (WebSocket)";
    CONNECTIONS = "tidegate_connections", Gauge, None, NO_LABELS,
        "open connections, of clients and of probes";
    HANDSHAKE_ERRORS = "tidegate_tls_handshake_errors_total", Counter, None, NO_LABELS,
        "TLS handshakes of clients that failed: no certificate where one is required, one that no authority here vouches for, no common version, or no TLS at all; and handshakes that reach a listener without TLS, which get 400";
    BYPASS_REJECTED = "tidegate_bypass_rejected_total", Counter, None, &["bypass"],
        "requests with a wrong secret, by [bypass](configuration.md#bypass) that has one: its field was there, but not once with a secret of a bypass";
    UNTRUSTED_FORWARDED = "tidegate_untrusted_forwarded_total", Counter, None, NO_LABELS,
        "requests with `X-Forwarded-For` or `Forwarded` from a peer that is not in [`client.trusted_proxies`](configuration.md#client). If the peer is a proxy, all clients behind it share one bucket; the log names its network, once an hour";
    RELOADS = "tidegate_config_reloads_total", Counter, None, &["result"],
        "configurations read, `ok` (the first included) or `error`";
    RELOAD_SUCCESSFUL = "tidegate_config_last_reload_successful", Gauge, None, NO_LABELS,
        "1 while the file and its secrets are in force as they are; 0 from a reload that was refused to the next that succeeds";
    RELOADED_AT = "tidegate_config_last_reload_success_timestamp_seconds", Gauge, SECONDS, NO_LABELS,
        "when the configuration in force was read, Unix time";
    CONFIG_HASH = "tidegate_config_hash", Gauge, None, NO_LABELS,
        "a hash of the configuration in force: equal on instances that run the same file with the same `--limit`; secrets and certificates do not count";
    CERTIFICATE_EXPIRY = "tidegate_certificate_expiry_timestamp_seconds", Gauge, SECONDS, &["key"],
        "when the first certificate in the file under this key of the configuration expires, Unix time";
    LOG_LINES_DROPPED = "tidegate_log_lines_dropped_total", Counter, None, NO_LABELS,
        "log lines that standard error or standard output (`--log-to`) did not take in time";
    ACCESS_LINES_DROPPED = "tidegate_access_log_lines_dropped_total", Counter, None, NO_LABELS,
        "lines of the access log beyond [`access_log.per_second`](configuration.md#access_log)";
    OVERRIDES = "tidegate_overrides", Gauge, None, &["kind"],
        "overrides in force here, those of rules that do not exist included: `all_rules`, `rule`, `client_rate`, `client_unlimited`, `client_blocked`";
    BUILD_INFO = "tidegate_build_info", Gauge, None, &["version"],
        "always 1";
    _ = "process_cpu_seconds_total", Counter, SECONDS, NO_LABELS,
        "user and system CPU time, in whole seconds";
    _ = "process_open_fds", Gauge, None, NO_LABELS,
        "open file descriptors";
    _ = "process_max_fds", Gauge, None, NO_LABELS,
        "the limit of open file descriptors";
    _ = "process_virtual_memory_bytes", Gauge, BYTES, NO_LABELS,
        "virtual memory";
    _ = "process_virtual_memory_max_bytes", Gauge, BYTES, NO_LABELS,
        "the limit of virtual memory";
    _ = "process_resident_memory_bytes", Gauge, BYTES, NO_LABELS,
        "resident memory";
    _ = "process_start_time_seconds", Gauge, SECONDS, NO_LABELS,
        "when the process started, Unix time";
    _ = "process_threads", Gauge, None, NO_LABELS,
        "threads of the operating system";
}

impl Metric {
    /// Returns the meaning as plain text: without the marks and links of the page.
    pub(super) fn plain_help(&self) -> String {
        let mut plain = String::with_capacity(self.help.len());
        let mut rest = self.help;
        // A link is [text](target).
        while let Some((before, link)) = rest.split_once('[') {
            let (text, after) = link.split_once("](").unwrap_or((link, ")"));
            plain.push_str(before);
            plain.push_str(text);
            rest = after.split_once(')').map_or("", |(_, rest)| rest);
        }
        plain.push_str(rest);
        plain.replace('`', "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/metrics.md");

    /// The table of the page.
    fn rendered() -> String {
        let mut table = "| metric | type, unit | labels | meaning |\n|---|---|---|---|\n".to_owned();
        for Metric { name, kind, unit, labels, help } in TABLE {
            let kind = match kind {
                Counter => "counter",
                Gauge => "gauge",
                Histogram(_) => "histogram",
            };
            let unit = match unit {
                Some(Unit::Seconds) => ", s",
                Some(Unit::Bytes) => ", bytes",
                _ => "",
            };
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            table.push_str(&format!("| `{name}` | {kind}{unit} | {} | {help} |\n", labels.join(", ")));
        }
        table.replace(" |  | ", " | | ")
    }

    #[test]
    fn the_page_has_the_table() {
        let table = rendered();
        assert!(PAGE.contains(&table), "put this table into docs/metrics.md:\n{table}");
    }

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for Metric { name, kind, unit, help, .. } in TABLE {
            let base = name.strip_suffix("_total").unwrap_or(name);
            assert_eq!(matches!(kind, Counter), name.ends_with("_total"), "{name}");
            match unit {
                Some(Unit::Seconds) => assert!(base.ends_with("_seconds"), "{name}"),
                Some(Unit::Bytes) => assert!(base.ends_with("_bytes"), "{name}"),
                _ => assert!(!base.ends_with("_seconds") && !base.ends_with("_bytes"), "{name}"),
            }
            assert!(!help.is_empty() && !help.contains(['|', '\n']), "{name}");
        }
    }

    #[test]
    fn each_name_is_listed_once() {
        let mut names: Vec<&str> = TABLE.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }

    #[test]
    fn the_plain_meaning_has_neither_marks_nor_links() {
        for metric in TABLE {
            let plain = metric.plain_help();
            assert!(!plain.contains(['`', '[', ']']), "{plain}");
        }
        let exceeded = TABLE.iter().find(|metric| metric.name == BOUND_EXCEEDED).unwrap();
        assert_eq!(exceeded.plain_help(), "requests and connections that were refused or cut at a bound");
    }
}
