//! Caddy's configuration, in the form that its admin API takes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::{Listen, Route, RouteName, table};
use crate::prepare::Version;

/// The first version that can keep upgraded connections when it is configured anew.
const KEEPS_STREAMS: Version = Version(2, 7, 0);

/// The whole configuration of a Caddy of this version: these routes at one address, without TLS,
/// administered through a unix socket and nothing else, by requests to the host `localhost`. Caddy
/// changes to it without dropping connections; upgraded ones (WebSocket) are kept from version 2.7
/// on.
pub fn caddy(listen: &Listen, admin: &Path, version: Version, routes: &[Route]) -> Value {
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
    json!({
        "admin": {
            "listen": format!("unix/{}", admin.display()),
            "origins": ["localhost"],
            "config": {"persist": false},
        },
        "apps": {"http": {"servers": {"dwell": {
            "listen": [format!("tcp/{at}")],
            "automatic_https": {"disable": true},
            "routes": handlers,
        }}}},
    })
}

fn route(names: &[&RouteName], upstreams: &BTreeSet<SocketAddr>, version: Version) -> Value {
    // A wildcard of Caddy's means one label; two reach deep enough for names that people make.
    let hosts = names.iter().flat_map(|name| {
        let deeper = name.wildcard.then(|| format!("*.{name}"));
        std::iter::once(name.to_string()).chain(deeper)
    });
    let dials = upstreams.iter().map(|address| json!({"dial": address.to_string()}));
    // Streams pass at once by themselves. Asking for it (`flush_interval`) has Caddy 2.6 cut answers
    // that are under way when it is configured anew.
    let mut proxy = json!({
        "handler": "reverse_proxy",
        "upstreams": dials.collect::<Vec<_>>(),
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
