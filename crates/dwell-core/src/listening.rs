//! What listens on a machine, as its kernel tells in `/proc/net/tcp` and `/proc/net/tcp6`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// What listens, and which process that is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The address that it listens at; unspecified for all of them.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub address: IpAddr,
    /// The name of its process, where that can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The number of its process where it runs, where that can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// A socket that takes TCP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The address that it listens at; unspecified for all of them.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The kernel's number of it, by which its process is found.
    pub inode: u64,
}

/// Docker itself answers names in a container at this address, at ports that change.
pub const ENGINE_NAMES: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// The state of a socket that listens (`TCP_LISTEN` in Linux' `net/tcp_states.h`).
const LISTEN: &str = "0A";

/// Reads a table of sockets. A line that is not understood is passed over.
pub fn read(table: &str) -> Vec<Listening> {
    table.lines().skip(1).filter_map(line).collect()
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
fn line(line: &str) -> Option<Listening> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if fields.get(3) != Some(&LISTEN) {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Listening {
        address: address_of(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Words of four bytes, each in the order of the machine; ours are little-endian.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_le_bytes());
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// The number in the name of a process's open socket, such as `socket:[123]`.
pub fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 52341 1 0000000000000000 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 51002 1 0000000000000000 100 0 0 10 0
   2: 0100007F:0BB8 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 52399 1 0000000000000000 20 4 30 10 -1
   3: garbage
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 60001 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000000000000:1388 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 60002 1 0000000000000000 100 0 0 10 0
";

    fn shown(table: &str) -> Vec<String> {
        let one = |it: Listening| format!("{} {} {}", it.address, it.port, it.inode);
        read(table).into_iter().map(one).collect()
    }

    #[test]
    fn only_what_listens_is_told() {
        assert_eq!(shown(TCP), ["127.0.0.1 3000 52341", "0.0.0.0 22 51002"]);
        assert_eq!(shown(TCP6), ["::1 8080 60001", ":: 5000 60002"]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn sockets_are_known_by_their_numbers() {
        assert_eq!(inode("socket:[52341]"), Some(52341));
        assert_eq!(inode("/dev/null"), None);
        assert_eq!(inode("pipe:[1]"), None);
    }
}
