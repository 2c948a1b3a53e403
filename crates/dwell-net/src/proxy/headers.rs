//! Headers that belong to one connection only, and those that tell the service who asked.

use std::net::SocketAddr;

use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Request, Uri, Version};

/// What a client may not say about itself: the proxy's own word replaces it.
const FORWARDED: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-real-ip",
];

/// Makes a client's request the one that the service gets, and tells whether it asks for another
/// protocol.
pub(super) fn prepare<B>(request: &mut Request<B>, peer: SocketAddr) -> bool {
    let upgrade = wanted_upgrade(request.headers());
    let host = request.headers().get(HOST).cloned();
    let headers = request.headers_mut();
    drop_hop_by_hop(headers);
    for name in FORWARDED {
        headers.remove(name);
    }
    if let Some(host) = host {
        headers.insert("x-forwarded-host", host);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    if let Ok(client) = HeaderValue::from_str(&peer.ip().to_string()) {
        headers.insert("x-forwarded-for", client);
    }
    let upgrades = upgrade.is_some();
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    origin_form(request);
    upgrades
}

fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| named).cloned()
}

/// The service gets path and query only, whatever form the client used.
fn origin_form<B>(request: &mut Request<B>) {
    let path = request.uri().path_and_query().cloned();
    if let Some(uri) = path.and_then(|path| Uri::builder().path_and_query(path).build().ok()) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_11;
}

/// Removes what concerns one connection only, and what `Connection` names. Framing is the
/// library's work.
pub(super) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // These stay whatever `Connection` says: without them the message would mean something else.
    let kept = [HOST, http::header::CONTENT_LENGTH];
    let named: Vec<HeaderName> = tokens(headers)
        .filter_map(|token| token.parse().ok())
        .filter(|name| !kept.contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}
