//! From a host name in a request to the place that serves it.

use std::net::SocketAddr;

use super::{Lookup, LowerName, NameTable, ambiguity, encode};

/// Where a request for a host goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To this address.
    To(SocketAddr),
    /// Nowhere: several owners share the name; the text names them.
    Ambiguous(String),
    /// Nowhere just now; the text says why.
    Unreachable(String),
    /// Nowhere: nobody serves it.
    Unknown,
}

impl NameTable {
    /// Where HTTP requests for `host` go: a published name, or the same with `.localhost` in
    /// place of one of `suffixes`.
    pub fn route(&self, host: &str, suffixes: &[String]) -> Route {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let Some(plain) = host.strip_suffix(".localhost") else {
            return self.route_name(&host);
        };
        suffixes
            .iter()
            .map(|suffix| self.route_name(&format!("{plain}.{suffix}")))
            .reduce(|first, second| match (first, second) {
                (Route::Unknown, other) | (other, Route::Unknown) => other,
                (first, second) if first == second => first,
                _ => Route::Ambiguous(format!(
                    "ambiguous: {plain} exists under several suffixes; use one of them instead \
                     of `.localhost`: {}",
                    suffixes.join(", ")
                )),
            })
            .unwrap_or(Route::Unknown)
    }

    fn route_name(&self, name: &str) -> Route {
        let Some(wire) = encode(name).as_deref().and_then(LowerName::read) else {
            return Route::Unknown;
        };
        self.look(wire.as_wire(), |found| match found {
            Lookup::One(claim) => {
                let name = &claim.entry.name;
                if let Some(why) = &name.unreachable {
                    return Route::Unreachable(why.clone());
                }
                match (name.addresses.first(), name.http_port) {
                    (Some(address), Some(port)) => Route::To(SocketAddr::new(*address, port)),
                    _ => Route::Unknown,
                }
            }
            Lookup::Ambiguous(claims) => Route::Ambiguous(ambiguity(claims)),
            Lookup::Empty | Lookup::Absent => Route::Unknown,
        })
    }
}
