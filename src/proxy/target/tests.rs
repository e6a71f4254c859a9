use http::request::Builder;
use http::{Method, Request, StatusCode, Version, header};

use super::{RequestError, Target};
use crate::bounds::Bounds;
use crate::metrics::Bound;
use crate::policy::path::{Ambiguous, PathPolicy};

fn read(request: Builder) -> Result<Target, RequestError> {
    Target::of(&request.body(()).unwrap(), &PathPolicy::default(), &Bounds::default())
}

fn get(uri: &str, host: &str) -> Builder {
    Request::get(uri).header(header::HOST, host)
}

#[test]
fn the_host_for_rules_has_no_port() {
    let target = read(get("/", "Example.COM:8080")).unwrap();
    assert_eq!((target.authority.as_bytes(), target.host()), (&b"Example.COM:8080"[..], "example.com"));
}

#[test]
fn the_path_is_canonical_but_the_query_is_not_changed() {
    let target = read(get("/a/../%62?c=%64/..", "a")).unwrap();
    assert_eq!((target.path_and_query.as_str(), target.path()), ("/b?c=%64/..", "/b"));
}

#[test]
fn a_path_with_an_encoded_slash_is_forwarded_as_it_is_and_matched_in_both_readings() {
    let target = read(get("/a%2fb;v=1/c?d=%2f", "a")).unwrap();
    assert_eq!(target.path_and_query.as_str(), "/a%2Fb;v=1/c?d=%2f");
    assert_eq!((target.path(), target.decoded_path()), ("/a%2Fb/c", Some("/a/b/c")));
}

#[test]
fn a_path_without_an_encoded_slash_has_one_reading() {
    for uri in ["/a/b", "/a%20b", "/a;v=1", "/a/%62"] {
        assert_eq!(read(get(uri, "a")).unwrap().decoded_path(), None, "{uri}");
    }
}

#[test]
fn methods_for_other_hops_are_refused() {
    for method in [Method::CONNECT, Method::TRACE] {
        let error = read(get("/", "a").method(method.clone())).unwrap_err();
        assert_eq!((&error, error.status()), (&RequestError::Method(method), StatusCode::METHOD_NOT_ALLOWED));
    }
}

#[test]
fn a_target_longer_than_its_bound_is_refused() {
    let longest = format!("/{}", "a".repeat(Bounds::default().target_bytes - 1));
    assert!(read(get(&longest, "a")).is_ok());
    let error = read(get(&format!("{longest}a"), "a")).unwrap_err();
    assert_eq!((&error, error.bound()), (&RequestError::LongTarget, Some(Bound::TargetBytes)));
}

#[test]
fn the_form_for_connect_is_refused_with_other_methods() {
    assert_eq!(read(get("example.com", "example.com")), Err(RequestError::Form));
}

#[test]
fn the_asterisk_is_for_options_only() {
    assert_eq!(read(get("*", "a").method(Method::OPTIONS)).unwrap().path(), "*");
    assert_eq!(read(get("*", "a")), Err(RequestError::Path(Ambiguous::NotAbsolute)));
}

#[test]
fn a_host_field_must_name_the_host_of_the_target() {
    for (uri, host, is_one) in [
        ("http://a/", "a", true),
        ("http://a/", "A", true),
        ("http://a/", "a:80", true),
        ("http://a:80/", "a", true),
        ("https://a/", "a:443", true),
        ("http://a/", "a:443", false),
        ("https://a/", "a:80", false),
        ("http://a/", "b", false),
    ] {
        let read = read(get(uri, host));
        assert_eq!(read.as_ref().err(), (!is_one).then_some(&RequestError::TwoHosts), "{uri} {host}");
    }
}

#[test]
fn two_host_fields_are_refused_though_they_are_equal() {
    assert_eq!(read(get("/", "a").header(header::HOST, "a")), Err(RequestError::TwoHosts));
}

#[test]
fn http_1_1_requires_a_host_field() {
    for uri in ["/", "http://a/"] {
        assert_eq!(read(Request::get(uri)), Err(RequestError::NoHost), "{uri}");
    }
}

#[test]
fn http_1_0_requires_no_host() {
    assert_eq!(read(Request::get("/").version(Version::HTTP_10)).unwrap().authority, "");
}

#[test]
fn http_2_takes_the_host_from_the_authority() {
    assert_eq!(read(Request::get("https://a/").version(Version::HTTP_2)).unwrap().authority, "a");
}

#[test]
fn a_host_that_is_none_is_refused() {
    for host in ["", "a b", "a/b", "a:b", "me@a"] {
        assert_eq!(read(get("/", host)), Err(RequestError::BadHost), "{host}");
    }
}
