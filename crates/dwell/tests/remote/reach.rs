//! Getting into workspaces on other nodes: their ports, desktops, sessions, and links for editors.

use std::net::TcpListener;
use std::time::Duration;

use dwell_testkit::{
    DesktopPage, Foreground, HostPlan, Terminal, has_image, reach, serve, show, wait_until,
};

use crate::bench::{Bench, place};

const LIMIT: Duration = Duration::from_secs(30);
/// Has an ssh server and tmux.
const IMAGE: &str = "dwell-test-workspace";

/// A node with a workspace `box`.
fn bench() -> Option<Bench> {
    if !has_image(IMAGE) {
        return None;
    }
    let bench = Bench::start([HostPlan::new("one").images([IMAGE])])?;
    let class = "cpu=1,mem=512m";
    let create = ["ws", "create", "box", "--image", IMAGE, "--class", class, "--node", "one"];
    bench.home.dwell(create).ok();
    Some(bench)
}

/// Ports of this machine that were free a moment ago, one after the other.
fn free(count: u16) -> u16 {
    loop {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let first = own.local_addr().unwrap().port();
        drop(own);
        let all = first..first.saturating_add(count);
        if all.len() == usize::from(count)
            && all.clone().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        {
            return first;
        }
    }
}

fn answers(port: u16, text: &str) {
    wait_until(LIMIT, text, || reach(port, "x").as_deref() == Some(text));
}

#[test]
fn ports_of_a_workspace_on_a_node_stay_at_the_same_ports_here() {
    let Some(bench) = bench() else { return };
    let home = &bench.home;
    serve(home, "box", &[("127.0.0.1", 3000), ("0.0.0.0", 3001), ("127.0.0.1", 3002)]);
    home.dwell(["ws", "suspend", "box"]).ok();
    let frozen = home.dwell(["ports", "box"]);
    assert!(frozen.ok().contains("3002") && frozen.stderr.contains("is frozen"), "{frozen:?}");
    assert_eq!(show(home, "box")["status"], "frozen");

    let first = free(4);
    let range = format!("{first}-{}:3000-3001", first + 1);
    let single = format!("{}:3002", first + 2);
    let forward = Foreground::start(home, &["box", &range, &single], 3);
    assert_eq!(forward.said[2], format!("127.0.0.1:{} -> box:3002", first + 2));
    for i in 0..3 {
        assert_eq!(reach(first + i, "x"), Some(format!("{}:x", 3000 + i)), "it is woken");
    }
    let held = first + 3;
    home.dwell(["forward", "box", &format!("{held}:3000"), "--detach"]).ok();
    assert_eq!(reach(held, "x").as_deref(), Some("3000:x"));

    // The link is cut, and comes back.
    bench.host().partition();
    wait_until(LIMIT, "the node is away", || bench.link("one") == "down");
    assert_eq!((reach(first, "x"), reach(held, "x")), (None, None));
    assert!(home.dwell(["forward", "ls"]).ok().contains("box:3000"));
    bench.host().heal();
    bench.comes_back("one");
    answers(first, "3000:x");
    answers(held, "3000:x");
    home.dwell(["node", "stop"]).ok();
    answers(first + 2, "3002:x");
    answers(held, "3000:x");

    home.dwell(["ws", "rename", "box", "red"]).ok();
    wait_until(LIMIT, "its new name is known", || {
        home.dwell(["forward", "ls"]).ok().contains("red:3000")
    });
    answers(held, "3000:x");
    assert_eq!(forward.interrupt(), Some(0));
}

#[test]
fn a_forward_ends_with_the_workspace_and_not_with_the_link() {
    let Some(bench) = bench() else { return };
    let home = &bench.home;
    let listed = || home.dwell(["forward", "ls", "--json"]).json().as_array().unwrap().len();
    let port = free(1);
    home.dwell(["forward", "box", &format!("{port}:22"), "--detach"]).ok();

    // It is destroyed there while the link is down.
    bench.host().partition();
    wait_until(LIMIT, "the node is away", || bench.link("one") == "down");
    bench.host().shell(&format!("{} ws destroy box --force --purge", place("root"))).ok();
    assert_eq!(listed(), 1, "away is not gone");
    bench.host().heal();
    wait_until(LIMIT, "the forward is ended", || listed() == 0);
    assert_eq!(reach(port, "x"), None);

    let create = ["ws", "create", "box", "--image", IMAGE, "--node", "one"];
    home.dwell(create).ok();
    home.dwell(["forward", "box", &format!("{port}:22"), "--detach"]).ok();
    assert!(reach(port, "x").is_some_and(|said| said.starts_with("SSH-")));
    home.dwell(["ws", "destroy", "box", "--force"]).ok();
    wait_until(LIMIT, "the forward is ended", || listed() == 0);
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "its port is free");
}

/// Stands in for an X server: says the first words of RFB at a unix socket.
const DESKTOP: &str = r#"#!/usr/bin/perl
use Socket;
unlink $ARGV[0];
socket(S, PF_UNIX, SOCK_STREAM, 0) or die $!;
bind(S, pack_sockaddr_un($ARGV[0])) or die $!;
listen(S, 8);
$SIG{CHLD} = 'IGNORE';
while (accept(C, S)) {
    if (!fork) { syswrite(C, "RFB 003.008\n"); sysread(C, my $all, 64); exit }
    close C;
}
"#;

#[test]
fn the_desktop_of_a_workspace_on_a_node_is_seen_with_a_ticket() {
    let Some(bench) = bench() else { return };
    let home = &bench.home;
    let none = home.dwell(["vnc", "box", "--print"]);
    assert!(none.fails_with(1).contains("has no desktop"), "{none:?}");
    let make = format!(
        "cat > /usr/local/bin/dwell-desktop <<'END'\n{DESKTOP}END\n\
         chmod 755 /usr/local/bin/dwell-desktop\n\
         mkdir -p /opt/dwell/novnc/core && echo 'export default 42' > /opt/dwell/novnc/core/rfb.js"
    );
    home.dwell(["ws", "exec", "-u", "root", "box", "--", "sh", "-c", &make]).ok();
    home.dwell(["ws", "suspend", "box"]).ok();

    let page = DesktopPage::of(home, "box");
    let own = page.origin();
    assert!(page.ask("GET", "", "", "").1.contains("view.js"));
    assert!(page.ask("GET", "novnc/core/rfb.js", "", "").1.contains("42"));
    let (code, key) = page.ask("POST", "ticket", &own, &page.ticket);
    assert_eq!(code, 200);
    let seen = page.socket(&own, key.trim());
    assert!(seen.contains(" 101 ") && seen.contains("RFB 003"), "{seen}");
    assert!(page.socket(&own, &page.ticket).contains(" 403 "), "a ticket is no key");
    home.dwell(["vnc", "box", "stop"]).ok();
    assert!(!page.socket(&own, key.trim()).contains("RFB 003"));
}

#[test]
fn a_workspace_on_a_node_is_on_the_screen_and_in_editors() {
    let Some(bench) = bench() else { return };
    let home = &bench.home;
    let link = home.dwell(["open", "box", "--in", "cursor", "--print"]);
    assert_eq!(link.ok(), "cursor://vscode-remote/ssh-remote+box.dwell/home/dev?windowId=_blank");
    let tunnel = home.dwell(["tunnel", "code", "box"]);
    assert!(tunnel.fails_with(1).contains("`box` has no `code` command"), "{tunnel:?}");

    home.dwell(["run", "--in", "box", "--detach", "--name", "server", "--", "sh"]).ok();
    home.dwell(["ws", "suspend", "box"]).ok();
    wait_until(LIMIT, "it is seen", || {
        let all = home.dwell(["connect", "--json"]).json();
        let session = &all[0]["sessions"][0];
        all[0]["node"] == "one" && session["name"] == "server" && session["windows"] == 1
    });
    let terminal = Terminal::shell(home, home.path());
    terminal.resize(80, 24);
    terminal.types(&format!("{} connect; echo left $?", home.binary().display()));
    terminal.keys(&["Enter"]);
    terminal.shows("on one");
    terminal.shows("◐ frozen");
    terminal.keys(&["Enter"]);
    terminal.shows("▸ server");
    terminal.shows("1 window ");
    assert_eq!(show(home, "box")["status"], "frozen", "a list wakes nothing");
    terminal.keys(&["Enter"]);
    terminal.shows("server 0:");
    terminal.types("echo there-$((40 + 2))");
    terminal.keys(&["Enter"]);
    terminal.shows("there-42");
    assert_eq!(show(home, "box")["status"], "running");
    terminal.keys(&["C-b", "d"]);
    terminal.shows("○ detached");
    terminal.keys(&["q"]);
    terminal.shows("left 0");
    assert!(home.dwell(["connect", "--plain"]).ok().contains("detached"));
}
