use http::Request;
use http::header::{HeaderMap, HeaderValue};

use super::{headers, host};

fn request(uri: &str, hosts: &[&str]) -> Request<()> {
    let mut request = Request::builder().uri(uri);
    for host in hosts {
        request = request.header("host", HeaderValue::from_bytes(host.as_bytes()).unwrap());
    }
    request.body(()).unwrap()
}

#[test]
fn the_host_is_read_in_one_way_only() {
    for (uri, hosts, want) in [
        ("/", &["web.a1.localhost:7080"] as &[&str], Some("web.a1.localhost")),
        ("/", &["WEB.a1.LocalHost."], Some("web.a1.localhost")),
        ("/", &["web.a1.test"], Some("web.a1.test")),
        ("http://web.a1.localhost:7080/x", &["web.a1.localhost:7080"], Some("web.a1.localhost")),
        ("http://WEB.a1.localhost/x", &["web.a1.localhost:80"], Some("web.a1.localhost")),
        ("/", &["[::1]:7080"], Some("[::1]")),
        ("/", &[], None),
        ("/", &[""], None),
        ("/", &["a.localhost", "b.localhost"], None),
        ("/", &["a.localhost", "a.localhost"], None),
        ("/", &["a.localhost, b.localhost"], None),
        ("/", &["a.localhost:"], None),
        ("/", &["a.localhost:80x"], None),
        ("/", &["a.localhost:99999"], None),
        ("/", &["user@a.localhost"], None),
        ("/", &["a.localhost/x"], None),
        ("/", &["a b"], None),
        ("/", &["ü.localhost"], None),
        ("/", &["."], None),
        ("http://a.localhost/", &["b.localhost"], None),
        ("http://a.localhost:81/", &["a.localhost:82"], None),
        ("http://a.localhost/", &[], None),
        ("https://a.localhost/", &["a.localhost"], None),
    ] {
        let got = host::of(&request(uri, hosts)).ok();
        assert_eq!(got.as_deref(), want, "{uri} {hosts:?}");
    }
}

#[test]
fn the_service_hears_the_proxys_word_and_not_the_clients() {
    let mut request = request("http://web.a1.localhost/p?q=1", &["web.a1.localhost"]);
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-for", "5.6.7.8"),
        ("forwarded", "host=evil.example"),
        ("connection", "keep-alive, X-Secret, host, close"),
        ("x-secret", "1"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("accept", "*/*"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    assert!(!headers::prepare(&mut request, "127.0.0.1:5".parse().unwrap()));
    assert_eq!(request.uri().to_string(), "/p?q=1");
    let mut all: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    all.sort();
    assert_eq!(
        all,
        [
            "accept: */*",
            "host: web.a1.localhost",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: web.a1.localhost",
            "x-forwarded-proto: http",
        ]
    );
}

#[test]
fn an_upgrade_is_kept_only_when_connection_names_it() {
    for (connection, want) in [("Upgrade", true), ("keep-alive, upgrade", true), ("close", false)] {
        let mut request = request("/", &["a.localhost"]);
        let map: &mut HeaderMap = request.headers_mut();
        map.insert("connection", connection.parse().unwrap());
        map.insert("upgrade", "websocket".parse().unwrap());
        assert_eq!(headers::prepare(&mut request, "127.0.0.1:5".parse().unwrap()), want);
        assert_eq!(request.headers().contains_key("upgrade"), want);
    }
}
