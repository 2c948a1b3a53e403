//! Ports of the daemon that somebody else has.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use dwell_testkit::wait_until;

use crate::support::{home, small};

#[test]
fn taken_ports_are_said_and_served_when_free() {
    let home = home();
    let dns = UdpSocket::bind((Ipv4Addr::LOCALHOST, home.dns_port())).unwrap();
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, home.proxy_port())).unwrap();
    let project = small(&home, "shop");
    home.dwell_in(&project, ["up", "one"]).ok();
    for command in [&["node", "status"][..], &["doctor"]] {
        let ran = home.dwell(command);
        for port in [home.dns_port(), home.proxy_port()] {
            let text = format!("{}{}", ran.stdout, ran.stderr);
            assert!(text.contains(&port.to_string()), "{command:?}: {ran:?}");
            assert!(text.contains("end the program that has port"), "{command:?}: {ran:?}");
        }
    }
    drop((dns, proxy));
    wait_until(Duration::from_secs(10), "both to be served", || {
        let status = home.dwell(["node", "status", "--json"]).stdout;
        status.matches("listening on").count() == 2
    });
}
