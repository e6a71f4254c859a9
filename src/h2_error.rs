//! The error of the HTTP/2 library behind an error of hyper. Pure.

use std::error::Error;

/// Returns the first error of the HTTP/2 library among `error` and its causes.
pub(crate) fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e h2::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}
