//! When warnings about certificates are logged while tidegate runs. Their files may stay as they are until the certificates
//! have expired, so no reload would report it. Pure: the caller reads the clock.

use std::time::Duration;

use crate::config::Diagnostic;

/// How often certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// How often warnings are repeated.
const REPEAT_EVERY: Duration = Duration::from_secs(86_400);

/// What was logged, and when, since 1970.
#[derive(Debug)]
pub(super) struct Reminder {
    logged: Vec<Diagnostic>,
    logged_at: Duration,
    looked_at: Duration,
}

impl Reminder {
    /// These warnings were logged now.
    pub(super) fn new(logged: Vec<Diagnostic>, now: Duration) -> Self {
        Self { logged, logged_at: now, looked_at: now }
    }

    /// Returns the warnings to log now. They are only made when they are due to be looked at.
    pub(super) fn due(&mut self, now: Duration, warnings: impl FnOnce() -> Vec<Diagnostic>) -> &[Diagnostic] {
        // A clock that is set back is looked at as well.
        if now.abs_diff(self.looked_at) < LOOK_EVERY {
            return &[];
        }
        self.looked_at = now;
        let warnings = warnings();
        if warnings == self.logged && now.abs_diff(self.logged_at) < REPEAT_EVERY {
            return &[];
        }
        (self.logged, self.logged_at) = (warnings, now);
        &self.logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(1_000_000_000 + 3600 * hours)
    }

    fn warning(message: &str) -> Diagnostic {
        let (severity, message) = (Severity::Warning, message.to_owned());
        let (file, path, help) = (None, String::new(), String::new());
        Diagnostic { severity, file, line: None, column: None, path, message, help }
    }

    fn due(reminder: &mut Reminder, now: Duration, warnings: &[&str]) -> Vec<String> {
        let due = reminder.due(now, || warnings.iter().map(|message| warning(message)).collect());
        due.iter().map(|warning| warning.message.clone()).collect()
    }

    #[test]
    fn a_new_warning_is_logged_within_an_hour() {
        let mut reminder = Reminder::new(Vec::new(), hours(0));
        assert_eq!(due(&mut reminder, hours(1) - Duration::from_secs(1), &["a"]), [""; 0]);
        assert_eq!(due(&mut reminder, hours(1), &["a"]), ["a"]);
        assert_eq!(due(&mut reminder, hours(2), &["a", "b"]), ["a", "b"]);
    }

    #[test]
    fn a_warning_is_repeated_once_a_day() {
        let mut reminder = Reminder::new(vec![warning("a")], hours(0));
        for day in 1..4 {
            for hour in 1..24 {
                assert_eq!(due(&mut reminder, hours(24 * (day - 1) + hour), &["a"]), [""; 0]);
            }
            assert_eq!(due(&mut reminder, hours(24 * day), &["a"]), ["a"]);
        }
    }

    #[test]
    fn nothing_is_logged_without_a_warning() {
        let mut reminder = Reminder::new(vec![warning("a")], hours(0));
        for hour in 1..60 {
            assert_eq!(due(&mut reminder, hours(hour), &[]), [""; 0]);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let mut reminder = Reminder::new(Vec::new(), hours(1000));
        assert_eq!(due(&mut reminder, hours(0), &["a"]), ["a"]);
    }
}
