//! The one host of a request. Whatever could be read in two ways is refused.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Request};

/// The host without its port, in lower case, or why there is none.
pub(super) fn of<B>(request: &Request<B>) -> Result<String, &'static str> {
    let from_header = header(request.headers())?;
    let Some(authority) = request.uri().authority() else {
        return Ok(from_header.0);
    };
    if request.uri().scheme_str() != Some("http") {
        return Err("only http is served here");
    }
    let from_uri = parse(authority.as_str())?;
    if from_uri != from_header {
        return Err("the request's URI and its Host header name different hosts");
    }
    Ok(from_uri.0)
}

fn header(headers: &HeaderMap) -> Result<(String, u16), &'static str> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) => Err("the request has no Host header"),
        (Some(_), Some(_)) => Err("the request has several Host headers"),
        (Some(only), None) => parse(only.to_str().map_err(|_| "the Host header is not ASCII")?),
    }
}

fn parse(text: &str) -> Result<(String, u16), &'static str> {
    const INVALID: &str = "the Host header is not a host name";
    let authority: Authority = text.parse().map_err(|_| INVALID)?;
    if text.contains('@') {
        return Err(INVALID);
    }
    let host = authority.host();
    let port = match text.get(host.len()..).ok_or(INVALID)? {
        "" => 80,
        rest => rest.strip_prefix(':').and_then(|p| p.parse().ok()).ok_or(INVALID)?,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.is_empty() {
        return Err(INVALID);
    }
    Ok((host, port))
}
