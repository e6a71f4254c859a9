//! `--limit`, and the other flags where they are wrong.

use tidegate::config::{Config, Diagnostic, Overrides, compile_text, load};
use tidegate::policy::Mode;
use tidegate::policy::counter_key::KeyPart;

use super::{compile_with, file, limits, listed};

fn overrides(limits: &[&str]) -> Overrides {
    Overrides {
        upstream: Some("http://app:80".to_owned()),
        limits: limits.iter().map(|limit| (*limit).to_owned()).collect(),
        ..Overrides::default()
    }
}

fn flags(limits: &[&str]) -> Result<Config, Vec<Diagnostic>> {
    load(None, &overrides(limits))
}

#[test]
fn limits_in_every_form() {
    let config = flags(&[
        "GET /api/*=100/min,burst=10",
        "POST|PUT  /a/{id}=5/s,slices=2,key=header:X-Api-Key,key=path:id,mode=shadow",
        "* /b=3/90s,key=,slices=auto",
        "/x=y=1/h,slices=12",
        "/*=7/day",
    ])
    .unwrap_or_else(|diagnostics| panic!("{}", listed(&diagnostics)));
    let rules = config.policy.rules();
    let all: Vec<String> = rules.iter().map(limits).collect();
    assert_eq!(
        all,
        [
            "get-api 100/60000+10*7",
            "post-put-a-id 5/1000+0*2",
            "b 3/90000+0*64",
            "x-y 1/3600000+0*12",
            "all 7/86400000+0*64"
        ]
    );
    let methods: Vec<String> = rules.iter().map(|rule| format!("{:?}", rule.matches.methods)).collect();
    assert_eq!(methods, ["[GET]", "[POST, PUT]", "[]", "[]", "[]"]);
    assert_eq!(rules[0].key.parts, [KeyPart::ClientIp]);
    assert_eq!(
        rules[1].key.parts,
        [KeyPart::Header("x-api-key".parse().unwrap()), KeyPart::Path("id".into())]
    );
    assert_eq!((rules[1].mode, rules[2].key.parts.len()), (Mode::Shadow, 0));
    assert!(rules[3].matches.path.captures("/x=y").is_some());
}

#[test]
fn a_wrong_limit_is_named_by_its_text() {
    for (text, message, help) in [
        ("", "invalid limit", "PATH=RATE"),
        ("/a", "invalid limit", "PATH=RATE"),
        ("/a=10/fortnight", "invalid rate '10/fortnight'", "100/90s"),
        ("/a=1/s,key=header:Upgrade", "no rule sees the header upgrade", "header:X-Api-Key"),
        ("/a=0/s", "at least 1", "mode: off"),
        ("a=1/s", "starts with '/'", "/files/*"),
        ("get /a=1/s", "upper case", "expected GET"),
        ("GET| /a=1/s", "a method is missing", "PATH=RATE"),
        ("/a=1/s,burst=x", "found the text 'x'", "whole number from 0 to"),
        ("/a=1/s,burst=1,burst=2", "duplicate option 'burst'", "keep one"),
        ("/a=1/s,slices=65", "65 is out of range", "from 1 to 64, or auto"),
        ("/a=1/s,slices=Auto", "found the text 'Auto'", "did you mean 'auto'?"),
        ("/a=1/s,bursts=1", "unknown option 'bursts'", "did you mean 'burst'?"),
        ("/a=1/s,mode=on", "invalid mode 'on'", "expected one of enforce, shadow, off"),
        ("/a=1/s,name=", "invalid name ''", "1 to 64 ASCII letters"),
        ("/a=1/s,name=a b", "invalid name 'a b'", "1 to 64 ASCII letters"),
        ("/a=1/s,name=a,name=b", "duplicate option 'name'", "keep one"),
        ("/%C3%BC=1/s,nam=u", "unknown option 'nam'", "did you mean 'name'?"),
        ("/-/~=1/s", "no ASCII letter or digit", "name=NAME"),
        ("/größe/ü=1/s,name=ü", "invalid name 'ü'", "1 to 64 ASCII letters"),
        ("/ü=1/s", "no ASCII letter or digit", "name=NAME"),
        ("*=1/s", "starts with '/'", "/files/*"),
        ("/a=1/s,key=ip", "invalid key part 'ip'", "client_ip"),
        ("/a=1/s,key=path:id", "no parameter 'id'", "{id}"),
    ] {
        let found = flags(&[text]).unwrap_err();
        let [diagnostic] = &*found else { panic!("{text}: {}", listed(&found)) };
        assert_eq!(
            (&diagnostic.file, diagnostic.line, diagnostic.path.clone()),
            (&None, None, format!("--limit '{text}'"))
        );
        assert!(diagnostic.message.contains(message) && diagnostic.help.contains(help), "{diagnostic}");
    }
}

fn names(limits: &[&str]) -> Vec<String> {
    let config = flags(limits).unwrap_or_else(|diagnostics| panic!("{}", listed(&diagnostics)));
    config.policy.rules().iter().map(|rule| rule.name.to_string()).collect()
}

#[test]
fn a_limit_takes_its_name_from_what_it_matches() {
    let long = format!("/{}", "0123456789".repeat(7));
    for (limit, name) in [
        ("GET /api/*", "get-api"),
        ("/api/v1/tasks/", "api-v1-tasks"),
        ("* /a", "a"),
        ("PUT|GET|POST /a/*", "get-post-put-a"),
        ("GET /tasks/{id}/notes", "get-tasks-id-notes"),
        ("/", "root"),
        ("GET /", "get-root"),
        ("/*", "all"),
        ("DELETE /*", "delete-all"),
        ("/.well-known/x_y", ".well-known-x_y"),
        ("/A%2Db", "A-2Db"),
        (&*long, &long[1..65]),
        (&format!("/{}/{}", "a".repeat(63), "b"), &"a".repeat(63)),
    ] {
        assert_eq!(names(&[&format!("{limit}=1/s")]), [name], "{limit}");
    }
}

#[test]
fn the_name_option_names_a_limit() {
    assert_eq!(names(&["GET /api/*=1/s,name=search,burst=2"]), ["search"]);
}

#[test]
fn names_of_limits_do_not_depend_on_other_limits() {
    assert_eq!(names(&["GET /api/*=1/s"]), ["get-api"]);
    assert_eq!(names(&["POST /login=1/s", "GET /api/*=1/s"]), ["post-login", "get-api"]);
    assert_eq!(names(&["GET /api/*=1/s", "/x=1/s", "POST /login=1/s"]), ["get-api", "x", "post-login"]);
}

#[test]
fn limits_with_the_same_name_are_refused() {
    for [first, second] in [
        ["GET /api=1/s", "GET /api/*=2/s"],
        ["/a/b=1/s", "/a-b=1/s"],
        ["/tasks/id=1/s", "/tasks/{id}=1/s"],
        ["GET /x=1/s", "/get/x=1/s"],
        ["/x=1/s,name=one", "/y=1/s,name=one"],
        // The second one is never reached either, which says nothing more.
        ["/a=1/s", "/a=2/s"],
        ["/*=1/s,name=one", "/y=1/s,name=one"],
    ] {
        let found = flags(&[first, second]).unwrap_err();
        let [diagnostic] = &*found else { panic!("{second}: {}", listed(&found)) };
        assert_eq!(diagnostic.path, format!("--limit '{second}'"));
        assert!(diagnostic.message.ends_with(&format!("' (--limit '{first}')")), "{diagnostic}");
        assert!(diagnostic.help.contains("add ,name=NAME"), "{diagnostic}");
    }
}

#[test]
fn long_paths_that_differ_behind_the_longest_name_are_refused() {
    let path = format!("/{}", "a".repeat(70));
    let found = flags(&[&format!("{path}b=1/s"), &format!("{path}c=1/s")]).unwrap_err();
    assert!(found.len() == 1 && found[0].help.contains("name=NAME"), "{}", listed(&found));
}

#[test]
fn limits_that_are_never_reached() {
    let found = flags(&["/a/*=1/s", "/a/b=1/s"]).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("'a' takes all of its requests (--limit '/a/*=1/s')"), "{}", found[0]);
    // A flag that stands in for the file's rules is meant to.
    let text = file("rules: [{ name: a, match: { path: /a }, rate: 1/s }]");
    let config = compile_text("f", text.as_bytes(), &overrides(&["/*=9/s"]), &|_| Ok(None)).unwrap();
    let names: Vec<&str> = config.policy.rules().iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["all", "a"]);
    assert!(config.warnings.len() == 1 && config.warnings[0].message.contains("never reached"));
}

#[test]
fn without_a_file_the_flags_must_suffice() {
    let found = load(None, &Overrides::default()).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].file, &*found[0].path), (&None, "upstream"));
    assert!(found[0].help.contains("--upstream"));
    let config = flags(&[]).unwrap();
    assert!(config.warnings.len() == 1 && config.warnings[0].help.contains("--limit"));
}

#[test]
fn other_flags() {
    let wrong = |change: &dyn Fn(&mut Overrides)| {
        let mut overrides = overrides(&["/*=1/s"]);
        change(&mut overrides);
        let found = load(None, &overrides).unwrap_err();
        found
            .iter()
            .map(|diagnostic| format!("{}: {}", diagnostic.path, diagnostic.message))
            .collect::<Vec<_>>()
            .join("; ")
    };
    let port = |port| Some(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(wrong(&|flags| flags.upstream = Some("app".to_owned())), "--upstream: invalid upstream 'app'");
    assert_eq!(wrong(&|flags| flags.redis = Some("app".to_owned())), "--redis: invalid Redis URL");
    assert_eq!(
        wrong(&|flags| flags.ops_listen = port(8080)),
        "--ops-listen: 127.0.0.1:8080 is the address of listen"
    );
    let app = |url: &str| Some(url.to_owned());
    assert_eq!(
        wrong(&|flags| flags.upstream = app("unix:")),
        "--upstream: the path of the socket is missing"
    );
    assert_eq!(
        wrong(&|flags| {
            flags.listen = Some("unix:/run/a.sock".parse().unwrap());
            flags.upstream = app("h2c+unix:/run//a.sock");
        }),
        "--upstream: h2c+unix:/run//a.sock is the address that tidegate itself listens on"
    );
    let both = wrong(&|flags| {
        flags.redis = Some("redis://a".to_owned());
        flags.memory = true;
    });
    assert_eq!(both, "--redis: the memory store is selected as well");
}

#[test]
fn the_upstream_of_the_file_must_be_right_where_the_flag_wins() {
    for (url, text, want) in [
        ("http://b", "upstream: ftp://a", "1:11: upstream: invalid upstream 'ftp://a'"),
        ("http://b", "upstream: 5", "1:11: upstream: expected a text, found the number 5"),
        ("https://b", "upstream: { url: http://a, tls: {} }", "1:28: upstream.tls: tls is set, but"),
        ("http://b", "upstream: { tls: {} }", "1:13: upstream.tls: tls is set, but"),
        ("http://b", "upstream: { tls: { ca_file: none } }", "1:29: upstream.tls.ca_file: the file 'none'"),
        ("https://b..c", "upstream: http://a", "--upstream: no certificate can have the name 'b..c'"),
        ("http://u:hunter2@b", "upstream: http://a", "--upstream: an upstream takes no user"),
        ("http://127.0.0.1:8080", "upstream: http://a", "--upstream: http://127.0.0.1:8080 is the address"),
    ] {
        let flag = Overrides { upstream: Some(url.to_owned()), ..Overrides::default() };
        let said = listed(&compile_with(text, &flag).unwrap_err());
        assert!(said.contains(want) && !said.contains("hunter"), "{url} over {text}: {said}");
    }
}

#[test]
fn the_redis_of_the_file_must_be_right_where_the_flag_wins() {
    let flag = |redis: &str, text: &str| {
        let overrides = Overrides { redis: Some(redis.to_owned()), ..Overrides::default() };
        let done = compile_with(&file(&format!("store: {{ redis: {{ {text} }} }}")), &overrides);
        done.map_or_else(|diagnostics| listed(&diagnostics), |config| listed(&config.warnings))
    };
    for (redis, text, want) in [
        ("redis://b", "url: http://a", "2:24: store.redis.url: invalid Redis URL"),
        ("redis://b", "cluster: []", "2:28: store.redis.cluster: the list is empty"),
        (
            "redis://b",
            "url: redis://a, cluster: redis://c",
            "2:35: store.redis.cluster: url, sentinel and cluster exclude",
        ),
        ("rediss://b", "url: redis://a, tls: {}", "2:35: store.redis.tls: tls is set, but"),
        ("redis://b", "tls: {}", "2:19: store.redis.tls: tls is set, but"),
        (
            "rediss://b",
            "tls: { ca_file: none }",
            "2:35: store.redis.tls.ca_file: the file 'none' cannot be read",
        ),
        ("rediss://b/x", "url: redis://a", "--redis: the database in the Redis URL is not a number"),
        ("redis://b", "url: rediss://a, tls: {}", "--redis: the server is reached without the TLS"),
    ] {
        let said = flag(redis, text);
        assert!(said.contains(want), "{redis} over {text}: {said}");
    }
}
