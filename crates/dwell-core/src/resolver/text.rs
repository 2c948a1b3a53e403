//! The text of the files that setup writes.

use super::{DNS_ADDRESS, Facts, LINK, LINK_ADDRESS, MARK};

fn routing_domains(facts: &Facts) -> String {
    facts.suffixes.iter().map(|suffix| format!("~{suffix}")).collect::<Vec<_>>().join(" ")
}

/// A unit that makes the link at boot and again whenever systemd-resolved restarts.
pub(super) fn unit(facts: &Facts) -> String {
    let port = facts.dns_port;
    let domains = routing_domains(facts);
    format!(
        "{MARK}
[Unit]
Description=Routes names under {domains} to dwell
After=systemd-resolved.service
PartOf=systemd-resolved.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStartPre=-ip link delete {LINK}
ExecStart=ip link add {LINK} type dummy
ExecStart=ip address add {LINK_ADDRESS}/32 dev {LINK}
ExecStart=ip address add {DNS_ADDRESS}/32 dev {LINK} scope host
ExecStart=ip link set {LINK} up
ExecStart=resolvectl dns {LINK} {DNS_ADDRESS}:{port}
ExecStart=resolvectl domain {LINK} {domains}
ExecStart=resolvectl default-route {LINK} false
ExecStart=-resolvectl dnssec {LINK} no
ExecStart=-resolvectl dnsovertls {LINK} no
ExecStart=-resolvectl llmnr {LINK} no
ExecStart=-resolvectl mdns {LINK} no
ExecStop=-ip link delete {LINK}
TimeoutSec=30

[Install]
WantedBy=systemd-resolved.service
"
    )
}

pub(super) fn dnsmasq(facts: &Facts) -> String {
    let port = facts.dns_port;
    let lines = facts.suffixes.iter().map(|suffix| {
        // Without the second line dnsmasq drops private addresses where rebind protection is on.
        format!("server=/{suffix}/{DNS_ADDRESS}#{port}\nrebind-domain-ok=/{suffix}/\n")
    });
    format!("{MARK}\n{}", lines.collect::<String>())
}

pub(super) fn block(facts: &Facts) -> String {
    let domains = facts.suffixes.iter().map(|s| format!(".{s}")).collect::<Vec<_>>().join(" ");
    format!("# {domains}\nnameserver {DNS_ADDRESS}\noptions timeout:1\n")
}

pub(super) fn mac_os(facts: &Facts) -> String {
    format!("{MARK}\nnameserver 127.0.0.1\nport {}\ntimeout 2\n", facts.dns_port)
}
