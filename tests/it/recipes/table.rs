//! What each recipe does with which requests.

use super::steps::{calls, handshakes, send, until};
use super::{Recipe, run};

/// The table, and a test for each of its rows.
macro_rules! recipes {
    ($($name:ident: $heading:literal => $recipe:expr;)*) => {
        pub const RECIPES: &[(&str, Recipe)] = &[$(($heading, $recipe)),*];
        $(
            #[tokio::test]
            async fn $name() {
                run($heading).await;
            }
        )*
    };
}

recipes! {
    one_endpoint: "One endpoint" => Recipe::new(&[
        send("POST /api/v1/reports", &[], &[(15, 200), (1, 429)]),
        send("POST /api/v1/reports", &[], &[(1, 200)]).from("127.0.0.2"),
        send("GET /api/v1/reports", &[], &[(20, 200)]),
        send("POST /api/v1/other", &[], &[(20, 200)]),
    ]);

    logins_by_address: "Logins by address" => Recipe::new(&[
        send("POST /login", &[], &[(5, 200), (1, 429)]).having(&["content-type: application/problem+json"]),
        send("POST /login/", &[], &[(1, 429)]),
        send("POST //login", &[], &[(1, 429)]),
        send("POST /log%69n", &[], &[(1, 429)]),
        send("GET /login", &[], &[(10, 200)]),
        send("POST /login", &[], &[(1, 200)]).from("127.0.0.2"),
    ]);

    plans_that_a_gateway_knows: "Plans that a gateway knows" => Recipe {
        warnings: &[
            "any of them can send the header x-plan",
            "any of them can send the header x-plan",
        ],
        ..Recipe::new(&[
            send("GET /api/a", &["X-Api-Key: a", "X-Plan: free"], &[(20, 200), (1, 429)]),
            send("GET /api/a", &["X-Api-Key: a", "X-Plan: silver"], &[(20, 200), (1, 429)]),
            send("GET /api/a", &["X-Api-Key: b", "X-Plan: gold"], &[(80, 200), (1, 429)]),
            send("GET /api/a", &["X-Api-Key: c"], &[(20, 200), (1, 429)]),
        ])
    };

    partners_by_a_file_of_keys: "Partners by a file of keys" => Recipe {
        files: &[("partner-keys", "# of 2026\nkey-of-p\nkey-of-q\n"), ("flagship-keys", "key-of-f\n")],
        ..Recipe::new(&[
            send("GET /api/a", &["X-Api-Key: key-of-x"], &[(20, 200), (1, 429)]),
            send("GET /api/a", &["X-Api-Key: key-of-p"], &[(80, 200), (1, 429)]),
            send("GET /api/a", &["X-Api-Key: key-of-q"], &[(1, 200)]),
            send("GET /api/a", &["X-Api-Key: key-of-f"], &[(100, 200)]),
            send("GET /api/a", &[], &[(1, 400)]),
        ])
    };

    internal_callers: "Internal callers" => Recipe {
        files: &[("internal-token", "0123456789abcdef\n")],
        metrics: &[
            ("tidegate_requests_total{rule=\"nightly\",outcome=\"bypassed\"}", 12.0),
            ("tidegate_bypass_rejected_total{bypass=\"nightly\"}", 1.0),
        ],
        ..Recipe::new(&[
            send("GET /tasks", &["X-Forwarded-For: 198.51.100.7"], &[(10, 200), (1, 429)]),
            send("GET /tasks", &["X-Forwarded-For: 203.0.113.7"], &[(12, 200)]),
            send("GET /healthz", &["X-Forwarded-For: 198.51.100.7"], &[(12, 200)]),
            send("GET /tasks", &["X-Internal-Token: 0123456789abcdef"], &[(12, 200)])
                .forwarded(&["!x-internal-token"]),
            send("GET /tasks", &["X-Forwarded-For: 198.51.100.7", "X-Internal-Token: wrong"], &[(1, 429)]),
        ])
    };

    a_stricter_limit_on_trial: "A stricter limit on trial" => Recipe {
        metrics: &[("tidegate_trial_requests_total{rule=\"search\",result=\"limited\"}", 10.0)],
        ..Recipe::new(&[send("GET /search?q=a", &[], &[(30, 200)])])
    };

    per_second_and_per_hour: "Per second and per hour" => Recipe::new(&[
        until("GET /search?q=a", "search:3600s", &[(60, 200)]),
        send("GET /search?q=a", &[], &[(1, 200)]).from("127.0.0.2"),
    ]);

    graphql: "GraphQL" => Recipe::new(&[
        send("POST /graphql", &["Authorization: Bearer a"], &[(30, 200), (1, 429)]),
        send("POST /graphql", &["Authorization: Bearer a"], &[(1, 429)]).from("127.0.0.2"),
        send("POST /graphql", &["Authorization: Bearer b"], &[(1, 200)]),
        send("POST /graphql", &[], &[(30, 200), (1, 429)]),
        send("GET /graphql", &[], &[(1, 200)]),
    ]);

    webhooks: "Webhooks" => Recipe::new(&[
        send("POST /webhooks/stripe", &[], &[(100, 200), (1, 503)]),
        send("POST /webhooks/stripe", &[], &[(1, 503)]).from("127.0.0.2"),
        send("POST /webhooks/github", &[], &[(1, 200)]),
    ]);

    reads_and_writes: "Reads and writes" => Recipe::new(&[
        send("POST /api/a", &[], &[(10, 200)]),
        send("DELETE /api/b", &[], &[(10, 200), (1, 429)]),
        send("GET /api/a", &[], &[(39, 200)]),
        send("HEAD /api/a", &[], &[(1, 200), (1, 429)]),
        send("OPTIONS /api/a", &[], &[(1, 200)]),
    ]);

    encoded_slashes: "Encoded slashes" => Recipe::new(&[
        send("GET /api/v4/projects/group%2Fapp/repository/archive", &[], &[(5, 200), (1, 429)])
            .as_target("/api/v4/projects/group%2Fapp/repository/archive"),
        send("GET /api/v4/projects/42/repository/archive", &[], &[(1, 429)]),
        send("GET /api/v4/projects/42/repository%2Farchive", &[], &[(1, 429)]),
        send("GET /api/v4/projects/group%2Fapp/issues", &[], &[(1, 200)]),
        send("GET /@scope%2fname", &[], &[(40, 200)]),
        send("GET /@scope/name", &[], &[(1, 429)]),
        send("GET /@scope%2F..%2Fname", &[], &[(1, 400)]),
    ]);

    dry_runs: "Dry runs" => Recipe::new(&[
        send("POST /api/v1/imports?dry_run=true", &[], &[(20, 200)]),
        send("POST /api/v1/imports?dry_run=false", &[], &[(3, 200)]),
        send("POST /api/v1/imports?dry_run=true&dry_run=false", &[], &[(2, 200), (1, 429)]),
        send("POST /api/v1/imports", &[], &[(1, 429)]),
        send("POST /api/v1/imports?dry_run=true", &[], &[(1, 200)]),
    ]);

    websocket_handshakes: "WebSocket handshakes" => Recipe::new(&[
        handshakes("/live", &[(10, 101), (1, 429)]),
        send("GET /live", &[], &[(40, 200), (1, 429)]),
        handshakes("/live", &[(1, 101)]).from("127.0.0.2"),
    ]);

    a_response_of_your_own: "A response of your own" => Recipe::new(&[
        send("GET /exports/a", &[], &[(3, 200), (1, 403)])
            .having(&["content-type: application/json", "x-error-code: EXPORT_QUOTA"])
            .with_body("{\"error\": \"quota\", \"limit\": 3, \"message\": \"Try again in "),
    ]);

    grpc: "gRPC" => Recipe::new(&[
        calls("/shop.v1.Orders/Create", &[(5, 200), (1, 8)]),
        calls("/shop.v1.Orders/List", &[(6, 200)]),
        calls("/shop.v1.Orders/Create", &[(1, 200)]).from("127.0.0.2"),
    ]);

    all_clients_together_and_each_alone: "All clients together and each alone" => Recipe::new(&[
        send("GET /a", &[], &[(30, 200), (1, 429)]),
        send("GET /a", &[], &[(20, 200), (1, 429)]).from("127.0.0.2"),
        send("GET /a", &[], &[(1, 429)]).from("127.0.0.3"),
    ]);

    anonymous_clients: "Anonymous clients" => Recipe::new(&[
        send("GET /api/a", &[], &[(10, 200), (1, 429)]),
        send("GET /api/a", &["X-Api-Key: a"], &[(40, 200), (1, 429)]),
        send("GET /api/a", &["Authorization: Bearer a"], &[(1, 200)]),
        send("GET /api/a", &["X-Api-Key:"], &[(1, 429)]),
    ]);

    ipv6_clients: "IPv6 clients" => Recipe::new(&[
        send("POST /signup", &["X-Forwarded-For: 2001:db8:1:100::1"], &[(5, 200)]),
        send("POST /signup", &["X-Forwarded-For: 2001:db8:1:1ff:a::9"], &[(1, 429)]),
        send("POST /signup", &["X-Forwarded-For: [2001:DB8:1:1FF::9]:4711"], &[(1, 429)]),
        send("POST /signup", &["X-Forwarded-For: 2001:db8:1:200::1"], &[(1, 200)]),
        send("POST /signup", &["X-Forwarded-For: 203.0.113.9"], &[(5, 200)]),
        send("POST /signup", &["X-Forwarded-For: ::ffff:203.0.113.9"], &[(1, 429)]),
        send("POST /signup", &["X-Forwarded-For: 203.0.113.10"], &[(1, 200)]),
    ]);

    replicas_behind_a_load_balancer: "Replicas behind a load balancer" => Recipe {
        instances: 2,
        ..Recipe::new(&[
            send("GET /api/a", &["X-Forwarded-For: 203.0.113.9"], &[(3, 200)]),
            send("GET /api/a", &["X-Forwarded-For: 203.0.113.9, 10.1.2.3"], &[(2, 200), (1, 429)]).to(1),
            send("GET /api/a", &["X-Forwarded-For: 198.51.100.1, 203.0.113.9"], &[(1, 429)]),
            send("GET /api/a", &["X-Forwarded-For: 198.51.100.1"], &[(1, 200)]),
        ])
    };

    rolling_out_limits: "Rolling out limits" => Recipe {
        metrics: &[("tidegate_requests_total{rule=\"exports\",outcome=\"shadow_limited\"}", 3.0)],
        ..Recipe::new(&[
            send("GET /exports/a", &[], &[(5, 200)]).forwarded(&["!x-ratelimit-exceeded"]),
            send("GET /exports/a", &[], &[(3, 200)]).forwarded(&["x-ratelimit-exceeded: exports"]),
            send("GET /uploads/a", &[], &[(8, 200)]),
            send("GET /api/a", &[], &[(5, 200), (1, 429)]),
        ])
    };
}
