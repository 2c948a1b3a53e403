//! Names of services: in DNS, in containers and through the HTTP proxy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use dwell_testkit::{Answer, IDLE, TestHome, docker, http, labelled, wait_until};

const SECOND: Duration = Duration::from_secs(1);
const SHOP: &str = "services:
  web:
    image: busybox
    init: true
    stop_grace_period: 1s
    labels: {dwell.ingress: 'true', dwell.hostnames: admin}
    expose: [80]
    command: sh -c 'mkdir -p /w && echo shop > /w/index.html && exec httpd -f -p 80 -h /w'
  echo:
    image: busybox
    init: true
    stop_grace_period: 1s
    expose: [8080]
    command:
      - nc
      - -ll
      - -p
      - '8080'
      - -e
      - sh
      - -c
      - 'read line; printf \"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n\"; exec cat'
";
fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn ask(home: &TestHome, name: &str) -> Answer {
    dwell_testkit::ask(home.dns_port(), name, 1).expect("the DNS server answers")
}

fn addresses(home: &TestHome, name: &str) -> Vec<Ipv4Addr> {
    ask(home, name).addresses
}

/// The container of a service and its address, as Docker tells it.
fn container(home: &TestHome, project: &str, service: &str) -> (String, Ipv4Addr) {
    let node = format!("dwell.node={}", home.node().unwrap());
    let id = labelled(None, "container", &node).into_iter().find(|id| {
        let format =
            "{{index .Config.Labels \"dwell.project\"}} {{index .Config.Labels \"dwell.service\"}}";
        docker(["inspect", "--format", format, id]).ok() == format!("{project} {service}")
    });
    let id = id.expect("the container exists");
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(["inspect", "--format", format, &id]).ok().parse();
    (id, address.unwrap_or(Ipv4Addr::UNSPECIFIED))
}

fn get(home: &TestHome, host: &str) -> (u16, String) {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, home.proxy_port())).unwrap();
    http(stream, &format!("GET / HTTP/1.1\nhost: {host}:{}", home.proxy_port()), "")
}

#[test]
fn names_follow_what_runs() {
    let home = home();
    let shop =
        home.project("shop").compose(SHOP).file("dwell.toml", "[hostnames]\necho = ['talk']\n");
    home.dwell_in(&shop, ["up", "a1"]).ok();
    let (web, address) = container(&home, "shop", "web");
    for name in
        ["web.a1", "web.a1.shop", "shop.a1", "x.y.shop.a1", "admin.a1", "admin.a1.shop", "WEB.A1"]
    {
        let answer = ask(&home, &format!("{name}.test"));
        assert_eq!((answer.code, answer.addresses.as_slice()), (0, &[address][..]), "{name}");
        assert!(answer.ttl <= 2, "{answer:?}");
    }
    let (_, echo) = container(&home, "shop", "echo");
    assert_eq!(addresses(&home, "talk.a1.test"), [echo], "a hostname of dwell.toml");
    let ipv6 = dwell_testkit::ask(home.dns_port(), "web.a1.test", 28).unwrap();
    assert_eq!((ipv6.code, ipv6.records), (0, 0), "no IPv6 is said, not refused");
    assert_eq!(ask(&home, "nope.a1.test").code, 3);
    assert_eq!(ask(&home, "admin.test").code, 3, "a hostname belongs to its environment");
    assert_eq!(ask(&home, "example.com").code, 5, "nothing else is forwarded");

    inside_containers(&home);
    through_the_proxy(&home);

    docker(["stop", "--time", "1", &web]).ok();
    wait_until(SECOND * 2, "the name is gone", || addresses(&home, "web.a1.test").is_empty());
    docker(["start", &web]).ok();
    wait_until(SECOND * 2, "the name is back", || {
        addresses(&home, "web.a1.test") == [container(&home, "shop", "web").1]
    });
    docker(["restart", "--time", "1", &web]).ok();
    let (_, address) = container(&home, "shop", "web");
    wait_until(SECOND * 2, "the address is right", || {
        addresses(&home, "web.a1.shop.test") == [address]
    });

    home.dwell(["node", "stop"]).ok();
    wait_until(SECOND * 2, "nobody answers", || {
        dwell_testkit::ask(home.dns_port(), "web.a1.test", 1).is_none()
    });
    home.dwell(["node", "start"]).ok();
    wait_until(SECOND * 2, "names answer again", || {
        addresses(&home, "web.a1.test") == [address] && addresses(&home, "talk.a1.test") == [echo]
    });
    assert_eq!(get(&home, "web.a1.localhost").0, 200);
}

fn inside_containers(home: &TestHome) {
    for name in ["web.a1.test", "web.a1.shop.test", "shop.a1.test", "admin.a1.test"] {
        let ran = home.dwell(["exec", "a1", "echo", "wget", "-qO-", &format!("http://{name}/")]);
        assert_eq!(ran.ok(), "shop", "{name}");
    }
}

fn through_the_proxy(home: &TestHome) {
    for name in ["web.a1", "web.a1.shop", "shop.a1", "admin.a1"] {
        let (status, text) = get(home, &format!("{name}.localhost"));
        assert!(status == 200 && text.ends_with("shop\n"), "{name}: {text}");
    }
    let (status, text) = get(home, "nope.a1.localhost");
    assert!(status == 404 && text.contains("nope.a1.localhost"), "{text}");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, home.proxy_port())).unwrap();
    stream.set_read_timeout(Some(SECOND * 10)).unwrap();
    let head =
        "GET / HTTP/1.1\r\nhost: echo.a1.localhost\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut read_to = |stream: &mut TcpStream, end: &str| {
        while !String::from_utf8_lossy(&seen).contains(end) {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
    };
    read_to(&mut stream, "101 Switching Protocols");
    stream.write_all(b"both ways\n").unwrap();
    read_to(&mut stream, "both ways\n");
}

#[test]
fn a_short_name_is_answered_only_while_it_means_one_thing() {
    let home = home();
    let one = home.project("one").compose(IDLE);
    let two = home.project("two").compose(IDLE).file("dwell.toml", "dns_suffix = 'corp'\n");
    let three = home.project("three").compose(IDLE);
    home.dwell_in(&one, ["up", "a1"]).ok();
    home.dwell_in(&two, ["up", "a1"]).ok();
    let first = container(&home, "one", "web").1;
    assert_eq!(addresses(&home, "web.a1.test"), [first], "another suffix is no rival");
    assert_eq!(addresses(&home, "web.a1.corp"), [container(&home, "two", "web").1]);
    assert_eq!(ask(&home, "web.a1.two.test").code, 3);

    home.dwell_in(&three, ["up", "a1"]).ok();
    assert_eq!(ask(&home, "web.a1.test").code, 5, "refused, not answered at random");
    assert_eq!(addresses(&home, "web.a1.one.test"), [first]);
    assert_eq!(addresses(&home, "web.a1.three.test"), [container(&home, "three", "web").1]);
    let (status, text) = get(&home, "web.a1.localhost");
    assert_ne!(status, 200);
    assert!(text.contains("one") && text.contains("three"), "{text}");
    let said = home.dwell(["status", "a1"]);
    let said = said.fails_with(5);
    assert!(said.contains("one") && said.contains("three"), "{said}");

    home.dwell(["destroy", "a1", "--project", "three", "--yes"]).ok();
    wait_until(SECOND * 2, "the short name is back", || addresses(&home, "web.a1.test") == [first]);
}

#[test]
fn a_suffix_that_belongs_to_others_is_refused() {
    let home = home();
    let shop = home.project("shop").compose(IDLE).file("dwell.toml", "dns_suffix = 'local'\n");
    let refused = home.dwell_in(&shop, ["up", "a1"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("local"), "{refused:?}");
    assert_eq!(home.dwell(["ls", "--all", "-q"]).ok(), "");
}
