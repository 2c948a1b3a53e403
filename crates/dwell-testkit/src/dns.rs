//! Asking a DNS server on loopback for addresses, with nothing but a socket.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

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
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket can be had");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time limit can be set");
    let question = question(name);
    let mut buffer = [0; 1500];
    for _ in 0..5 {
        socket.send_to(&question, (Ipv4Addr::LOCALHOST, port)).expect("a datagram can be sent");
        if let Ok(length) = socket.recv(&mut buffer) {
            return read(buffer.get(..length).unwrap_or_default());
        }
    }
    panic!("no answer about {name} from port {port}");
}

fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label is short"));
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Type A, class IN, a TTL, four bytes of data.
fn read(message: &[u8]) -> (u8, Vec<Ipv4Addr>) {
    let at = |index: usize| message.get(index).copied().unwrap_or_default();
    let number = |index: usize| usize::from(at(index)) << 8 | usize::from(at(index + 1));
    let answers = number(6);
    let mut place = name_end(&at, 12) + 4;
    let mut addresses = Vec::new();
    for _ in 0..answers {
        place = name_end(&at, place);
        let length = number(place + 8);
        if number(place) == 1 && length == 4 {
            let byte = |index: usize| at(place + 10 + index);
            addresses.push(Ipv4Addr::new(byte(0), byte(1), byte(2), byte(3)));
        }
        place += 10 + length;
    }
    addresses.sort_unstable();
    (at(3) & 15, addresses)
}

fn name_end(at: &impl Fn(usize) -> u8, mut place: usize) -> usize {
    loop {
        match at(place) {
            0 => return place + 1,
            pointer if pointer >= 0xc0 => return place + 2,
            label => place += usize::from(label) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let mut message = question("db.a.test");
        message[3] = 0x80;
        message[7] = 1;
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 2, 0, 4, 10, 224, 0, 2]);
        assert_eq!(read(&message), (0, vec![Ipv4Addr::new(10, 224, 0, 2)]));
        message[3] = 0x83;
        message[7] = 0;
        assert_eq!(read(&message), (3, Vec::new()));
    }
}
