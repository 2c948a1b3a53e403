//! What keeps workspaces apart: each tries every way to each other one and to the node.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dwell_testkit::{IDLE, Ran, TestHome, docker, has_image, show, wait_until};

const IMAGE: &str = "debian:bookworm";
/// Has Docker.
const DOCKER: &str = "dwell-test-workspace-docker";
const PORT: u16 = 7000;

fn as_root(home: &TestHome, name: &str, line: &str) -> Ran {
    home.dwell(["ws", "exec", "-u", "root", name, "--", "sh", "-c", line])
}

/// Connects to what listens at an address, and reads it; as root, who can do the most. Gives what was
/// heard: nothing where nothing answers.
fn ask(home: &TestHome, from: &str, address: &str, port: u16) -> String {
    let line = format!(
        "timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port} || exit 1; echo heard-open; cat <&3'"
    );
    as_root(home, from, &line).stdout
}

/// Has something secret in its home, and something that listens.
fn listen(home: &TestHome, name: &str) {
    let listen = format!(
        "echo secret-of-{name} > ~/mine; perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(\
         LocalPort=>{PORT},Listen=>5,ReuseAddr=>1) or die; while($c=$s->accept){{print $c \
         \"heard-{name}\";close $c}}' > /dev/null 2>&1 &"
    );
    home.dwell(["ws", "exec", name, "--", "sh", "-c", &listen]).ok();
    let address = address(home, name);
    wait_until(Duration::from_secs(10), "it listens", || {
        ask(home, name, &address, PORT).contains(&format!("heard-{name}"))
    });
}

fn address(home: &TestHome, name: &str) -> String {
    show(home, name)["address"].as_str().unwrap().to_owned()
}

/// This machine's address in its network.
fn gateway(home: &TestHome, name: &str) -> String {
    let own: std::net::Ipv4Addr = address(home, name).parse().unwrap();
    let gateway = std::net::Ipv4Addr::from_bits(own.to_bits() - 1).to_string();
    // It is this machine's address, or nothing is proven.
    drop(std::net::TcpListener::bind((gateway.as_str(), 0)).unwrap());
    gateway
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
        listen(&home, name);
    }
    let shown = |name: &str| show(&home, name);
    let addresses = names.map(|name| address(&home, name));
    let containers = names.map(|name| shown(name)["container"].as_str().unwrap().to_owned());
    for from in names {
        // Ports: by address, by every name that there might be.
        for (to, (address, container)) in names.iter().zip(addresses.iter().zip(&containers)) {
            if *to == from {
                continue;
            }
            for place in [address.as_str(), to, container] {
                let heard = ask(&home, from, place, PORT);
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
        let gateway = gateway(&home, from);
        for port in [home.dns_port(), home.proxy_port(), 7082, 2375, 2376] {
            let heard = ask(&home, from, &gateway, port);
            assert_eq!(heard, "", "{from} reached port {port} of the node");
        }
        let query = format!(
            "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(Proto=>\"udp\",PeerAddr=>\
             \"{gateway}\",PeerPort=>{}) or exit 1; send($s,\"\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\
             \\0\\0\\x03web\\x03red\\x04test\\0\\0\\x01\\0\\x01\",0); alarm 2; recv($s,$b,512,0) or exit 1; print \"heard\"'",
            home.dns_port()
        );
        let heard = as_root(&home, from, &query);
        assert!(!heard.stdout.contains("heard"), "{from} asked the node's name server");
        // Nor by the addresses that every link has: it has none of the other family.
        let other = as_root(&home, from, "cat /proc/net/if_inet6 2>/dev/null; true");
        assert_eq!(other.ok(), "", "{from} has addresses that nothing here keeps apart");
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

/// Asks from a container of the engine inside.
fn ask_deeper(home: &TestHome, from: &str, address: &str, port: u16) -> String {
    // Nobody but a shell may be the first process, which no signal ends.
    let line = format!(
        "docker run --rm busybox sh -c 'timeout 3 nc {address} {port} -e sh -c \
         \"echo heard-open >&2; cat >&2\"; exit $?' 2>&1"
    );
    home.dwell(["ws", "exec", from, "--", "sh", "-c", &line]).stdout
}

/// One with an engine inside, in which something listens, and something in a container of it.
fn with_engine(home: &TestHome, mode: &str, images: &std::path::Path) {
    let create = ["ws", "create", mode, "--image", DOCKER, "--class", "cpu=2,mem=1g"];
    home.dwell([&create[..], &["--docker", mode]].concat()).ok();
    listen(home, mode);
    let place = format!("{}:/tmp/images.tar", show(home, mode)["container"].as_str().unwrap());
    docker(["cp", &images.display().to_string(), &place]).ok();
    home.dwell(["ws", "exec", mode, "--", "docker", "load", "-i", "/tmp/images.tar"]).ok();
    let serve = "docker run -d -p 8080:80 busybox nc -ll -p 80 -e echo heard-within";
    home.dwell(["ws", "exec", mode, "--", "sh", "-c", serve]).ok();
    // What is in it reaches what is in it, or nothing is proven.
    wait_until(Duration::from_secs(20), "a container in it serves", || {
        let own = address(home, mode);
        ask(home, mode, &own, 8080).contains("heard-within")
            && ask_deeper(home, mode, &own, PORT).contains(&format!("heard-{mode}"))
    });
}

#[test]
fn engines_inside_open_no_way_to_others() {
    if !has_image(DOCKER) {
        return;
    }
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    home.dwell(["ws", "create", "plain", "--image", IMAGE, "--class", "cpu=1,mem=256m"]).ok();
    listen(&home, "plain");
    let tar = home.path().join("busybox.tar");
    docker(["save", "-o", &tar.display().to_string(), "busybox"]).ok();
    fs::set_permissions(&tar, fs::Permissions::from_mode(0o644)).unwrap();
    let modes = ["rootless", "dind"];
    modes.iter().for_each(|mode| with_engine(&home, mode, &tar));
    let reached = |from: &str, address: &str, port: u16| {
        let heard = [ask_deeper(&home, from, address, port), ask(&home, from, address, port)];
        let heard = heard.concat();
        heard.contains("heard-").then(|| format!("{from} reached {address}:{port}: {heard}"))
    };
    let mut ways = Vec::new();
    for from in modes {
        for to in ["plain", "rootless", "dind"].into_iter().filter(|to| *to != from) {
            ways.extend([PORT, 8080].map(|port| (from, address(&home, to), port)));
        }
        let ports = [home.dns_port(), home.proxy_port(), 2375];
        ways.extend(ports.map(|port| (from, gateway(&home, from), port)));
        let heard = ask(&home, "plain", &address(&home, from), 8080);
        assert_eq!(heard, "", "what is published in {from} is for {from}");
        let sockets = as_root(&home, from, "find / -xdev -name node.sock 2>/dev/null; true");
        assert_eq!(sockets.ok(), "", "{from} has the node's API");
    }
    let reached: Vec<String> = std::thread::scope(|scope| {
        let asked = |(from, address, port): &(&str, String, u16)| reached(from, address, *port);
        let asking: Vec<_> = ways.iter().map(|way| scope.spawn(move || asked(way))).collect();
        asking.into_iter().filter_map(|it| it.join().unwrap()).collect()
    });
    assert!(reached.is_empty(), "{reached:?}");
}

/// The addresses of a workspace, each with this machine's in the same network.
fn addresses(home: &TestHome, name: &str) -> Vec<(String, String)> {
    let format = "{{range .NetworkSettings.Networks}}{{println .IPAddress .Gateway}}{{end}}";
    let container = show(home, name)["container"].as_str().unwrap().to_owned();
    let told = docker(["inspect", "-f", format, &container]).ok().to_owned();
    let pairs = told.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(own, door)| (own.to_owned(), door.to_owned())).collect()
}

#[test]
fn in_one_environment_only_its_network_is_shared() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    let project = home.project("lab").compose(IDLE);
    home.dwell_in(&project, ["up", "red"]).ok();
    let names = ["one", "two"];
    for name in names {
        let create = ["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=256m"];
        home.dwell([&create[..], &["--credentials", "claude"]].concat()).ok();
        listen(&home, name);
        home.dwell_in(&project, ["ws", "join", name, "red"]).ok();
    }
    for (from, to) in [("one", "two"), ("two", "one")] {
        let own = address(&home, to);
        let mut shared = addresses(&home, to);
        shared.retain(|(address, _)| *address != own);
        let [(shared, door)] = shared.as_slice() else { panic!("{shared:?}") };
        let heard = ask(&home, from, shared, PORT);
        assert!(heard.contains(&format!("heard-{to}")), "what listens there is reached, as told");
        assert_eq!(ask(&home, from, &own, PORT), "", "{from} reached {to} on its own network");
        let secrets = as_root(&home, from, "grep -rls secret-of- / --include=mine 2>/dev/null");
        assert_eq!(secrets.stdout.trim(), "/home/dev/mine", "{from} sees homes of others");
        let seen = as_root(&home, from, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout;
        assert!(!seen.contains(&format!("heard-{to}")), "{from} sees processes of {to}");
        for port in [home.dns_port(), home.proxy_port(), 2375] {
            assert_eq!(ask(&home, from, door, port), "", "{from} reached port {port} by {door}");
        }
    }
    // Who leaves is apart again.
    let before = addresses(&home, "two");
    home.dwell_in(&project, ["ws", "leave", "one", "red"]).ok();
    for (there, _) in before {
        assert_eq!(ask(&home, "one", &there, PORT), "", "one reached two by {there}");
    }
}
