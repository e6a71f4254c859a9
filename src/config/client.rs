//! Reads how clients are identified, and the secret that hashes their keys. Pure.

use std::path::PathBuf;

use ipnet::IpNet;

use super::key_table::Kind;
use super::network::{covers_all, networks};
use super::section::Section;
use super::{SecretSource, Secrets, secret};
use crate::policy::client::{ClientIdentity, ForwardedHeader};
use crate::policy::counter_key::HashKey;

const HEADERS: &[(&str, ForwardedHeader)] =
    &[("x-forwarded-for", ForwardedHeader::XForwardedFor), ("forwarded", ForwardedHeader::Forwarded)];

pub(super) fn read(file: &mut Section<'_>, secrets: &Secrets<'_>) -> (ClientIdentity, HashKey) {
    let client = file.mapping("client").and_then(|value| {
        value.section(&[], |section| {
            let default = ClientIdentity::default();
            let identity = ClientIdentity {
                trusted_proxies: trusted_proxies(section),
                header: section.word("header", HEADERS, default.header),
                ipv6_prefix: section.integer("ipv6_prefix", 1..=128, default.ipv6_prefix),
            };
            Some((identity, hash_key(section, secrets)))
        })
    });
    client.unwrap_or_default()
}

fn trusted_proxies(section: &mut Section<'_>) -> Vec<IpNet> {
    let value = section.value("trusted_proxies", Kind::Texts("networks or addresses"), "");
    let proxies = value.map(|value| networks(&value)).unwrap_or_default();
    for at in proxies.iter().filter(|at| covers_all(&at.value)) {
        at.location.warn(
            "every client is a trusted proxy, and may claim any address: a limit per client_ip limits no client",
            "list the networks of your own proxies only",
        );
    }
    proxies.into_iter().map(|at| at.value).collect()
}

fn hash_key(section: &mut Section<'_>, secrets: &Secrets<'_>) -> HashKey {
    let file = section.text("hash_secret_file", "file", secret::FILE_HELP);
    let secret = file.and_then(|at| {
        let source = SecretSource::File(PathBuf::from(&at.value));
        at.location.check(secret::read(&source, secrets)).flatten()
    });
    secret.map(|secret| HashKey::new(&secret)).unwrap_or_default()
}
