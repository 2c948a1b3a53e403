//! What keeps workspaces apart: each tries every way to each other one and to the node.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::time::Duration;

use dwell_testkit::{Ran, TestHome, docker, wait_until};

const IMAGE: &str = "debian:bookworm";
const PORT: u16 = 7000;

fn as_root(home: &TestHome, name: &str, line: &str) -> Ran {
    home.dwell(["ws", "exec", "-u", "root", name, "--", "sh", "-c", line])
}

/// Reads what listens at an address; as root, who can do the most.
fn ask(home: &TestHome, from: &str, address: &str, port: u16) -> Ran {
    as_root(home, from, &format!("timeout 2 bash -c 'cat < /dev/tcp/{address}/{port}'"))
}

#[test]
fn no_workspace_reaches_another_nor_the_node() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    let names = ["one", "two", "three"];
    for (name, agent) in names.iter().zip(["claude", "codex", ""]) {
        let mut args = vec!["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=256m"];
        if !agent.is_empty() {
            args.extend(["--credentials", agent]);
        }
        home.dwell(args).ok();
        let listen = format!(
            "echo secret-of-{name} > ~/mine; perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(\
             LocalPort=>{PORT},Listen=>5,ReuseAddr=>1) or die; while($c=$s->accept){{print $c \
             \"heard-{name}\";close $c}}' > /dev/null 2>&1 &"
        );
        home.dwell(["ws", "exec", name, "--", "sh", "-c", &listen]).ok();
    }
    let shown = |name: &str| home.dwell(["ws", "show", name, "--json"]).json();
    let addresses = names.map(|name| shown(name)["address"].as_str().unwrap().to_owned());
    let containers = names.map(|name| shown(name)["container"].as_str().unwrap().to_owned());
    for (name, address) in names.iter().zip(&addresses) {
        wait_until(Duration::from_secs(10), "it listens", || {
            ask(&home, name, address, PORT).stdout.contains("heard-")
        });
    }
    for from in names {
        // Ports: by address, by every name that there might be.
        for (to, (address, container)) in names.iter().zip(addresses.iter().zip(&containers)) {
            if *to == from {
                continue;
            }
            for place in [address.as_str(), to, container] {
                let heard = ask(&home, from, place, PORT).stdout;
                assert!(!heard.contains("heard-"), "{from} reached {to} as {place}");
            }
        }
        // Homes, sockets and the node's state: nothing of them is in its file system.
        let secrets =
            as_root(&home, from, "grep -rls secret-of- / --include=mine 2>/dev/null").stdout;
        assert_eq!(secrets.trim(), "/home/dev/mine", "{from} sees homes of others");
        let sockets = as_root(&home, from, "find / -xdev -type s 2>/dev/null; true").stdout;
        for socket in ["node.sock", "docker.sock", "containerd.sock", "tmux.sock"] {
            assert!(!sockets.contains(socket), "{from} has {socket}: {sockets}");
        }
        // Sign-ins: those that it asked for and no others.
        let agents = as_root(&home, from, "ls /run/dwell-credentials 2>/dev/null; true").stdout;
        let own = shown(from)["credentials"][0].as_str().unwrap_or_default().to_owned();
        assert_eq!(agents.trim(), own, "{from} has sign-ins that it did not ask for");
        // Processes, and rights over the machine.
        let seen = as_root(&home, from, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout;
        assert!(!seen.contains("node run"), "{from} sees the node's processes");
        for act in [
            "mount -t tmpfs x /mnt",
            "mknod /tmp/disk b 8 0 && head -c1 /tmp/disk",
            "echo x > /proc/sys/kernel/hostname",
        ] {
            assert_ne!(as_root(&home, from, act).code, Some(0), "{from} may do `{act}`");
        }
        let writes = as_root(&home, from, "touch /run/dwell/x");
        assert_ne!(writes.code, Some(0), "{from} changes what the node gives");
        // The node's own ports, by the way out of its network; its API is at none.
        let gateway = "ip=$(hostname -i | cut -d' ' -f1); echo ${ip%.*}.$((${ip##*.} - 1))";
        let gateway = as_root(&home, from, gateway).stdout.trim().to_owned();
        // It is this machine's address, or nothing is proven.
        drop(std::net::TcpListener::bind((gateway.as_str(), 0)).unwrap());
        for port in [home.proxy_port(), 7082, 2375, 2376] {
            let heard = ask(&home, from, &gateway, port);
            assert_ne!(heard.code, Some(0), "{from} reached port {port} of the node");
        }
    }
    for container in &containers {
        let ports = docker([
            "inspect",
            "-f",
            "{{json .HostConfig.PortBindings}} {{.HostConfig.Privileged}} {{.HostConfig.CapAdd}}",
            container,
        ]);
        assert!(
            ports.ok().ends_with("false []") && !ports.stdout.contains("HostPort"),
            "{ports:?}"
        );
    }
}
