//! What the system's resolver configuration asks of the DNS server, and whether the system
//! resolves our names at all.

use std::net::IpAddr;
use std::time::Duration;

use dwell_core::resolver::Serving;

/// Where to listen and what to forward, as the system's resolver is configured now.
pub(crate) fn serving(dns_port: u16) -> Serving {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    dwell_core::resolver::serving(dwell_net::setup::os(), dns_port, &text)
}

/// Whether the system's resolver finds a name at one of these addresses.
pub(crate) async fn resolves(name: &str, addresses: &[IpAddr]) -> bool {
    let lookup = tokio::net::lookup_host((name.to_owned(), 0));
    match tokio::time::timeout(Duration::from_millis(300), lookup).await {
        Ok(Ok(mut found)) => found.any(|found| addresses.contains(&found.ip())),
        _ => false,
    }
}
