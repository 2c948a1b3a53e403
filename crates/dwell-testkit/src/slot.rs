//! Ports and address pools that no other test on this machine has.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use rustix::fs::{FlockOperation, flock};

const SLOTS: u16 = 256;
const FIRST_PORT: u16 = 20_000;

/// A numbered share of the machine's ports and private addresses, held until dropped, also
/// against other processes.
pub(crate) struct Slot {
    number: u16,
    _lock: File,
}

impl Slot {
    /// Takes the first share that is free.
    pub(crate) fn take() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let folder = std::env::temp_dir().join(format!("dwell-test-slots-{uid}"));
        fs::create_dir_all(&folder).expect("the folder of slots can be made");
        for number in 0..SLOTS {
            let lock = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join(number.to_string()))
                .expect("a slot's file can be opened");
            let free = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            let slot = Self { number, _lock: lock };
            if free && port_is_free(slot.dns_port()) && port_is_free(slot.proxy_port()) {
                return slot;
            }
        }
        panic!("all {SLOTS} shares of ports and addresses are taken");
    }

    /// A port for the daemon's DNS server, below those that the system hands out.
    pub(crate) fn dns_port(&self) -> u16 {
        FIRST_PORT + self.number * 2
    }

    /// A port for the daemon's HTTP proxy.
    pub(crate) fn proxy_port(&self) -> u16 {
        self.dns_port() + 1
    }

    /// Addresses for the networks of environments: a block of 4,096.
    pub(crate) fn pool(&self) -> String {
        format!("10.{}.{}.0/20", 192 + self.number / 16, self.number % 16 * 16)
    }

    /// Loopback addresses: a block of 4,096.
    pub(crate) fn loopback_pool(&self) -> String {
        format!("127.{}.{}.0/20", 224 + self.number / 16, self.number % 16 * 16)
    }

    /// The number of the share, for names that have to differ.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// An address in the network of the test's hosts, a block of 256 outside [`Self::pool`]'s.
    pub(crate) fn host_address(&self, host: u8) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, 208 + high, low, host)
    }

    /// An address in a second network of the same hosts.
    pub(crate) fn mesh_address(&self, host: u8) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, 212 + high, low, host)
    }
}

fn port_is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

/// A loopback TCP port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a loopback port can be had")
        .port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_slots_share_nothing() {
        let (one, two) = (Slot::take(), Slot::take());
        assert_ne!(one.number, two.number);
        assert_ne!(one.pool(), two.pool());
        assert_ne!(one.host_address(1), two.host_address(1));
        assert!(one.dns_port().abs_diff(two.dns_port()) >= 2);
    }
}
