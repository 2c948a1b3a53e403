//! What `ip -json address` prints: the addresses of network interfaces.

use std::net::IpAddr;

use serde::Deserialize;

use super::{MeshError, SIZE_MAX, refused};
use crate::remote::MeshAddress;

const TOOL: &str = "ip -json address";

#[derive(Deserialize)]
struct Interface {
    ifname: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
}

/// The addresses of those of these interfaces that are up, from what `ip -json address` prints.
///
/// # Errors
/// When it is no such thing.
pub fn interface_addresses(text: &str, names: &[String]) -> Result<Vec<MeshAddress>, MeshError> {
    if text.len() > SIZE_MAX {
        return Err(refused(TOOL, "it is too long"));
    }
    let all: Vec<Interface> =
        serde_json::from_str(text).map_err(|_| refused(TOOL, "it is not the JSON expected"))?;
    let named = |it: &Interface| it.ifname.as_ref().is_some_and(|name| names.contains(name));
    let up = |it: &Interface| it.flags.iter().any(|flag| flag == "UP");
    let found = all.into_iter().filter(|it| named(it) && up(it));
    let addresses = found.flat_map(|it| it.addr_info).filter_map(|address| address.local);
    // Link-local ones mean nothing without their interface.
    let whole = addresses.filter(|address| match address {
        IpAddr::V4(four) => !four.is_link_local(),
        IpAddr::V6(six) => !six.is_unicast_link_local(),
    });
    Ok(whole.filter_map(|address| MeshAddress::try_from(address).ok()).collect())
}
