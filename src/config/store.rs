//! Reads where the counters are, and what happens where the store does not reply. Pure.

use super::diagnostic::Fault;
use super::key_table::Kind;
use super::report::Location;
use super::section::{Field, Section};
use super::value::Value;
use super::{Overrides, Secrets, redis};
use crate::policy::OnOutage;
use crate::settings::StoreSettings;

pub(super) const ON_OUTAGE: &[(&str, OnOutage)] =
    &[("local", OnOutage::Local), ("open", OnOutage::Open), ("closed", OnOutage::Closed)];

/// Reads the store of the file, with the flags over it, and what its rules do without it by default.
pub(super) fn read(
    file: &mut Section<'_>,
    overrides: &Overrides,
    secrets: &Secrets<'_>,
) -> (Option<StoreSettings>, OnOutage) {
    let root = file.location.clone();
    let Some(value) = file.mapping("store") else {
        return (settings(None, None, overrides, &root, secrets), OnOutage::default());
    };
    let mut on_outage = OnOutage::default();
    let store = value.section(&[], |section| {
        let memory = section.value("memory", Kind::Mapping, "");
        let redis = section.value("redis", Kind::Mapping, "");
        on_outage = section.word("on_outage", ON_OUTAGE, on_outage);
        settings(memory, redis, overrides, &root, secrets)
    });
    (store, on_outage)
}

fn settings(
    memory: Option<Value<'_>>,
    redis: Option<Value<'_>>,
    overrides: &Overrides,
    root: &Location,
    secrets: &Secrets<'_>,
) -> Option<StoreSettings> {
    let max_keys = memory_keys(memory.as_ref());
    if let (Some(memory), Some(redis)) = (&memory, &redis) {
        let fault = Fault::new("memory and redis exclude each other", "expected one of them");
        redis.location.key().collision(fault, &memory.location.key());
    }
    let flag = overrides.spanned("--redis", overrides.redis.as_ref(), root);
    if let (Some(at), true) = (&flag, overrides.memory) {
        let fault = Fault::new("the memory store is selected as well", "expected one of the two");
        at.location.error(fault);
    }
    // The file's store must be valid even where a flag wins.
    let redis = redis.or_else(|| flag.is_some().then(|| Value::empty(root.clone())));
    match Field::read(redis, |value| redis::read(&value, flag, secrets)) {
        Field::Faulty => None,
        Field::Present(redis) if !overrides.memory => Some(StoreSettings::Redis(Box::new(redis))),
        Field::Present(_) | Field::Absent => Some(StoreSettings::Memory { max_keys: max_keys? }),
    }
}

/// The most counters in memory. `memory:` and nothing else means the default.
fn memory_keys(memory: Option<&Value<'_>>) -> Option<usize> {
    const DEFAULT: usize = 1_000_000;
    memory.map_or(Some(DEFAULT), |memory| {
        memory
            .clone()
            .or_empty()
            .section(&[], |section| Some(section.integer("max_keys", 1..=10_000_000, DEFAULT)))
    })
}
