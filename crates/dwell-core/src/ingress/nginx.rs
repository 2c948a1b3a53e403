//! nginx's configuration, as a file that its `http` block includes.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{Listen, Route, RouteName, table};

/// The server blocks for these routes at one address, without TLS. Names are regular expressions
/// because nginx limits the length of all others by a setting that belongs to the whole server.
pub fn nginx(listen: &Listen, routes: &[Route]) -> String {
    let at = SocketAddr::new(listen.address.get(), listen.port.get());
    let mut text = format!(
        "# Written by dwell; changes are lost.
map $http_upgrade $dwell_connection {{
    default upgrade;
    '' close;
}}

server {{
    listen {at} default_server;
    server_name _;
    return 404;
}}
"
    );
    for (number, (names, upstreams)) in table(routes).into_iter().enumerate() {
        let servers = upstreams.iter().fold(String::new(), |mut all, address| {
            // Writing to a String cannot fail.
            let _ = writeln!(all, "    server {address};");
            all
        });
        let names: Vec<String> = names.into_iter().map(pattern).collect();
        let names = names.join("\n        ");
        let _ = write!(
            text,
            "
upstream dwell_{number} {{
{servers}}}

server {{
    listen {at};
    server_name
        {names};
    client_max_body_size 0;
    location / {{
        proxy_pass http://dwell_{number};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $dwell_connection;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_buffering off;
        proxy_request_buffering off;
        proxy_read_timeout 24h;
        proxy_send_timeout 24h;
    }}
}}
"
        );
    }
    text
}

/// The regular expression of a name. Of its characters only the dot means something in one.
fn pattern(name: &RouteName) -> String {
    let below = if name.wildcard { r".+\." } else { "" };
    format!("~^{below}{}$", name.name.replace('.', r"\."))
}
