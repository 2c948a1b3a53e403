//! The node's two listeners, DNS and HTTP, on loopback. A port that is taken does not keep the
//! daemon from its work: it says so, and tries again until the port is free.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dwell_api::node::Part;
use dwell_core::Suffix;
use dwell_core::config::NodeConfig;
use dwell_net::dns::DnsServer;
use dwell_net::names::NameTable;
use dwell_net::proxy::HttpProxy;

use crate::node::Node;

struct State {
    suffixes: BTreeSet<Suffix>,
    dns: Result<DnsServer, String>,
    proxy: Result<HttpProxy, String>,
}

/// The listeners and the suffixes they serve.
pub(crate) struct Listeners {
    dns_address: SocketAddr,
    proxy_address: SocketAddr,
    state: Mutex<State>,
}

impl Listeners {
    pub(crate) fn new(config: &NodeConfig) -> Self {
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let waiting = || "not tried yet".to_owned();
        Self {
            dns_address: loopback(config.dns.port.get()),
            proxy_address: loopback(config.proxy.port.get()),
            state: Mutex::new(State {
                suffixes: config.dns.suffixes.iter().cloned().collect(),
                dns: Err(waiting()),
                proxy: Err(waiting()),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The suffixes that are served.
    pub(crate) fn suffixes(&self) -> Vec<Suffix> {
        self.state().suffixes.iter().cloned().collect()
    }

    /// Serves one more suffix.
    pub(crate) fn serve(&self, suffix: &Suffix) {
        let mut state = self.state();
        if state.suffixes.contains(suffix) {
            return;
        }
        state.suffixes.insert(suffix.clone());
        let all: Vec<Suffix> = state.suffixes.iter().cloned().collect();
        if let Ok(dns) = &state.dns {
            dns.set_suffixes(&all);
        }
        if let Ok(proxy) = &state.proxy {
            proxy.set_suffixes(&all);
        }
    }

    /// The address of the DNS server, when it listens.
    pub(crate) fn dns(&self) -> Option<SocketAddr> {
        self.state().dns.as_ref().ok().and_then(DnsServer::local_addr)
    }

    /// The address of the proxy, when it listens.
    pub(crate) fn proxy(&self) -> Option<SocketAddr> {
        self.state().proxy.as_ref().ok().map(HttpProxy::local_addr)
    }

    /// How the listeners are.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let state = self.state();
        let part = |name: &str, address: SocketAddr, error: Option<&String>, key: &str| Part {
            name: name.to_owned(),
            ok: error.is_none(),
            detail: error.cloned().unwrap_or_else(|| format!("listening on {address}")),
            fix: error.map(|_| {
                format!("end the program that has port {}, or set `[{key}] port` in the node's config.toml and restart with `dwell node stop`", address.port())
            }),
        };
        vec![
            part("dns", self.dns_address, state.dns.as_ref().err(), "dns"),
            part("proxy", self.proxy_address, state.proxy.as_ref().err(), "proxy"),
        ]
    }

    /// Listens on what is not listened on yet. Whether both listen now.
    async fn listen(&self, table: &Arc<NameTable>) -> bool {
        let (suffixes, dns_missing, proxy_missing) = {
            let state = self.state();
            let suffixes: Vec<Suffix> = state.suffixes.iter().cloned().collect();
            (suffixes, state.dns.is_err(), state.proxy.is_err())
        };
        if dns_missing {
            let forward = crate::resolver::forward();
            let mut addresses = vec![self.dns_address];
            addresses.extend(crate::resolver::extra_address());
            let bound = DnsServer::bind(&addresses, &suffixes, table.clone(), forward);
            self.state().dns = bound.map_err(|error| error.to_string());
        }
        if proxy_missing {
            let bound = HttpProxy::bind(self.proxy_address, &suffixes, table.clone()).await;
            self.state().proxy = bound.map_err(|error| error.to_string());
        }
        let state = self.state();
        state.dns.is_ok() && state.proxy.is_ok()
    }
}

/// Listens, and goes on trying while a port is taken.
pub(crate) async fn run(node: Arc<Node>) {
    while !node.listeners.listen(&node.names).await {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
