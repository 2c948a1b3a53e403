//! One question to a DNS server, asked without help from the system's resolver.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// What a DNS server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The response code: 0 is "no error", 3 "no such name", 5 "refused".
    pub code: u8,
    /// The addresses of A records, sorted.
    pub addresses: Vec<Ipv4Addr>,
    /// Records of any type in the answer's section.
    pub records: u16,
    /// The longest time to live of the A records, in seconds.
    pub ttl: u32,
}

/// The addresses that the server on this loopback port gives for a name; none when the name does
/// not exist. Ends the test when the server does not answer, or neither has nor lacks the name.
#[track_caller]
pub fn resolve(port: u16, name: &str) -> Vec<Ipv4Addr> {
    match lookup(port, name) {
        (0 | 3, addresses) => addresses,
        (code, _) => panic!("{name}: response code {code}"),
    }
}

/// The response code and the addresses for a name. Ends the test when nothing answers.
#[track_caller]
pub fn lookup(port: u16, name: &str) -> (u8, Vec<Ipv4Addr>) {
    for _ in 0..5 {
        if let Some(answer) = ask(port, name, 1) {
            return (answer.code, answer.addresses);
        }
    }
    panic!("no answer about {name} from port {port}");
}

/// Asks the server at a loopback port for records of a type (1: A, 28: AAAA) of a name; `None`
/// when nothing answers within a second.
pub fn ask(port: u16, name: &str, kind: u16) -> Option<Answer> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).expect("a label is short"));
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket can be had");
    socket.connect((Ipv4Addr::LOCALHOST, port)).expect("loopback can be reached");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout can be set");
    socket.send(&query).ok()?;
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).ok()?;
    let reply = buffer.get(..length)?;
    read(reply, query.len())
}

fn read(reply: &[u8], mut at: usize) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes([*reply.get(at)?, *reply.get(at + 1)?]));
    let records = word(6)?;
    let mut answer = Answer { code: reply.get(3)? & 15, addresses: Vec::new(), records, ttl: 0 };
    for _ in 0..records {
        while *reply.get(at)? != 0 && *reply.get(at)? < 0xc0 {
            at += 1 + usize::from(*reply.get(at)?);
        }
        at += if *reply.get(at)? == 0 { 1 } else { 2 };
        let length = usize::from(word(at + 8)?);
        if word(at)? == 1 {
            let bytes: [u8; 4] = reply.get(at + 10..at + 14)?.try_into().ok()?;
            answer.addresses.push(bytes.into());
            let ttl = u32::from(word(at + 4)?) << 16 | u32::from(word(at + 6)?);
            answer.ttl = answer.ttl.max(ttl);
        }
        at += 10 + length;
    }
    answer.addresses.sort_unstable();
    Some(answer)
}
