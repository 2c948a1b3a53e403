//! What benches/dns.sh measures: `serve <address> <names>` answers until its input ends, and
//! `update <names>` reports how soon an update is seen and what it costs other answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark ends at the first surprise"
)]

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dwell_core::Suffix;
use dwell_net::dns::DnsServer;
use dwell_net::names::{Name, NameTable};

const PER_OWNER: usize = 10;

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0ae0_0000 + number))
}

fn owner(number: usize, shift: u32) -> Vec<Name> {
    let first = number * PER_OWNER;
    let name = |i: usize| {
        let fqdn = format!("s{}.e{number}.test", i % PER_OWNER);
        let last = u32::try_from(i).unwrap() + shift;
        Name::new(&fqdn, &format!("p/e{number}"), vec![address(last)])
    };
    (first..first + PER_OWNER).map(name).collect()
}

fn filled(names: usize) -> Arc<NameTable> {
    let table = NameTable::new();
    for number in 0..names / PER_OWNER {
        table.set(&format!("id{number}"), owner(number, 0)).unwrap();
    }
    Arc::new(table)
}

fn question(name: &str, id: u16) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    packet.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    packet
}

fn ask(socket: &UdpSocket, name: &str) -> Option<[u8; 4]> {
    socket.send(&question(name, 7)).unwrap();
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).unwrap();
    (reply[7] > 0).then(|| reply[length - 4..length].try_into().unwrap())
}

fn client(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn part(sorted: &[Duration], per_mille: usize) -> f64 {
    let index = (sorted.len() - 1) * per_mille / 1000;
    sorted[index].as_secs_f64() * 1000.0
}

/// Latencies of queries for names that nobody changes, for as long as `on` holds.
fn latencies(server: SocketAddr, on: &AtomicBool, names: usize) -> Vec<Duration> {
    let socket = client(server);
    let mut all = Vec::new();
    let mut i = 0;
    while on.load(Ordering::Relaxed) {
        i = (i + 7919) % names;
        let name = format!("s{}.e{}.test", i % PER_OWNER, i / PER_OWNER);
        let start = Instant::now();
        ask(&socket, &name);
        all.push(start.elapsed());
    }
    all.sort_unstable();
    all
}

fn during(server: SocketAddr, names: usize, work: impl FnOnce()) -> Vec<Duration> {
    let on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| latencies(server, &on, names));
        work();
        on.store(false, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

fn update(names: usize) {
    const UPDATES: usize = 200;
    let start = Instant::now();
    let table = filled(names);
    println!("{names} names loaded in {:.0} ms", start.elapsed().as_secs_f64() * 1000.0);
    let suffix = [Suffix::default()];
    let server =
        DnsServer::bind(&["127.0.0.1:0".parse().unwrap()], &suffix, Arc::clone(&table), None)
            .unwrap();
    let at = server.local_addr().unwrap();
    let pace = Duration::from_millis(10);
    let idle = during(at, names, || std::thread::sleep(pace * u32::try_from(UPDATES).unwrap()));
    let mut seen = Vec::new();
    let busy = during(at, names, || {
        let socket = client(at);
        for round in 0..UPDATES {
            let next = Instant::now() + pace;
            let wanted = address(u32::try_from(round).unwrap() + 0x10_0000);
            let start = Instant::now();
            let name = Name::new("new.fresh.test", "p/fresh", vec![wanted]);
            table.set("fresh", vec![name]).unwrap();
            let number = round % (names / PER_OWNER);
            table.set(&format!("id{number}"), owner(number, 1)).unwrap();
            while ask(&socket, "new.fresh.test").map(|a| IpAddr::V4(a.into())) != Some(wanted) {}
            seen.push(start.elapsed());
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    seen.sort_unstable();
    println!(
        "update of 11 names seen: median {:.3} ms, largest {:.3} ms",
        part(&seen, 500),
        part(&seen, 1000)
    );
    for (what, all) in [("idle", &idle), ("100 updates/s", &busy)] {
        println!(
            "other answers, {what}: {} asked, median {:.3} ms, p99 {:.3} ms, largest {:.3} ms",
            all.len(),
            part(all, 500),
            part(all, 990),
            part(all, 1000)
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", at, names] => {
            let table = filled(names.parse().unwrap());
            let suffix = [Suffix::default()];
            let _server = DnsServer::bind(&[at.parse().unwrap()], &suffix, table, None).unwrap();
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
        ["update", names] => update(names.parse().unwrap()),
        _ => eprintln!("usage: dns_bench serve <address> <names> | update <names>"),
    }
}
