//! Container ports of a service, from every form that compose knows.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{Object, text, texts};

/// A transport protocol.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port that a service's container listens on, as its project says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// The number inside the container.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// The container ports of `ports` and then of `expose`, each once, in their order.
pub(super) fn ports(service: &Object) -> Vec<Port> {
    let mut found = Vec::new();
    for key in ["ports", "expose"] {
        let entries = service.get(key).and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            for port in entry_ports(entry) {
                if !found.contains(&port) {
                    found.push(port);
                }
            }
        }
    }
    found
}

fn entry_ports(entry: &Value) -> Vec<Port> {
    if let Some(long) = entry.as_object() {
        let target = long.get("target").and_then(text).unwrap_or_default();
        let protocol = long.get("protocol").and_then(text).unwrap_or_default();
        return range(&target, &protocol);
    }
    let short = text(entry).unwrap_or_default();
    let (addresses, protocol) = short.split_once('/').unwrap_or((&short, ""));
    range(addresses.rsplit(':').next().unwrap_or_default(), protocol)
}

fn range(target: &str, protocol: &str) -> Vec<Port> {
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    let (first, last) = target.split_once('-').unwrap_or((target, target));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).map(|number| Port { number, protocol }).collect(),
        _ => Vec::new(),
    }
}

/// The entries of `expose` that keep a service's container ports known to the engine once
/// `ports` is gone: the user's own as they are, then the others.
pub(super) fn expose(service: &Object) -> Vec<Value> {
    let mut entries = texts(service.get("expose"));
    let published = service.get("ports").and_then(Value::as_array);
    for port in published.into_iter().flatten().flat_map(entry_ports) {
        let entry = port.to_string();
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.into_iter().map(Value::String).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_is_read() {
        let service = json!({
            "ports": [
                "8080:80", "127.0.0.1:53:53/udp", "[::1]:81:82", 3000, "9000-9002",
                "127.0.0.1::5000", "7000-7001:6000-6001/sctp",
                {"target": 90, "published": "1000", "protocol": "tcp", "mode": "host"},
                {"target": "91", "protocol": "udp"}, "8081:80", "nonsense", null,
            ],
            "expose": ["99", "100-101/udp", 80],
        });
        let found: Vec<_> =
            ports(service.as_object().unwrap()).iter().map(Port::to_string).collect();
        assert_eq!(
            found.join(" "),
            "80/tcp 53/udp 82/tcp 3000/tcp 9000/tcp 9001/tcp 9002/tcp 5000/tcp 6000/sctp \
             6001/sctp 90/tcp 91/udp 99/tcp 100/udp 101/udp"
        );
    }
}
