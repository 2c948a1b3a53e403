//! The node's two listeners, DNS and HTTP, on loopback. A port that is taken does not keep the
//! daemon from its work: it says so, and tries again until the port is free.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dwell_api::node::Part;
use dwell_core::Suffix;
use dwell_core::config::NodeConfig;
use dwell_core::resolver::Serving;
use dwell_net::dns::DnsServer;
use dwell_net::names::NameTable;
use dwell_net::proxy::HttpProxy;

use crate::node::Node;
use crate::resolver;

/// How often the resolver configuration is looked at again.
const AGAIN: Duration = Duration::from_secs(3);
/// How often a port that is taken is tried: a daemon that is just ending frees it in a moment.
const SOON: Duration = Duration::from_millis(250);

struct State {
    suffixes: BTreeSet<Suffix>,
    dns: Result<DnsServer, String>,
    /// On port 53 of a loopback address, where the system's resolver was pointed at it.
    system_dns: Option<DnsServer>,
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
                system_dns: None,
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
        for dns in state.dns.iter().chain(&state.system_dns) {
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
        let part = |name: &str, address: SocketAddr, error: Option<&String>, key: &str| {
            Part {
            name: name.to_owned(),
            ok: error.is_none(),
            detail: error.cloned().unwrap_or_else(|| format!("listening on {address}")),
            fix: error.map(|_| {
                format!("end the program that has port {}, or set `[{key}] port` in the node's config.toml and restart with `dwell node stop`", address.port())
            }),
        }
        };
        vec![
            part("dns", self.dns_address, state.dns.as_ref().err(), "dns"),
            part("proxy", self.proxy_address, state.proxy.as_ref().err(), "proxy"),
        ]
    }

    /// Listens on what is not listened on yet.
    async fn listen(&self, table: &Arc<NameTable>) {
        let (suffixes, dns_missing, proxy_missing) = {
            let state = self.state();
            let suffixes: Vec<Suffix> = state.suffixes.iter().cloned().collect();
            (suffixes, state.dns.is_err(), state.proxy.is_err())
        };
        let serving = resolver::serving(self.dns_address.port());
        if dns_missing {
            let bound = DnsServer::bind(&serving.addresses, &suffixes, table.clone(), None);
            self.state().dns = bound.map_err(|error| error.to_string());
        }
        self.serve_system(&suffixes, &serving, table);
        if proxy_missing {
            let bound = HttpProxy::bind(self.proxy_address, &suffixes, table.clone()).await;
            self.state().proxy = bound.map_err(|error| error.to_string());
        }
    }
}

impl Listeners {
    /// Serves the system's resolver where it was pointed at us, and stops when it no longer is.
    fn serve_system(&self, suffixes: &[Suffix], serving: &Serving, table: &Arc<NameTable>) {
        let mut state = self.state();
        if serving.forward.is_none() {
            state.system_dns = None;
            return;
        }
        match &state.system_dns {
            Some(dns) => dns.set_forward(serving.forward.clone()),
            None => {
                let forward = serving.forward.clone();
                match DnsServer::bind(&serving.privileged, suffixes, table.clone(), forward) {
                    Ok(dns) => state.system_dns = Some(dns),
                    Err(error) => tracing::warn!(%error, "the system's resolver is not served"),
                }
            }
        }
    }
}

/// Listens, and goes on trying while a port is taken. The system's resolver configuration is
/// looked at again now and then, because `dwell setup` and the network change it.
pub(crate) async fn run(node: Arc<Node>) {
    loop {
        node.listeners.listen(&node.names).await;
        let all = node.listeners.dns().is_some() && node.listeners.proxy().is_some();
        tokio::time::sleep(if all { AGAIN } else { SOON }).await;
    }
}
