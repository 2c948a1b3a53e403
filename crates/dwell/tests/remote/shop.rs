//! A shop whose pages and logic are here while its PostgreSQL and its search are on a node: two
//! copies at once, the same names from everywhere, and what a cut between the two does.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use dwell_testkit::{HostPlan, SHOP_IMAGES, ask, http, resolve, shop, wait_until};
use serde_json::Value;

use crate::bench::{Bench, service};
use crate::postgres::Postgres;

const SERVFAIL: u8 = 2;
const REFUSED: std::io::ErrorKind = std::io::ErrorKind::ConnectionRefused;

/// The addresses that the laptop knows a service by, at its natural port.
fn place(bench: &Bench, name: &str, port: u16) -> SocketAddr {
    let addresses = resolve(bench.home.dns_port(), name);
    assert_eq!(addresses.len(), 1, "{name}: {addresses:?}");
    (addresses[0], port).into()
}

/// What a URL gives, asked on the laptop by dwell's DNS.
fn get(bench: &Bench, name: &str, port: u16, path: &str) -> Value {
    let stream = TcpStream::connect(place(bench, name, port)).unwrap();
    let (code, text) = http(stream, &format!("GET {path} HTTP/1.0\nhost: {name}"), "");
    assert_eq!(code, 200, "{text}");
    serde_json::from_str(text.rsplit("\r\n\r\n").next().unwrap()).unwrap()
}

/// Brings both copies up side by side.
fn up(bench: &Bench, project: &Path) {
    std::thread::scope(|scope| {
        for name in ["red", "blue"] {
            let up = ["up", name, "--remote-services", "db,search", "--remote-host", "one"];
            scope.spawn(move || drop(bench.home.dwell_in(project, up).ok().to_owned()));
        }
    });
}

#[test]
fn a_shop_with_its_database_on_a_node_outlives_a_partition() {
    let Some(bench) = Bench::start([HostPlan::new("one").images(SHOP_IMAGES)]) else { return };
    let project = shop(bench.home.project("shop")).git();
    let project = project.path();
    up(&bench, project);
    same_names_from_everywhere(&bench, project);

    let one = bench.hosts.host("one");
    let before = ["db.red.test", "search.red.test", "db.blue.test"]
        .map(|name| (name, place(&bench, name, 0).ip()));
    let mut open = Postgres::connect(place(&bench, "db.red.test", 5432)).unwrap();
    let open_search = TcpStream::connect(place(&bench, "search.red.test", 9200)).unwrap();
    one.partition();
    let cut = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(open.ask("select 1").is_err());
            assert!(cut.elapsed() < Duration::from_secs(10), "open for {:?}", cut.elapsed());
        });
        scope.spawn(|| {
            let mut silent = open_search;
            let ended = std::io::Read::read(&mut silent, &mut [0; 1]);
            assert!(matches!(ended, Err(_) | Ok(0)), "{ended:?}");
            assert!(cut.elapsed() < Duration::from_secs(10), "open for {:?}", cut.elapsed());
        });
        scope.spawn(|| what_a_cut_leaves(&bench, project, cut, &before));
    });

    one.heal();
    wait_until(Duration::from_secs(30), "the names come back", || {
        ask(bench.home.dns_port(), "db.red.test", 1).is_some_and(|answer| answer.code == 0)
    });
    for (name, address) in before {
        assert_eq!(place(&bench, name, 0).ip(), address, "{name}");
    }
    assert_eq!(get(&bench, "web.red.test", 80, "/cgi-bin/shop?fox")["hits"], 1);
    wait_until(Duration::from_secs(10), "it is shown as running", || {
        bench.status(project, "red")["status"] == "running"
    });
    bench.home.dwell_in(project, ["destroy", "red", "blue", "--force"]).ok();
    assert_eq!(one.docker(["ps", "-aq"]).ok(), "");
    assert_eq!(one.docker(["volume", "ls", "-q"]).ok(), "");
}

fn same_names_from_everywhere(bench: &Bench, project: &Path) {
    // Real queries through the whole chain, and each copy has a database of its own.
    let orders = |name: &str| get(bench, name, 80, "/cgi-bin/shop?fox")["orders"].clone();
    assert_eq!(orders("web.red.test"), 1);
    assert_eq!(orders("web.red.test"), 2);
    assert_eq!(orders("web.blue.test"), 1);
    let search = place(bench, "search.red.test", 9200);
    let stream = TcpStream::connect(search).unwrap();
    let (code, _) = http(stream, "POST /cgi-bin/documents HTTP/1.0", "a red fox");
    assert_eq!(code, 200);

    let count = "select count(*) from orders";
    let hosts = ["db.red.test", "db.blue.test"];
    let addresses = hosts.map(|name| place(bench, name, 5432));
    assert_ne!(addresses[0], addresses[1]);
    for (name, expected) in hosts.into_iter().zip(["2", "1"]) {
        let address = place(bench, name, 5432);
        assert!(address.ip().is_loopback(), "{address}");
        assert_eq!(Postgres::connect(address).unwrap().ask(count).unwrap(), expected, "{name}");
        let environment = name.split('.').nth(1).unwrap();
        let psql = ["psql", "-h", name, "-p", "5432", "-U", "shop", "-qAt", "-c", count];
        let here = [&["exec", environment, "api"], &psql[..]].concat();
        assert_eq!(bench.home.dwell_in(project, here).ok(), expected, "{name} from here");
        let one = bench.hosts.host("one");
        let container = &one.containers(environment, Some("db"))[0];
        let there = [&["exec", container], &psql[..]].concat();
        assert_eq!(one.docker(there).ok(), expected, "{name} from there");
    }
    for container in bench.hosts.host("one").containers("blue", Some("db")) {
        let wget = ["exec", &container, "wget", "-qO-", "http://search.blue.test:9200/"];
        assert!(bench.hosts.host("one").docker(wget).ok().contains("green"));
    }
    let ran = bench.home.dwell_in(project, ["ls"]);
    assert!(ran.ok().contains("one"), "{}", ran.stdout);
}

fn what_a_cut_leaves(
    bench: &Bench,
    project: &Path,
    cut: Instant,
    before: &[(&str, std::net::IpAddr)],
) {
    // Before it is noticed and after, nothing waits for the node for long.
    let mut shown = Value::Null;
    while cut.elapsed() < Duration::from_secs(12) {
        let list = bench.home.dwell_in(project, ["ls", "--json"]);
        list.ok();
        assert!(list.took < Duration::from_secs(3), "{list:?}");
        let status = bench.home.dwell_in(project, ["status", "red", "--json"]);
        assert!(status.took < Duration::from_secs(3), "{status:?}");
        shown = status.json();
        let page = TcpStream::connect(place(bench, "web.red.test", 80)).unwrap();
        assert_eq!(http(page, "GET / HTTP/1.0", "").0, 200);
        let answer = ask(bench.home.dns_port(), "db.red.test", 1).unwrap();
        if cut.elapsed() > Duration::from_secs(10) {
            assert_eq!(answer.code, SERVFAIL);
        }
    }
    assert_eq!(service(&shown, "db")["state"], "unknown", "{shown}");
    assert_eq!(service(&shown, "db")["node"], "one", "{shown}");
    assert_eq!(service(&shown, "web")["state"], "running", "{shown}");
    for (name, address) in before {
        let port = if name.starts_with("db") { 5432 } else { 9200 };
        let refused = TcpStream::connect((*address, port)).unwrap_err();
        assert_eq!(refused.kind(), REFUSED, "{name}");
    }
    // The way of a container to a service there ends as soon.
    let asked = Instant::now();
    let answer = get(bench, "api.red.test", 8000, "/cgi-bin/shop?fox");
    assert_eq!((&answer["orders"], &answer["hits"]), (&Value::Null, &Value::Null), "{answer}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}
