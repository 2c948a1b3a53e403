//! Routes, and what becomes of them in Caddy and nginx.

use super::*;
use crate::Suffix;
use crate::prepare::Version;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

fn listen(address: &str) -> Listen {
    Listen { address: address.parse().unwrap(), port: NonZeroU16::new(80).unwrap() }
}

fn environment(project: &str, model: Value, observed: &[(&str, [u8; 4])]) -> Vec<Route> {
    let services = crate::compose::services(&json!({"services": model})).unwrap();
    let (environment, project, suffix) =
        ("red".parse().unwrap(), project.parse().unwrap(), Suffix::default());
    let place = Place { environment: &environment, project: &project, suffix: &suffix };
    let observed = observed
        .iter()
        .map(|(name, address)| (name.parse().unwrap(), vec![Ipv4Addr::from(*address)]))
        .collect();
    routes(&place, &services, &observed)
}

fn shop() -> Vec<Route> {
    environment(
        "shop",
        json!({
            "web": {"expose": [80], "labels": {"dwell.hostnames": "login"}}, "api": {"expose": [3000]},
            "db": {"expose": [5432]}, "stopped": {"expose": [81]}, "side": {"network_mode": "service:api", "expose": [9000]},
        }),
        &[
            ("web", [10, 224, 1, 2]),
            ("api", [10, 224, 1, 3]),
            ("db", [10, 224, 1, 4]),
            ("side", [10, 224, 1, 9]),
        ],
    )
}

#[test]
fn http_services_that_run_have_routes() {
    let shown: Vec<_> = shop()
        .iter()
        .map(|route| {
            let names = |names: &BTreeSet<RouteName>| {
                names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            format!(
                "{:?}: {} | {}",
                route.upstreams,
                names(&route.names),
                names(&route.short_names)
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    {10.224.1.3:3000}: api.red.shop.test | api.red.test
    {10.224.1.3:9000}: side.red.shop.test | side.red.test
    {10.224.1.2:80}: login.red.shop.test shop.red.test *.shop.red.test web.red.shop.test | login.red.test web.red.test
    ");
}

#[test]
fn caddys_configuration() {
    let config =
        caddy(&listen("100.64.0.5"), Path::new("/run/x/caddy.sock"), Version(2, 6, 2), &shop());
    insta::assert_snapshot!(serde_json::to_string_pretty(&config).unwrap(), @r#"
    {
      "admin": {
        "listen": "unix//run/x/caddy.sock",
        "origins": [
          "localhost"
        ],
        "config": {
          "persist": false
        }
      },
      "apps": {
        "http": {
          "servers": {
            "dwell": {
              "listen": [
                "tcp/100.64.0.5:80"
              ],
              "automatic_https": {
                "disable": true
              },
              "routes": [
                {
                  "match": [
                    {
                      "host": [
                        "api.red.shop.test",
                        "api.red.test"
                      ]
                    }
                  ],
                  "handle": [
                    {
                      "handler": "reverse_proxy",
                      "upstreams": [
                        {
                          "dial": "10.224.1.3:3000"
                        }
                      ]
                    }
                  ],
                  "terminal": true
                },
                {
                  "match": [
                    {
                      "host": [
                        "login.red.shop.test",
                        "login.red.test",
                        "shop.red.test",
                        "web.red.shop.test",
                        "web.red.test"
                      ]
                    }
                  ],
                  "handle": [
                    {
                      "handler": "reverse_proxy",
                      "upstreams": [
                        {
                          "dial": "10.224.1.2:80"
                        }
                      ]
                    }
                  ],
                  "terminal": true
                },
                {
                  "match": [
                    {
                      "host": [
                        "side.red.shop.test",
                        "side.red.test"
                      ]
                    }
                  ],
                  "handle": [
                    {
                      "handler": "reverse_proxy",
                      "upstreams": [
                        {
                          "dial": "10.224.1.3:9000"
                        }
                      ]
                    }
                  ],
                  "terminal": true
                },
                {
                  "match": [
                    {
                      "host": [
                        "*.shop.red.test",
                        "*.*.shop.red.test"
                      ]
                    }
                  ],
                  "handle": [
                    {
                      "handler": "reverse_proxy",
                      "upstreams": [
                        {
                          "dial": "10.224.1.2:80"
                        }
                      ]
                    }
                  ],
                  "terminal": true
                },
                {
                  "handle": [
                    {
                      "handler": "static_response",
                      "status_code": 404,
                      "body": "no service of a dwell environment has this name\n"
                    }
                  ]
                }
              ]
            }
          }
        }
      }
    }
    "#);
    let six = caddy(&listen("fd7a::5"), Path::new("/x"), Version(2, 9, 1), &shop());
    let server = &six["apps"]["http"]["servers"]["dwell"];
    assert_eq!(server["listen"], json!(["tcp/[fd7a::5]:80"]));
    assert_eq!(server["routes"][0]["handle"][0]["stream_close_delay"], "24h");
}

#[test]
fn nginxs_configuration() {
    let routes = &shop()[..1];
    insta::assert_snapshot!(nginx(&listen("fd7a::5"), routes), @r"
    # Written by dwell; changes are lost.
    map $http_upgrade $dwell_connection {
        default upgrade;
        '' close;
    }

    server {
        listen [fd7a::5]:80 default_server;
        server_name _;
        return 404;
    }

    upstream dwell_0 {
        server 10.224.1.3:3000;
    }

    server {
        listen [fd7a::5]:80;
        server_name
            ~^api\.red\.shop\.test$
            ~^api\.red\.test$;
        client_max_body_size 0;
        location / {
            proxy_pass http://dwell_0;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $dwell_connection;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 24h;
            proxy_send_timeout 24h;
        }
    }
    ");
    assert!(!nginx(&listen("100.64.0.5"), &[]).contains("upstream"));
}

#[test]
fn a_short_name_of_two_projects_is_nobodys_and_full_names_stay() {
    let mut both = shop();
    both.extend(environment("blog", json!({"api": {"expose": [1]}}), &[("api", [10, 224, 2, 2])]));
    let text = caddy(&listen("100.64.0.5"), Path::new("/x"), Version(2, 6, 2), &both).to_string();
    assert!(!text.contains("\"api.red.test\""));
    for name in ["api.red.shop.test", "api.red.blog.test", "web.red.test"] {
        assert!(text.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn exact_names_come_before_wildcards() {
    let route = |name: &str, host: u8| Route {
        names: [name.parse().unwrap()].into(),
        short_names: BTreeSet::new(),
        upstreams: [SocketAddr::from(([10, 0, 0, host], 80))].into(),
    };
    let routes = [route("*.b.test", 1), route("*.a.b.test", 2), route("z.a.b.test", 3)];
    let rows: Vec<_> =
        table(&routes).iter().map(|(names, _)| names.first().unwrap().to_string()).collect();
    assert_eq!(rows, ["z.a.b.test", "*.a.b.test", "*.b.test"]);
}

#[test]
fn hostile_names_are_refused() {
    let long = "a".repeat(64);
    for bad in [
        "",
        ".",
        "*",
        "*.",
        "a.*.b",
        "**.a",
        "a b",
        "a;return",
        "a{b}",
        "a\nb",
        "A.test",
        "a$b",
        "a_b",
        "~a",
        "-a",
        "a-",
        "a..b",
        "a.",
        "ä",
        "{env.HOME}",
        &long,
    ] {
        assert!(bad.parse::<RouteName>().is_err(), "{bad:?}");
    }
    assert_eq!("*.a.test".parse::<RouteName>().unwrap().to_string(), "*.a.test");
}

proptest! {
    #[test]
    fn what_is_taken_for_a_name_cannot_mean_anything_else(text in "[ -~]{1,20}|[a-z0-9.*-]{1,20}") {
        if let Ok(name) = text.parse::<RouteName>() {
            let plain = text.strip_prefix("*.").unwrap_or(&text);
            prop_assert!(plain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)));
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
