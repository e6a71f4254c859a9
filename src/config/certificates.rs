//! The certificates that a configuration names, and whether they are valid. Pure: the caller reads the clock.

use std::time::Duration;

use super::diagnostic::{Diagnostic, shown};
use crate::tls::{Outdated, Validity};

/// The certificates of one file.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Where the configuration names the file. It has no message yet.
    at: Diagnostic,
    file: String,
    validities: Vec<Option<Validity>>,
}

/// Returns a warning for each file with a certificate that is not valid at this time since 1970, or expires soon.
#[must_use]
pub fn warnings(files: &[Certificates], now: Duration) -> Vec<Diagnostic> {
    files.iter().filter_map(|file| file.warning(now)).collect()
}

impl Certificates {
    pub(super) fn new(at: Diagnostic, file: String, validities: Vec<Option<Validity>>) -> Self {
        Self { at, file, validities }
    }

    /// Returns the key of the configuration that names the file, and when the first of its certificates expires, in seconds
    /// since 1970.
    #[must_use]
    pub fn expiry(&self) -> Option<(&str, u64)> {
        let times = self.validities.iter().flatten().filter_map(|validity| match validity {
            Validity::Between { not_after, .. } => Some(*not_after),
            Validity::Never => None,
        });
        times.min().map(|first| (&*self.at.path, first))
    }

    /// Returns a warning if one of them is not valid at this time since 1970, or expires soon. There is one for each file, as
    /// a collection of authorities may hold many that have expired.
    fn warning(&self, now: Duration) -> Option<Diagnostic> {
        self.outdated(now).or_else(|| self.expiring(now)).map(|(message, help)| Diagnostic {
            message,
            help: format!("expected a certificate that is {help}"),
            ..self.at.clone()
        })
    }

    fn outdated(&self, now: Duration) -> Option<(String, &'static str)> {
        let mut outdated = self.judged(|validity| validity.outdated(now));
        let (certificate, first) = outdated.next()?;
        let others = match outdated.count() {
            0 => String::new(),
            1 => ", and another one is not valid now".to_owned(),
            others => format!(", and {others} others are not valid now"),
        };
        let help = match first {
            Outdated::Expired(_) | Outdated::Never => "valid now: renew it",
            Outdated::NotYetValid(_) => "valid now: is the clock of this machine right?",
        };
        Some((format!("{certificate} {first}{others}"), help))
    }

    fn expiring(&self, now: Duration) -> Option<(String, &'static str)> {
        let mut expiring = self.judged(|validity| validity.expires_soon(now));
        let (certificate, first) = expiring.next()?;
        let others = match expiring.count() {
            0 => String::new(),
            1 => ", and another one expires soon".to_owned(),
            others => format!(", and {others} others expire soon"),
        };
        Some((format!("{certificate} {first}{others}"), "valid for longer: renew it"))
    }

    /// The certificates about which there is something to say, each with its name and that.
    fn judged<T>(&self, judge: impl Fn(Validity) -> Option<T>) -> impl Iterator<Item = (String, T)> {
        let name = |number: usize| match self.validities.len() {
            1 => format!("the certificate in '{}'", shown(&self.file)),
            all => format!("certificate {number} of {all} in '{}'", shown(&self.file)),
        };
        let judged = move |(number, validity): (usize, &Option<Validity>)| {
            validity.and_then(&judge).map(|found| (name(number), found))
        };
        (1..).zip(&self.validities).filter_map(judged)
    }
}
