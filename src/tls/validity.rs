//! When certificates are valid. Pure: the caller reads the clock.

use std::fmt;
use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use webpki::{EndEntityCert, Error, KeyUsage};

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// From one time until another, both included.
    Between {
        /// In seconds since 1970.
        not_before: u64,
        /// In seconds since 1970.
        not_after: u64,
    },
    /// At no time, as it ends before it begins: `openssl x509 -days -1` makes such certificates.
    Never,
}

/// Why a certificate is not valid at some time, with the limit in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// It was valid until then.
    Expired(u64),
    /// It will be valid from then on.
    NotYetValid(u64),
    /// It ends before it begins.
    Never,
}

/// Returns the validity of each certificate in a PEM text, in their order. None: it cannot be read, or the certificate is
/// older than version 3 of X.509, as some authorities are.
#[must_use]
pub fn validities(text: &[u8]) -> Vec<Option<Validity>> {
    let certificates = CertificateDer::pem_slice_iter(text);
    certificates.map(|certificate| Validity::of(&certificate.ok()?)).collect()
}

impl Validity {
    /// Reads the dates from the errors of webpki's verifier, the same that judges certificates in handshakes. webpki
    /// exposes the dates nowhere else. The verifier looks at them before anything else, so it needs neither an authority
    /// nor a signature here. A separate parser of X.509 could disagree with it.
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let judge = |seconds| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None).err()
        };
        let not_before = match judge(0) {
            Some(Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
            _ => 0,
        };
        match judge(u64::MAX) {
            Some(Error::CertExpired { not_after, .. }) => {
                Some(Self::Between { not_before, not_after: not_after.as_secs() })
            }
            Some(Error::InvalidCertValidity) => Some(Self::Never),
            _ => None,
        }
    }

    /// Returns why the certificate is not valid at this time since 1970, if it is not.
    #[must_use]
    pub fn outdated(self, now: Duration) -> Option<Outdated> {
        match self {
            Self::Never => Some(Outdated::Never),
            Self::Between { not_before, .. } if now.as_secs() < not_before => {
                Some(Outdated::NotYetValid(not_before))
            }
            Self::Between { not_after, .. } if now.as_secs() > not_after => {
                Some(Outdated::Expired(not_after))
            }
            Self::Between { .. } => None,
        }
    }
}

/// A certificate is renewed before this much is left of its time. One for a short time is renewed later.
const SOON: u64 = 14 * 86_400;
/// The part of its time that is left then.
const SOON_PART: u64 = 4;

impl Validity {
    /// Returns whether the certificate is valid at this time since 1970, and expires soon: less than 14 days and less than
    /// a quarter of its time are left. With the time when it expires, in seconds since 1970.
    #[must_use]
    pub fn expires_soon(self, now: Duration) -> Option<Expires> {
        let Self::Between { not_before, not_after } = self else { return None };
        let left = not_after.checked_sub(now.as_secs()).filter(|_| self.outdated(now).is_none())?;
        let soon = SOON.min(not_after.saturating_sub(not_before) / SOON_PART);
        (left < soon).then_some(Expires(not_after))
    }
}

/// The time when a certificate expires, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expires(u64);

/// Continues a sentence about the certificate: `expires on 2026-11-27T14:00:00Z`.
impl fmt::Display for Expires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expires on {}", date(self.0))
    }
}

impl Outdated {
    /// Returns what a refusal of a peer's certificate says about its dates, if they are the reason.
    #[must_use]
    pub fn of(error: &CertificateError) -> Option<Self> {
        match error {
            CertificateError::ExpiredContext { not_after, .. } => Some(Self::Expired(not_after.as_secs())),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Some(Self::NotYetValid(not_before.as_secs()))
            }
            // For one that has expired rustls gives the date, and only for one that is never valid it does not.
            CertificateError::Expired => Some(Self::Never),
            _ => None,
        }
    }
}

/// Continues a sentence about the certificate: `expired on 2026-11-27T14:00:00Z`.
impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(seconds) => write!(f, "expired on {}", date(*seconds)),
            Self::NotYetValid(seconds) => write!(f, "is not valid before {}", date(*seconds)),
            Self::Never => f.write_str("is never valid: it ends before it begins"),
        }
    }
}

fn date(seconds: u64) -> String {
    let date =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let date = date.and_then(|date| date.format(&Rfc3339).ok());
    date.unwrap_or_else(|| format!("second {seconds} since 1970"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::{Outdated, Validity, validities};

    /// A certificate that is valid from the start of one year to the start of another, in PEM.
    fn certificate(from: i32, until: i32) -> String {
        let made = KeyPair::generate().and_then(|key| {
            let mut params = CertificateParams::new([])?;
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
            params.self_signed(&key)
        });
        made.unwrap_or_else(|error| panic!("{error}")).pem()
    }

    fn outdated(validity: Validity, now: u64) -> Option<String> {
        validity.outdated(Duration::from_secs(now)).map(|outdated| outdated.to_string())
    }

    const YEAR_2020: u64 = 1_577_836_800;
    const YEAR_2021: u64 = 1_609_459_200;

    #[test]
    fn both_limits_are_included() {
        let validities = validities(certificate(2020, 2021).as_bytes());
        let [Some(validity)] = validities[..] else { panic!("{validities:?}") };
        assert_eq!(
            outdated(validity, YEAR_2020 - 1).as_deref(),
            Some("is not valid before 2020-01-01T00:00:00Z")
        );
        assert_eq!(outdated(validity, YEAR_2020), None);
        assert_eq!(outdated(validity, YEAR_2021), None);
        assert_eq!(outdated(validity, YEAR_2021 + 1).as_deref(), Some("expired on 2021-01-01T00:00:00Z"));
    }

    #[test]
    fn a_certificate_expires_soon_in_its_last_two_weeks() {
        let validity = Validity::Between { not_before: YEAR_2020, not_after: YEAR_2021 };
        let soon = |left: u64| validity.expires_soon(Duration::from_secs(YEAR_2021 - left));
        assert_eq!(soon(14 * 86_400), None);
        for left in [14 * 86_400 - 1, 1, 0] {
            assert_eq!(soon(left).unwrap().to_string(), "expires on 2021-01-01T00:00:00Z");
        }
        assert_eq!(validity.expires_soon(Duration::from_secs(YEAR_2021 + 1)), None);
        assert_eq!(Validity::Never.expires_soon(Duration::ZERO), None);
    }

    #[test]
    fn a_certificate_for_a_day_expires_soon_in_its_last_six_hours() {
        let validity = Validity::Between { not_before: 0, not_after: 86_400 };
        assert_eq!(validity.expires_soon(Duration::from_secs(18 * 3600)), None);
        assert!(validity.expires_soon(Duration::from_secs(18 * 3600 + 1)).is_some());
    }

    #[test]
    fn dates_of_any_century_are_read() {
        let text = certificate(1970, 1971) + &certificate(1999, 9999) + &certificate(2049, 2050);
        let between = |not_before, not_after| Some(Validity::Between { not_before, not_after });
        let want = [
            between(0, 31_536_000),
            between(915_148_800, 253_370_764_800),
            between(2_493_072_000, 2_524_608_000),
        ];
        assert_eq!(validities(text.as_bytes()), want);
    }

    #[test]
    fn what_cannot_be_read_has_no_validity() {
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let found = validities((no_certificate.to_owned() + &certificate(2020, 2021)).as_bytes());
        assert!(matches!(found[..], [None, Some(_)]), "{found:?}");
        assert!(validities(b"").is_empty());
    }

    #[test]
    fn a_certificate_that_ends_before_it_begins_is_never_valid() {
        let validities = validities(certificate(2021, 2020).as_bytes());
        assert_eq!(validities, [Some(Validity::Never)]);
        assert_eq!(Validity::Never.outdated(Duration::ZERO), Some(Outdated::Never));
    }

    #[test]
    fn no_date_is_too_far_to_be_shown() {
        let shown = Outdated::Expired(u64::MAX).to_string();
        assert_eq!(shown, "expired on second 18446744073709551615 since 1970");
    }
}
