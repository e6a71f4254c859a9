//! What `/status` on the ops listener says: for a person with curl, at any hour.

use serde_json::{Value, json};

use crate::admin::StoreStatus;
use crate::limiter::Limiter;
use crate::version::VERSION;

/// The state of this instance, as JSON. No client is named in it.
pub(super) fn report(limiter: &Limiter) -> Value {
    json!({ "version": VERSION, "store": StoreStatus::read(limiter) })
}
