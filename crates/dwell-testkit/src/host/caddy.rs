//! Caddy on a host.

use std::fs;

use super::Host;
use crate::engine::possible;

impl Host {
    /// Starts Caddy with this `/etc/caddy/Caddyfile`, now and at every boot, and waits until it has
    /// taken it. Its administration is where Caddy has it, at port 2019 of the host's loopback.
    /// False, with a word on stderr, where Caddy is not installed.
    pub fn start_caddy(&self, caddyfile: &str) -> bool {
        if !possible("Caddy on a host", &["/usr/bin/caddy"]) {
            return false;
        }
        let file = self.path("/etc/caddy/Caddyfile");
        fs::write(file, caddyfile).expect("a file can be written");
        let start = "caddy start --config /etc/caddy/Caddyfile >/run/caddy.log 2>&1";
        self.shell(start).ok();
        self.on_boot("root", start);
        true
    }
}
