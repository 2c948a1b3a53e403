//! The hosts themselves: they are machines of their own, can fail in every way that the tests
//! need, and leave nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dwell_testkit::{Cut, HostPlan, Hosts, TestHome, docker, http, run, wait_until};

#[test]
fn a_host_is_a_machine_of_its_own() {
    let start = Instant::now();
    let plan = HostPlan::new("one").user("alice").user("bob");
    let Some(hosts) = Hosts::start([plan]) else { return };
    eprintln!("a host without an engine: {:?}", start.elapsed());
    let one = hosts.host("one");
    let address = one.address().to_string();
    assert_eq!(one.ssh(["hostname; id -un; pwd; echo $HOME"]).ok(), "one\nroot\n/root\n/root");
    assert_eq!(one.ssh_as("alice", ["id -un; pwd"]).ok(), "alice\n/home/alice");
    let runtime = one.ssh_as("bob", ["echo $XDG_RUNTIME_DIR; touch $XDG_RUNTIME_DIR/x"]);
    assert_eq!(runtime.ok(), "/run/user/30002");
    assert!(one.ssh(["ip -4 -o addr show eth0"]).ok().contains(&address));
    assert_eq!(one.ssh(["cat /proc/1/comm"]).ok(), "bash");
    assert!(one.ssh_as("alice", ["ls /home/bob"]).fails_with(2).contains("Permission denied"));
    assert_eq!(one.ssh_as("alice", ["id -nG"]).ok(), "alice docker");

    one.ssh(["echo here >/root/here; echo here >/tmp/here; echo here >/etc/here"]).ok();
    assert!(!PathBuf::from("/etc/here").exists() && !PathBuf::from("/tmp/here").exists());
    assert_eq!(std::fs::read_to_string(one.path("/root/here")).unwrap(), "here\n");
    one.tool("tailscale", "#!/bin/sh\necho stand-in\n");
    assert_eq!(one.ssh_as("alice", ["tailscale status"]).ok(), "stand-in");
    assert!(!PathBuf::from("/usr/local/bin/tailscale").exists());
    assert!(one.ssh(["touch /usr/here"]).fails_with(1).contains("Read-only"));
    // What a process leaves behind is reaped, as by any machine's first process.
    one.ssh(["(true &) ; sleep 0.1; ! ps ax -o stat= | grep Z"]).ok();
}

#[test]
fn a_home_reaches_hosts_by_name_and_pins_their_keys() {
    let Some(hosts) = Hosts::start(["one", "two"].map(HostPlan::new)) else { return };
    let home = TestHome::new("/bin/false").ssh_to(&hosts);
    let ssh = |target: &str, command: &str| {
        let mut ssh = home.command("ssh");
        run(ssh.args(["-o", "BatchMode=yes", target, command]), Duration::from_secs(20))
    };
    assert_eq!(ssh("one", "hostname").ok(), "one");
    assert_eq!(ssh("root@two", "hostname").ok(), "two");
    let mut copy = home.command("rsync");
    copy.args(["-a", "/etc/hosts", "two:hosts"]);
    run(&mut copy, Duration::from_secs(20)).ok();
    assert!(hosts.host("two").path("/root/hosts").exists());

    hosts.host("one").change_key();
    assert!(ssh("one", "true").fails_with(255).contains("IDENTIFICATION HAS CHANGED"));
    home.trust_hosts(&hosts);
    ssh("one", "true").ok();
    home.forget_hosts();
    assert!(ssh("one", "true").fails_with(255).contains("Host key verification failed"));

    hosts.let_reach_each_other("one");
    assert_eq!(hosts.host("one").ssh(["ssh two hostname"]).ok(), "two");
}

/// A command on a host that answers every line with the same line.
struct Echo {
    ssh: std::process::Child,
    answers: std::sync::mpsc::Receiver<String>,
}

impl Echo {
    fn on(host: &dwell_testkit::Host) -> Self {
        let mut command = host.ssh_command("root");
        command.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = command.spawn().unwrap();
        let stdout = BufReader::new(ssh.stdout.take().unwrap());
        let (sender, answers) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { ssh, answers }
    }

    fn ask(&mut self, line: &str) {
        writeln!(self.ssh.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    fn answers_within(&self, limit: Duration) -> Option<String> {
        self.answers.recv_timeout(limit).ok()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

#[test]
fn a_partition_hangs_connections_and_healing_lets_them_go_on() {
    let Some(hosts) = Hosts::start(["one", "two"].map(HostPlan::new)) else { return };
    let (one, two) = (hosts.host("one"), hosts.host("two"));
    let mut echo = Echo::on(one);
    echo.ask("before");
    assert_eq!(echo.answers_within(Duration::from_secs(10)).as_deref(), Some("before"));

    let reached = |limit| TcpStream::connect_timeout(&(one.address(), 22).into(), limit).is_ok();
    for cut in [Cut::Both, Cut::ToHost, Cut::FromHost] {
        one.partition_one_way(cut);
        echo.ask("during");
        assert_eq!(echo.answers_within(Duration::from_millis(300)), None, "{cut:?}");
        assert!(!reached(Duration::from_millis(300)), "{cut:?}");
        two.ssh(["true"]).ok();
        one.heal();
        let answer = echo.answers_within(Duration::from_secs(20));
        assert_eq!(answer.as_deref(), Some("during"), "{cut:?}");
    }

    hosts.let_reach_each_other("one");
    one.partition_from(two);
    let mut ssh = one.ssh_command("root");
    let ran = run(ssh.arg("ssh -o ConnectTimeout=1 two true"), Duration::from_secs(20));
    assert!(ran.fails_with(255).contains("timed out"));
    one.heal();
    one.ssh(["ssh two true"]).ok();

    one.link_down();
    assert!(!reached(Duration::from_millis(300)));
    one.link_up();
    wait_until(Duration::from_secs(10), "the link", || reached(Duration::from_secs(1)));

    one.refuse();
    let refused = TcpStream::connect((one.address(), 22)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    echo.ask("still");
    assert_eq!(echo.answers_within(Duration::from_secs(10)).as_deref(), Some("still"));
    one.accept();
    one.ssh(["true"]).ok();
    one.hang_up();
    wait_until(Duration::from_secs(10), "the end of ssh", || {
        echo.ssh.try_wait().unwrap().is_some()
    });
}

#[test]
fn engines_know_nothing_of_each_other_and_survive_a_reboot() {
    let start = Instant::now();
    let plans = ["one", "two"].map(|name| HostPlan::new(name).engine().user("alice"));
    let Some(hosts) = Hosts::start(plans) else { return };
    eprintln!("two hosts with engines: {:?}", start.elapsed());
    for host in hosts.all() {
        host.load("busybox:latest");
        host.docker(["network", "create", "--subnet", "10.224.1.0/24", "net"]).ok();
        let run = format!(
            "docker run -d --restart=always --stop-signal=KILL --net=net --ip=10.224.1.7 --name=web -h {} busybox \
             sh -c 'hostname >index.html; exec httpd -f'",
            host.name()
        );
        host.ssh_as("alice", [run]).ok();
    }
    let web = |host: &dwell_testkit::Host| host.ssh(["curl -s -m 5 http://10.224.1.7"]);
    assert_eq!(web(hosts.host("one")).ok(), "one");
    assert_eq!(web(hosts.host("two")).ok(), "two");
    assert_eq!(docker(["ps", "-q", "--filter", "name=^web$"]).ok(), "");

    let one = hosts.host("one");
    one.on_boot("alice", "touch /tmp/started");
    let boot = one.ssh(["touch /tmp/x /run/x /root/x; cat /proc/sys/kernel/random/boot_id"]);
    let start = Instant::now();
    one.reboot();
    eprintln!("a reboot with an engine: {:?}", start.elapsed());
    assert_eq!(
        one.ssh(["ls /tmp/x /run/x /root/x /tmp/started 2>/dev/null"]).stdout,
        "/root/x\n/tmp/started\n"
    );
    assert_ne!(one.ssh(["cat /proc/sys/kernel/random/boot_id"]).ok(), boot.ok());
    wait_until(Duration::from_secs(20), "the container", || web(one).stdout == "one\n");
    assert_eq!(web(hosts.host("two")).ok(), "two");

    one.kill_engine();
    assert!(one.docker(["version"]).fails_with(1).contains("Cannot connect"));
    one.start_engine();
    one.docker(["version"]).ok();
}

#[test]
fn a_disk_of_its_own_can_be_full() {
    let Some(hosts) = Hosts::start([HostPlan::new("one").user("alice").disk(16)]) else { return };
    let one = hosts.host("one");
    one.ssh_as("alice", ["head -c 1000000 /dev/zero >big"]).ok();
    one.fill_disk();
    assert!(one.ssh_as("alice", ["echo more >>more"]).fails_with(1).contains("No space left"));
    assert!(one.ssh(["echo more >>/var/more"]).fails_with(1).contains("No space left"));
    one.free_disk();
    one.ssh_as("alice", ["echo more >>more"]).ok();
    one.reboot();
    assert_eq!(one.ssh_as("alice", ["cat more; wc -c <big"]).ok(), "more\n1000000");
}

#[test]
fn a_daemon_is_found_by_its_lock() {
    let Some(hosts) = Hosts::start([HostPlan::new("one").user("alice")]) else { return };
    let one = hosts.host("one");
    let daemon = "mkdir -p state/dwell; exec 9>state/dwell/node.lock; exec sleep 600";
    let alive = || one.ssh(["pgrep -c -u alice sleep"]).stdout == "1\n";
    assert!(!one.kill_daemon("alice"));
    one.ssh_as("alice", [format!("sh -c '{daemon}' >/dev/null 2>&1 </dev/null &")]).ok();
    wait_until(Duration::from_secs(5), "the daemon", alive);
    assert!(!one.kill_daemon("root"));
    assert!(one.freeze_daemon("alice"));
    assert!(one.ssh(["ps -u alice -o stat=,comm="]).ok().contains("T"));
    assert!(one.thaw_daemon("alice") && alive());
    assert!(one.kill_daemon("alice"));
    wait_until(Duration::from_secs(5), "its end", || !alive());
}

/// What on this machine came from hosts: links, control groups, mounts, processes, directories.
fn traces(directory: &str, link: &str) -> Vec<String> {
    let mentions = |text: &str| text.contains(directory);
    let links = Command::new("ip").args(["-o", "link"]).output().unwrap();
    let links = String::from_utf8(links.stdout).unwrap();
    let mut found: Vec<String> =
        links.lines().filter(|line| line.contains(link)).map(str::to_owned).collect();
    let groups =
        Command::new("find").args(["/sys/fs/cgroup", "-name", "dwell-*"]).output().unwrap();
    let groups = String::from_utf8(groups.stdout).unwrap();
    found.extend(groups.lines().filter(|line| mentions(line)).map(str::to_owned));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|line| mentions(line)).map(str::to_owned));
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ", "mountinfo"] {
            let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            if mentions(&text) {
                found.push(format!("{}: {file}", entry.path().display()));
            }
        }
    }
    found.extend(PathBuf::from("/tmp").join(directory).exists().then(|| directory.to_owned()));
    found
}

#[test]
fn nothing_is_left_after_the_drop() {
    let plans = [HostPlan::new("one").engine().disk(512), HostPlan::new("two")];
    let Some(hosts) = Hosts::start(plans) else { return };
    let one = hosts.host("one");
    one.load("busybox:latest");
    one.docker(["run", "-d", "--net=host", "busybox", "sleep", "600"]).ok();
    one.docker(["run", "-d", "busybox", "sleep", "600"]).ok();
    one.ssh(["setsid sleep 600 >/dev/null 2>&1 </dev/null &"]).ok();
    let [_, _, third, _] = one.address().octets();
    let link = format!("dwh{third}@");
    let directory = hosts.directory().file_name().unwrap().to_string_lossy().into_owned();
    assert!(traces(&directory, &link).len() > 4, "the search for traces finds what is there");
    let start = Instant::now();
    drop(hosts);
    eprintln!("the drop: {:?}", start.elapsed());
    assert_eq!(traces(&directory, &link), [""; 0]);
}

#[test]
fn a_mesh_of_wireguard_comes_back_after_a_reboot() {
    let Some(hosts) = Hosts::start(["one", "two"].map(HostPlan::new)) else { return };
    let start = Instant::now();
    let Some(mesh) = hosts.wireguard() else { return };
    eprintln!("WireGuard: {:?}", start.elapsed());
    let (one, two) = (hosts.host("one"), hosts.host("two"));
    // Without the interface packets take the default route, where anybody may answer.
    let reached = |address: Ipv4Addr, limit| {
        let Ok(mut stream) = TcpStream::connect_timeout(&(address, 22).into(), limit) else {
            return false;
        };
        let mut banner = [0; 4];
        stream.set_read_timeout(Some(limit)).unwrap();
        stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-"
    };
    assert!(reached(mesh.address(one), Duration::from_secs(10)));
    let between = format!("timeout 10 bash -c ': </dev/tcp/{}/22'", mesh.address(two));
    one.ssh([&between]).ok();
    let shown = run(Command::new("wg").args(["show", mesh.interface()]), Duration::from_secs(5));
    assert!(shown.ok().contains("latest handshake"));

    let quick = Duration::from_millis(300);
    mesh.down(one);
    assert!(!reached(mesh.address(one), quick));
    one.ssh(["true"]).ok();
    mesh.up(one);
    assert!(reached(mesh.address(one), Duration::from_secs(10)));
    mesh.down_here();
    assert!(!reached(mesh.address(two), quick));
    mesh.up_here();
    assert!(reached(mesh.address(two), Duration::from_secs(10)));

    one.reboot();
    wait_until(Duration::from_secs(30), "the mesh", || {
        reached(mesh.address(one), Duration::from_secs(1))
    });
    let socket = format!("/run/wireguard/{}.sock", mesh.interface());
    drop(mesh);
    assert!(!PathBuf::from(socket).exists());
}

#[test]
fn caddy_serves_and_takes_new_routes() {
    let Some(hosts) = Hosts::start([HostPlan::new("one")]) else { return };
    let one = hosts.host("one");
    let start = Instant::now();
    if !one.start_caddy("{\n\tauto_https off\n}\nhttp://:8080 {\n\trespond first\n}\n") {
        return;
    }
    eprintln!("Caddy: {:?}", start.elapsed());
    let ask = || {
        let stream = TcpStream::connect((one.address(), 8080)).unwrap();
        let (_, response) = http(stream, "GET / HTTP/1.1\nhost: one", "");
        response.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(ask(), "first");
    one.shell("sed -i s/first/second/ /etc/caddy/Caddyfile").ok();
    one.shell("caddy reload --config /etc/caddy/Caddyfile").ok();
    assert_eq!(ask(), "second");
    one.reboot();
    assert_eq!(ask(), "second");
}
