//! Reads how much the access log has. Pure.

use std::ops::RangeInclusive;

use super::diagnostic::Fault;
use super::key_table::Kind;
use super::section::{Hint, Section};
use super::yaml::Node;
use crate::policy::access_log::AccessLogPolicy;

const HINTS: &[Hint] = &[
    (
        &["sample", "sampling", "rate"],
        "each kind of request has a share of its own",
        "expected allowed and refused",
    ),
    (&["format"], "the format is that of all log lines", "remove the key, and give --log-format"),
];
const SHARE: RangeInclusive<f64> = 0.0..=1.0;
const SHARE_HELP: &str = "expected a number from 0 (none of the requests) to 1 (all), such as 0.05";

pub(super) fn read(file: &mut Section<'_>) -> AccessLogPolicy {
    let mut policy = AccessLogPolicy::default();
    if let Some(value) = file.mapping("access_log") {
        value.section(HINTS, |section| {
            policy.allowed = share(section, "allowed", policy.allowed);
            policy.refused = share(section, "refused", policy.refused);
            policy.per_second = section.integer("per_second", 1..=100_000, policy.per_second);
            Some(())
        });
    }
    policy
}

fn share(section: &mut Section<'_>, key: &'static str, default: f64) -> f64 {
    let Some(value) = section.value(key, Kind::Number(0, 1), default) else { return default };
    let number = match value.node {
        Node::Int(0) => 0.0,
        Node::Int(1) => 1.0,
        // Out of the range, however large it is.
        Node::Int(_) => f64::INFINITY,
        Node::Float(number) => *number,
        _ => {
            value.expected("a number", SHARE_HELP);
            return default;
        }
    };
    if !SHARE.contains(&number) {
        value.location.error(Fault::new("the share is out of range", SHARE_HELP));
    }
    number
}

#[cfg(test)]
mod tests {
    use crate::config::{Overrides, compile_text};
    use crate::policy::access_log::AccessLogPolicy;

    fn read(text: &str) -> Result<AccessLogPolicy, String> {
        let overrides = Overrides { upstream: Some("http://127.0.0.1:1".to_owned()), ..Overrides::default() };
        let config = compile_text("x.yaml", text.as_bytes(), &overrides, &|_| Ok(None));
        config.map(|config| *config.policy.access_log()).map_err(|faults| faults[0].to_string())
    }

    #[test]
    fn refusals_have_a_line_by_default() {
        let default = AccessLogPolicy { allowed: 0.0, refused: 1.0, per_second: 10 };
        assert_eq!(read("forwarded: false"), Ok(default));
        assert_eq!(read("access_log:"), Ok(default));
    }

    #[test]
    fn each_key_is_read() {
        let policy = AccessLogPolicy { allowed: 0.05, refused: 0.0, per_second: 1000 };
        assert_eq!(read("access_log: { allowed: 0.05, refused: 0, per_second: 1000 }"), Ok(policy));
    }

    #[test]
    fn a_share_outside_of_its_range_is_a_fault() {
        for share in ["-0.1", "1.01", "2", "-1", ".nan", ".inf", "99999999999999999999999"] {
            let fault = read(&format!("access_log: {{ allowed: {share} }}")).unwrap_err();
            assert!(fault.contains("access_log.allowed") && fault.contains("from 0"), "{share}: {fault}");
        }
    }

    #[test]
    fn a_share_that_is_not_a_number_is_a_fault() {
        for share in ["all", "50%", "true", "[1]"] {
            let fault = read(&format!("access_log: {{ refused: {share} }}")).unwrap_err();
            assert!(fault.contains("expected a number"), "{share}: {fault}");
        }
    }
}
