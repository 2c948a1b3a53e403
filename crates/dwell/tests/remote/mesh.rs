//! Links over a WireGuard mesh: taken where they work, left where they do not, closed to strangers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dwell_testkit::{Host, HostPlan, WireGuard, wait_until};

use crate::bench::Bench;

const SOON: Duration = Duration::from_secs(40);
const COMPOSE: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sh", "-c", "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
    expose: ["8080"]
    init: true
"#;

/// What carries the link to a node, and what keeps a better way from it.
fn carrier(bench: &Bench, node: &str) -> (String, String) {
    let link = &bench.get(&format!("/v1/remotes/{node}"))["link"];
    let text = |name: &str| link[name].as_str().unwrap_or_default().to_owned();
    (text("via"), text("better"))
}

#[track_caller]
fn wait_for(bench: &Bench, via: &str) {
    wait_until(SOON, via, || {
        bench.post("/v1/remotes/one/ping", "{}");
        carrier(bench, "one").0 == via
    });
}

/// Registers the node anew, with its address in the mesh given by hand.
fn by_hand(bench: &Bench, mesh: &WireGuard<'_>) {
    let address = mesh.address(bench.hosts.host("one"));
    bench.post(
        "/v1/remotes",
        &format!(r#"{{"name": "one", "host": "one", "mesh_ip": "{address}"}}"#),
    );
}

/// Where programs listen on a host, but for sshd and loopback.
fn listeners(host: &Host) -> Vec<String> {
    let all = host.shell("ss -Hltn | awk '{print $4}'");
    let of_others =
        |at: &&str| !at.ends_with(":22") && !at.starts_with("127.") && !at.starts_with("[::1]");
    all.ok().lines().filter(of_others).map(str::to_owned).collect()
}

/// What a service of `red` answers at an address of this machine.
fn page(at: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(format!("{at}:8080"))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

#[test]
fn the_mesh_carries_while_it_is_up_and_addresses_stay() {
    let Some(bench) = Bench::start([HostPlan::new("one").images(["busybox:latest"])]) else {
        return;
    };
    let one = bench.hosts.host("one");
    let Some(mesh) = bench.hosts.wireguard() else { return };
    let project = bench.home.project("shop").compose(COMPOSE).git();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let address = || {
        let status = bench.status(&project, "red");
        status["services"][0]["addresses"][0].as_str().unwrap_or_default().to_owned()
    };
    // Found through WireGuard: the host's address is where the peer is.
    wait_for(&bench, "mesh");
    let known = format!("{}:7082", mesh.address(one));
    assert_eq!(listeners(one), [known.as_str()]);
    let at = address();
    let page = || page(&at).is_ok_and(|page| page.contains("hello"));
    assert!(page());

    // Connections are made all the time while the mesh goes.
    let ended = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let (mut well, mut longest) = (Instant::now(), Duration::ZERO);
            while !ended.load(Ordering::Relaxed) {
                if page() {
                    longest = longest.max(well.elapsed());
                    well = Instant::now();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            longest.max(well.elapsed())
        });
        mesh.down(one);
        wait_until(SOON, "ssh carries", || carrier(&bench, "one").0 == "ssh");
        wait_until(SOON, "it works again", page);
        ended.store(true, Ordering::Relaxed);
        clients.join().unwrap()
    });
    eprintln!("longest without an answer: {longest:?}");
    assert!(longest < Duration::from_secs(15), "{longest:?}");
    assert_eq!(address(), at);
    wait_until(SOON, "what keeps the mesh from it is told", || {
        !carrier(&bench, "one").1.is_empty()
    });
    let shown = bench.home.dwell(["remote", "ls"]);
    assert!(shown.ok().contains("note: one: mesh: "), "{shown:?}");

    mesh.up(one);
    wait_for(&bench, "mesh");
    assert!(address() == at && page());
    let doctor = bench.home.dwell(["doctor", "one"]);
    assert!(doctor.ok().contains("node one: mesh, "), "{doctor:?}");

    // A node that lost its identity is met anew over ssh.
    one.shell("rm /root/.local/state/dwell/identity.pem").ok();
    assert!(one.kill_daemon("root"));
    wait_until(SOON, "ssh carries", || carrier(&bench, "one").0 == "ssh");
    wait_for(&bench, "mesh");

    bench.home.dwell(["remote", "remove", "one", "--yes"]).ok();
    wait_until(SOON, "nothing listens", || listeners(one).is_empty());
}

#[test]
fn strangers_are_refused() {
    let plans = ["one", "two"].map(HostPlan::new);
    let Some(bench) = Bench::start(plans) else { return };
    let (one, two) = (bench.hosts.host("one"), bench.hosts.host("two"));
    bench.post("/v1/remotes/one/ping", "{}");
    assert_eq!(listeners(one), Vec::<String>::new(), "without a mesh nothing listens");
    let Some(mesh) = bench.hosts.wireguard() else { return };
    by_hand(&bench, &mesh);
    wait_for(&bench, "mesh");
    let at = format!("{}:7082", mesh.address(one));
    assert_eq!(listeners(one), [at.as_str()]);

    two.shell(
        "openssl req -x509 -newkey ed25519 -nodes -keyout /tmp/key -out /tmp/cert -days 2 \
         -subj /CN=dwell 2>/dev/null",
    )
    .ok();
    for own in ["", "-cert /tmp/cert -key /tmp/key"] {
        let ran = two.shell(&format!(
            "printf '\\1dwell-link\\0021 {{}}\\n' | timeout 10 openssl s_client -connect {at} \
             -alpn dwell-link -ign_eof {own} 2>&1 || true"
        ));
        assert!(ran.stdout.contains("alert"), "{ran:?}");
        assert!(!ran.stdout.contains("\u{1}dwell-link"), "{ran:?}");
    }
    // What is no TLS at all harms nobody.
    let mut noise = two.command("timeout");
    noise.args(["5", "bash", "-c"]).arg(format!("cat > /dev/tcp/{}", at.replace(':', "/")));
    let mut noise = noise.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let _ = noise.stdin.take().unwrap().write_all(&[7; 100_000]);
    noise.wait().unwrap();
    bench.post("/v1/remotes/one/ping", "{}");
    assert_eq!(carrier(&bench, "one").0, "mesh");

    // Its files are the user's alone, on both sides.
    let modes = one.shell("cd /root/.local/state/dwell && stat -c %a identity.pem mesh.json");
    assert_eq!(modes.ok(), "600\n600");
    // Another address than one of its own is not listened at.
    bench.post("/v1/remotes", r#"{"name": "one", "host": "one", "mesh_ip": "192.0.2.1"}"#);
    let refused = "mesh: 192.0.2.1 is not an address of that machine";
    wait_until(SOON, "ssh carries", || carrier(&bench, "one") == ("ssh".into(), refused.into()));
    assert_eq!(listeners(one), [at.as_str()]);
}

#[test]
fn ssh_alone_is_enough_and_may_be_asked_for() {
    let Some(bench) = Bench::start([HostPlan::new("one")]) else { return };
    bench.post("/v1/remotes/one/ping", "{}");
    assert_eq!(carrier(&bench, "one"), ("ssh".to_owned(), String::new()), "no mesh, no word of it");
    let Some(_mesh) = bench.hosts.wireguard() else { return };
    bench.post("/v1/remotes", r#"{"name": "one", "host": "one", "transport": "ssh"}"#);
    bench.post("/v1/remotes/one/ping", "{}");
    assert_eq!(carrier(&bench, "one"), ("ssh".to_owned(), String::new()));
    assert_eq!(listeners(bench.hosts.host("one")), Vec::<String>::new());
}
