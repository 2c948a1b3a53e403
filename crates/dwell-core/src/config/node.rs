//! The node's own file, `config.toml` in dwell's configuration directory.

use std::num::NonZeroU16;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::error::check_size;
use crate::Suffix;
use crate::address::LoopbackPool;
use crate::idle::Policy;
use crate::remote::MeshAddress;
use crate::settings::DotfilesRef;
use crate::workspace::PoolConfig;

const FILE: &str = "config.toml";

/// How a node is set up. Everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Name service.
    pub dns: DnsConfig,
    /// HTTP proxy for names without a resolver.
    pub proxy: ProxyConfig,
    /// Addresses of environments.
    pub network: NetworkConfig,
    /// Shared services.
    pub shared: SharedConfig,
    /// Services on other nodes.
    pub forward: ForwardConfig,
    /// Other nodes.
    pub remote: RemoteConfig,
    /// HTTP services for other machines of a mesh.
    pub ingress: IngressConfig,
    /// Links from other nodes over a mesh.
    pub mesh: MeshConfig,
    /// When workspaces are put to sleep that have no settings of their own.
    pub idle: Policy,
    /// What follows a person into new workspaces.
    pub person: PersonConfig,
    /// Containers that wait for new workspaces.
    pub pool: PoolConfig,
}

/// `[person]`: what follows the person into every workspace that is made from here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PersonConfig {
    /// Whether settings of git, ssh and coding agents do.
    pub settings: bool,
    /// The repository of dotfiles that do.
    pub dotfiles: Option<DotfilesRef>,
}

/// `[dns]`: the name server on the loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// The UDP and TCP port.
    pub port: NonZeroU16,
    /// The suffixes that it answers for; the first is that of projects without one.
    pub suffixes: Vec<Suffix>,
}

/// `[proxy]`: the HTTP proxy on the loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// The TCP port.
    pub port: NonZeroU16,
}

/// `[network]`: where environments get their addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// The pool that subnets are cut from: private IPv4, /8 to /24.
    pub pool: Ipv4Net,
}

/// `[shared]`: services that several environments use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SharedConfig {
    /// How long one lives on after its last user, in seconds.
    pub grace_seconds: u32,
}

/// `[forward]`: where services on other nodes get their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardConfig {
    /// The pool of loopback addresses, /9 to /24.
    pub pool: LoopbackPool,
}

/// `[remote]`: how connections to other nodes are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteConfig {
    /// How long one may take to open, in seconds.
    pub connect_seconds: u16,
    /// How long nothing may be heard before the other side is asked whether it lives, in seconds.
    pub keepalive_seconds: u16,
    /// How long nothing may be heard before it is given up, in seconds; at least twice the above.
    pub silence_seconds: u16,
    /// The longest pause between two attempts, in seconds.
    pub retry_seconds: u16,
}

/// `[mesh]`: where other nodes that are known reach this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeshConfig {
    /// The TCP port at this machine's mesh address; another where it is taken.
    pub port: NonZeroU16,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self { port: port(7082) }
    }
}

/// `[ingress]`: where HTTP services are reached from other machines of a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngressConfig {
    /// This machine's address in the mesh; by default what Tailscale or WireGuard tell.
    pub address: Option<MeshAddress>,
    /// The TCP port.
    pub port: NonZeroU16,
    /// The file to write for an nginx that runs already, which `nginx -s reload` tells; by default
    /// dwell runs a Caddy of its own.
    pub nginx: Option<PathBuf>,
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self { address: None, port: port(7081), nginx: None }
    }
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self { port: port(5354), suffixes: vec![Suffix::default()] }
    }
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self { port: port(7080) }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let pool = Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 224, 0, 0), 16);
        Self { pool }
    }
}

impl Default for SharedConfig {
    fn default() -> Self {
        Self { grace_seconds: 60 }
    }
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self { connect_seconds: 20, keepalive_seconds: 10, silence_seconds: 25, retry_seconds: 30 }
    }
}

impl RemoteConfig {
    /// What is wrong with these times, if anything is.
    fn fault(&self) -> Option<&'static str> {
        let Self { connect_seconds, keepalive_seconds, silence_seconds, retry_seconds } = *self;
        let all = [connect_seconds, keepalive_seconds, silence_seconds, retry_seconds];
        if all.iter().any(|seconds| !(1..=3600).contains(seconds)) {
            return Some("times in [remote] are 1 to 3600 seconds");
        }
        (silence_seconds < keepalive_seconds.saturating_mul(2))
            .then_some("remote.silence_seconds has to be at least twice remote.keepalive_seconds")
    }
}

fn port(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

impl NodeConfig {
    /// Reads the file; an empty text gives the defaults.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        check_size(FILE, text)?;
        let config: Self =
            toml::from_str(text).map_err(|error| ConfigError::toml(FILE, text, &error))?;
        let fail = |message: String| Err(ConfigError::whole(FILE, message));
        if config.dns.suffixes.is_empty() {
            return fail("dns.suffixes is empty; at least one suffix is needed".to_owned());
        }
        if config.dns.port == config.proxy.port {
            return fail(format!("dns.port and proxy.port are both {}", config.dns.port));
        }
        if config.ingress.nginx.as_ref().is_some_and(|file| !file.is_absolute()) {
            return fail("ingress.nginx has to be an absolute path".to_owned());
        }
        if let Some(fault) = config.remote.fault() {
            return fail(fault.to_owned());
        }
        let pool = config.network.pool;
        let fits = (8..=24).contains(&pool.prefix_len()) && pool.network() == pool.addr();
        if !fits || !is_private(pool) {
            return fail(format!("network.pool `{pool}` has to be a private network, /8 to /24"));
        }
        Ok(config)
    }
}

/// Whether a network lies in the ranges for private use (RFC 1918) or shared ones (RFC 6598).
fn is_private(network: Ipv4Net) -> bool {
    let within = |a, b, length| {
        Ipv4Net::new(std::net::Ipv4Addr::new(a, b, 0, 0), length)
            .is_ok_and(|range| range.contains(&network))
    };
    within(10, 0, 8) || within(172, 16, 12) || within(192, 168, 16) || within(100, 64, 10)
}
