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

impl Certificates {
    pub(super) fn new(at: Diagnostic, file: String, validities: Vec<Option<Validity>>) -> Self {
        Self { at, file, validities }
    }

    /// Returns a warning if one of them is not valid at this time since 1970. There is one for each file, as a collection
    /// of authorities may hold many that have expired.
    pub(super) fn warning(&self, now: Duration) -> Option<Diagnostic> {
        let mut outdated = (1..).zip(&self.validities).filter_map(|(number, validity)| {
            validity.and_then(|validity| validity.outdated(now)).map(|outdated| (number, outdated))
        });
        let (number, first): (usize, Outdated) = outdated.next()?;
        let certificate = match self.validities.len() {
            1 => "the certificate".to_owned(),
            all => format!("certificate {number} of {all}"),
        };
        let others = match outdated.count() {
            0 => String::new(),
            1 => ", and another one is not valid now".to_owned(),
            others => format!(", and {others} others are not valid now"),
        };
        let help = match first {
            Outdated::Expired(_) | Outdated::Never => "expected a certificate that is valid now: renew it",
            Outdated::NotYetValid(_) => {
                "expected a certificate that is valid now: is the clock of this machine right?"
            }
        };
        Some(Diagnostic {
            message: format!("{certificate} in '{}' {first}{others}", shown(&self.file)),
            help: help.to_owned(),
            ..self.at.clone()
        })
    }
}
