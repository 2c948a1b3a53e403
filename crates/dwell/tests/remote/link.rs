//! The link to a node: one for all, kept over short cuts, given up and made again over long ones.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use dwell_testkit::{Cut, Host, HostPlan, Project, wait_until};

use crate::bench::{Bench, service};

const ECHO: &str = r#"
services:
  echo:
    image: busybox:latest
    command: ["nc", "-ll", "-p", "7000", "-e", "cat"]
    expose: ["7000"]
    init: true
"#;
const BLOCK: usize = 64 * 1024;
/// Blocks on their way at once.
const AHEAD: usize = 16;

fn bench() -> Option<Bench> {
    let bench = Bench::start([HostPlan::new("one").engine()])?;
    bench.load("one", "busybox:latest");
    Some(bench)
}

fn echo(bench: &Bench) -> (Project, SocketAddr) {
    let project = bench.home.project("lab").compose(ECHO).git();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let status = bench.status(&project, "red");
    let address = service(&status, "echo")["addresses"][0].as_str().unwrap().parse().unwrap();
    (project, SocketAddr::new(address, 7000))
}

/// How many ssh connections a host has accepted.
fn connections(host: &Host) -> usize {
    let log = std::fs::read_to_string(host.path("/run/sshd.log")).unwrap();
    log.matches("Accepted publickey").count()
}

#[test]
fn a_node_answers_over_one_ssh_connection() {
    let Some(bench) = Bench::start([HostPlan::new("one")]) else { return };
    let pong = bench.post("/v1/remotes/one/ping", "{}");
    assert_eq!(pong["via"], "ssh", "{pong}");
    let machine = bench.get("/v1/remotes/one/machine");
    assert_eq!(machine["host"], "one", "{machine}");
    let shown = bench.get("/v1/remotes/one");
    assert_eq!(shown["link"]["state"], "up", "{shown}");
}

#[test]
fn ten_at_once_use_one_connection() {
    let Some(bench) = bench() else { return };
    let project = bench.home.project("lab").compose(ECHO).git();
    bench.comes_back("one");
    bench.home.dwell(["node", "stop"]).ok();
    let before = connections(bench.hosts.host("one"));
    let names: Vec<String> = (0..10).map(|number| format!("env{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let (bench, project) = (&bench, &project);
            scope.spawn(move || {
                bench.home.dwell_in(project, ["up", name, "--remote", "one"]).ok();
            });
        }
    });
    assert_eq!(connections(bench.hosts.host("one")), before + 1);
    let list = bench.home.dwell_in(&project, ["ls", "--json"]).json();
    let running = list.as_array().unwrap().iter().filter(|shown| shown["status"] == "running");
    assert_eq!(running.count(), names.len(), "{list}");
}

/// The byte at a place of a stream that no shift or loss leaves as it is.
fn fill(block: &mut [u8], number: u64) {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for bytes in block.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.copy_from_slice(&state.to_le_bytes()[..bytes.len()]);
    }
}

fn send(mut stream: &TcpStream, end: &AtomicBool, ahead: &SyncSender<u64>) {
    let mut block = vec![0; BLOCK];
    for number in 0.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        fill(&mut block, number);
        ahead.send(number).unwrap();
        stream.write_all(&block).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

fn receive(mut stream: &TcpStream, ahead: &Receiver<u64>, count: &AtomicU64) {
    let (mut expected, mut block) = (vec![0; BLOCK], vec![0; BLOCK]);
    for number in ahead {
        fill(&mut expected, number);
        stream.read_exact(&mut block).unwrap();
        assert!(block == expected, "block {number} is not what was sent");
        count.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(stream.read(&mut block).unwrap(), 0, "more came than was sent");
}

/// Sends for as long as something goes on, and sees that all of it comes back.
fn meanwhile(address: SocketAddr, action: impl FnOnce(&AtomicU64)) {
    let stream = TcpStream::connect(address).unwrap();
    let (end, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let (stream, end, count) = (&stream, &end, &count);
        scope.spawn(move || send(stream, end, &sender));
        scope.spawn(move || receive(stream, &receiver, count));
        action(count);
        end.store(true, Ordering::Relaxed);
    });
}

fn answers(stream: &mut TcpStream) -> bool {
    let mut word = [0; 5];
    stream.write_all(b"hello").is_ok() && stream.read_exact(&mut word).is_ok() && word == *b"hello"
}

fn state(bench: &Bench) -> String {
    bench.get("/v1/remotes/one")["link"]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_short_cut_loses_nothing_and_a_half_open_link_is_noticed() {
    let Some(bench) = bench() else { return };
    let (_project, address) = echo(&bench);
    let host = bench.hosts.host("one");
    let before = connections(host);
    let mut idle = TcpStream::connect(address).unwrap();
    assert!(answers(&mut idle));
    meanwhile(address, |count| {
        let more = |what: &str| {
            let now = count.load(Ordering::Relaxed);
            wait_until(Duration::from_secs(20), what, || count.load(Ordering::Relaxed) > now + 100);
        };
        more("the stream flows");
        host.partition();
        std::thread::sleep(Duration::from_secs(5));
        host.heal();
        more("the stream goes on");
    });
    assert!(answers(&mut idle));
    assert_eq!(connections(host), before, "it is the same connection");

    for cut in [Cut::ToHost, Cut::FromHost] {
        let mut open = TcpStream::connect(address).unwrap();
        assert!(answers(&mut open));
        host.partition_one_way(cut);
        let begun = Instant::now();
        let ended = open.read(&mut [0; 1]);
        let took = begun.elapsed();
        assert!(matches!(ended, Err(_) | Ok(0)), "{cut:?}: {ended:?}");
        assert!(took < Duration::from_secs(10), "{cut:?}: the stream was open for {took:?}");
        wait_until(Duration::from_secs(20), "it is shown as down", || state(&bench) == "down");
        wait_until(Duration::from_secs(2), "connections are refused", || {
            let refused = TcpStream::connect(address).err();
            refused.is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
        });
        host.heal();
        wait_until(Duration::from_secs(30), "the link is back", || state(&bench) == "up");
        wait_until(Duration::from_secs(5), "its services are back", || {
            TcpStream::connect(address).is_ok_and(|mut stream| answers(&mut stream))
        });
    }
}
