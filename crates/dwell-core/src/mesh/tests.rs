//! Output of the tools, true and hostile.

use super::*;
use proptest::prelude::*;

const STATUS: &str = r#"{
  "Version": "1.80.2", "TUN": true, "BackendState": "Running", "HaveNodeKey": true,
  "TailscaleIPs": ["100.64.0.1", "fd7a:115c:a1e0::1"],
  "Self": {"ID": "n1", "HostName": "laptop", "DNSName": "laptop.tail1.ts.net.", "OS": "linux",
    "TailscaleIPs": ["100.64.0.1", "fd7a:115c:a1e0::1"], "Online": true},
  "MagicDNSSuffix": "tail1.ts.net",
  "Peer": {
    "nodekey:aa": {"HostName": "staging", "DNSName": "staging.tail1.ts.net.", "OS": "linux",
      "TailscaleIPs": ["fd7a:115c:a1e0::5", "100.64.0.5"], "Online": true, "CurAddr": "10.0.0.5:41641"},
    "nodekey:bb": {"HostName": "build", "DNSName": "build.tail1.ts.net.", "TailscaleIPs": ["100.64.0.6"], "Online": false},
    "nodekey:cc": {"HostName": "build", "DNSName": "build-1.tail1.ts.net.", "TailscaleIPs": ["100.64.0.7"], "Online": true},
    "nodekey:dd": {"HostName": "Someone's Phone", "DNSName": "", "TailscaleIPs": null},
    "nodekey:ee": {"HostName": "twin", "DNSName": "twin-a.tail1.ts.net.", "TailscaleIPs": ["100.64.0.8"]},
    "nodekey:ff": {"HostName": "twin", "DNSName": "twin-b.tail1.ts.net.", "TailscaleIPs": ["100.64.0.9"]}
  }
}"#;

const DUMP: &str = "\
wg0\tPRIVATE+SECRET=\tPUBLIC=\t51820\toff
wg0\tKEY1=\t(none)\t203.0.113.5:51820\t10.9.0.5/32,fd00:9::5/128\t1700000000\t100\t200\toff
wg0\tKEY2=\tPRESHARED+SECRET=\t[2001:db8::7]:51820\t10.9.0.7/32,192.168.7.0/24\t1700000000\t0\t0\t25
wg0\tKEY3=\t(none)\t(none)\t(none)\t0\t0\t0\toff
wg1\tPRIVATE+SECRET2=\tPUBLIC2=\t51821\t0xca6c
wg1\tKEY4=\t(none)\t203.0.113.9:1\t0.0.0.0/0\t1\t0\t0\toff
";

fn at(host: &str, resolved: &[&str], meshes: &[Mesh]) -> Option<String> {
    let resolved: Vec<IpAddr> = resolved.iter().map(|text| text.parse().unwrap()).collect();
    let found = mesh_address(None, &host.parse().unwrap(), &resolved, meshes)?;
    Some(format!("{} {:?}", found.address, found.kind))
}

#[test]
fn a_node_is_found_in_tailscale_by_name_or_address() {
    let mesh = tailscale(STATUS).unwrap();
    assert!(mesh.up);
    assert_eq!(mesh.own.first().unwrap().to_string(), "100.64.0.1");
    let meshes = [mesh];
    for (host, resolved, want) in [
        ("staging", &[][..], Some("100.64.0.5 Tailscale")),
        ("STAGING.tail1.ts.net", &[], Some("100.64.0.5 Tailscale")),
        ("fd7a:115c:a1e0::5", &[], Some("fd7a:115c:a1e0::5 Tailscale")),
        ("box.example.com", &["198.51.100.1", "100.64.0.6"], Some("100.64.0.6 Tailscale")),
        ("build", &[], Some("100.64.0.6 Tailscale")),
        ("build-1", &[], Some("100.64.0.7 Tailscale")),
        ("twin", &[], None),
        ("nobody", &["198.51.100.1"], None),
        ("laptop", &[], None),
    ] {
        assert_eq!(at(host, resolved, &meshes).as_deref(), want, "{host}");
    }
    let down = tailscale(&STATUS.replace("Running", "Stopped")).unwrap();
    assert_eq!(at("staging", &[], &[down]), None);
}

#[test]
fn a_node_is_found_in_wireguard_by_address_or_endpoint() {
    let mesh = wireguard(DUMP).unwrap();
    assert!(!format!("{mesh:?}").contains("SECRET"), "no key is kept");
    assert_eq!(mesh.peers.iter().map(|peer| peer.addresses.len()).sum::<usize>(), 3);
    assert_eq!(mesh.peers.get(2).unwrap().online, Some(false));
    let meshes = [mesh];
    for (host, resolved, want) in [
        ("10.9.0.5", &[][..], Some("10.9.0.5 WireGuard")),
        ("fd00:9::5", &[], Some("fd00:9::5 WireGuard")),
        ("box", &["203.0.113.5"], Some("10.9.0.5 WireGuard")),
        ("box", &["2001:db8::7"], Some("10.9.0.7 WireGuard")),
        ("gateway", &["203.0.113.9"], None),
        ("192.168.7.3", &[], None),
    ] {
        assert_eq!(at(host, resolved, &meshes).as_deref(), want, "{host}");
    }
    assert!(!wireguard("").unwrap().up, "no interface is no mesh");
}

#[test]
fn this_machine_s_own_address_is_found() {
    let text = r#"[{"ifname": "lo", "flags": ["UP"], "addr_info": [{"local": "127.0.0.1"}]},
        {"ifname": "wg0", "flags": ["POINTOPOINT", "UP"], "addr_info": [
            {"family": "inet6", "local": "fe80::1"}, {"local": "fd00:9::1"}, {"local": "10.9.0.1"}]},
        {"ifname": "wg1", "flags": [], "addr_info": [{"local": "10.8.0.1"}]}, {}]"#;
    let mut mesh = wireguard(DUMP).unwrap();
    assert_eq!(mesh.interfaces, ["wg0", "wg1"]);
    let names = mesh.interfaces.clone();
    mesh.own = interface_addresses(text, &names).unwrap();
    assert_eq!(mesh.own.len(), 2, "{:?}", mesh.own);
    let other = tailscale(STATUS).unwrap();
    let first = own_address(&[Mesh { up: false, ..other.clone() }, mesh.clone()]).unwrap();
    assert_eq!((first.address.to_string().as_str(), first.kind), ("10.9.0.1", MeshKind::WireGuard));
    assert_eq!(own_address(&[other, mesh]).unwrap().kind, MeshKind::Tailscale);
    assert_eq!(own_address(&[]), None);
    for odd in ["", "{}", "[1]", r#"[{"addr_info": [{"local": "x"}]}]"#] {
        assert!(interface_addresses(odd, &names).is_err(), "{odd}");
    }
}

#[test]
fn the_address_given_by_hand_wins() {
    let meshes = [tailscale(STATUS).unwrap()];
    let explicit = Some("192.0.2.1".parse().unwrap());
    let found = mesh_address(explicit, &"staging".parse().unwrap(), &[], &meshes).unwrap();
    assert_eq!((found.address.to_string().as_str(), found.kind), ("192.0.2.1", MeshKind::Manual));
}

#[test]
fn what_is_not_the_tools_output_is_refused() {
    for bad in ["", "{}", "[]", "null", "Tailscale is stopped.", r#"{"BackendState": 5}"#] {
        assert!(tailscale(bad).is_err(), "{bad}");
    }
    for (from, to) in
        [("10.9.0.5/32", "10.9.0.5/33"), ("1700000000", "-1"), ("wg0\tKEY1", "wg0\tx\tKEY1")]
    {
        assert!(wireguard(&DUMP.replace(from, to)).is_err(), "{to}");
    }
    assert!(wireguard("interface: wg0").is_err());
    assert!(wireguard(&"x".repeat(SIZE_MAX + 1)).is_err());
    assert!(tailscale(&" ".repeat(SIZE_MAX + 1)).is_err());
}

#[test]
fn hostile_names_and_addresses_are_left_out() {
    let text = STATUS
        .replace("\"staging.tail1.ts.net.\"", "\"-oProxyCommand=x\"")
        .replace("\"HostName\": \"staging\"", "\"HostName\": \"a\\n$(x)\"")
        .replace("\"fd7a:115c:a1e0::5\", \"100.64.0.5\"", "\"0.0.0.0\", \"224.0.0.1\", \"x\"");
    let mesh = tailscale(&text).unwrap();
    let peer = mesh.peers.first().unwrap();
    assert_eq!((peer.names.iter().flatten().count(), peer.addresses.len()), (0, 0));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", lines in prop::collection::vec("[a-z0-9:./\t(),]{0,60}", 0..5)) {
        let _ = tailscale(&text);
        let _ = wireguard(&text);
        let _ = wireguard(&lines.join("\n"));
    }
}
