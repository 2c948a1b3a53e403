//! Caddy's configuration, in the form that its admin API takes.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Listen, Route, RouteName, table};
use crate::prepare::Version;

/// The first version that can keep upgraded connections when it is configured anew.
const KEEPS_STREAMS: Version = Version(2, 7, 0);

/// How long a piece of a slow answer may wait. Not at all (-1) would bind answers to the
/// configuration in versions before 2.9: they would be cut off when it changes.
const FLUSH: &str = "20ms";

/// The files of a Caddy of dwell's own.
#[derive(Debug, Clone, Copy)]
pub struct CaddyFiles<'a> {
    /// The unix socket that it is administered through, and through nothing else: by requests to
    /// the host `localhost`.
    pub admin: &'a str,
    /// Where it writes what goes wrong; at most two files of this name with a MiB each.
    pub log: &'a str,
}

/// The configuration of a Caddy that serves nothing yet.
pub fn idle_caddy(files: &CaddyFiles<'_>) -> Value {
    json!({
        "admin": {
            "listen": format!("unix/{}", files.admin),
            "origins": ["localhost"],
            "config": {"persist": false},
        },
        "logging": {"logs": {"default": {
            "level": "WARN",
            "writer": {
                "output": "file",
                "filename": files.log,
                "roll_size_mb": 1,
                "roll_keep": 1,
            },
        }}},
    })
}

/// The whole configuration of a Caddy of this version: these routes at one address, without TLS.
/// Caddy changes to it without dropping connections; upgraded ones (WebSocket) are kept from
/// version 2.7 on.
pub fn caddy(listen: &Listen, files: &CaddyFiles<'_>, version: Version, routes: &[Route]) -> Value {
    let at = SocketAddr::new(listen.address.get(), listen.port.get());
    let mut handlers: Vec<Value> = table(routes)
        .into_iter()
        .map(|(names, upstreams)| route(&names, upstreams, version))
        .collect();
    handlers.push(json!({
        "handle": [{
            "handler": "static_response",
            "status_code": 404,
            "body": "no service of a dwell environment has this name\n",
        }],
    }));
    let mut config = idle_caddy(files);
    if let Some(config) = config.as_object_mut() {
        let server = json!({
            "listen": [format!("tcp/{at}")],
            "automatic_https": {"disable": true},
            "routes": handlers,
        });
        let apps = json!({"http": {"servers": {"dwell": server}}});
        config.insert("apps".to_owned(), apps);
    }
    config
}

fn route(names: &[&RouteName], upstreams: &BTreeSet<SocketAddr>, version: Version) -> Value {
    // A wildcard of Caddy's means one label; two reach deep enough for names that people make.
    let hosts = names.iter().flat_map(|name| {
        let deeper = name.wildcard.then(|| format!("*.{name}"));
        std::iter::once(name.to_string()).chain(deeper)
    });
    let dials = upstreams.iter().map(|address| json!({"dial": address.to_string()}));
    let mut proxy = json!({
        "handler": "reverse_proxy",
        "upstreams": dials.collect::<Vec<_>>(),
        "flush_interval": FLUSH,
    });
    if version >= KEEPS_STREAMS
        && let Some(proxy) = proxy.as_object_mut()
    {
        proxy.insert("stream_close_delay".to_owned(), json!("24h"));
    }
    json!({
        "match": [{"host": hosts.collect::<Vec<_>>()}],
        "handle": [proxy],
        "terminal": true,
    })
}
