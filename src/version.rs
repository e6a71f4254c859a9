//! Which tidegate this is. Pure.

/// The version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version, the commit and the target, for people.
pub(crate) const LONG_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TIDEGATE_BUILD"), ")");
/// The target that it was compiled for.
pub(crate) const TARGET: &str = env!("TIDEGATE_TARGET");

/// Returns the commit that it was compiled from. None: it is not known, as in a debug build.
pub(crate) fn commit() -> Option<&'static str> {
    Some(env!("TIDEGATE_COMMIT")).filter(|commit| !commit.is_empty())
}
