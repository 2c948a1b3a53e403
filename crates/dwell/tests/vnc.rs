//! The desktop of a workspace: who gets to see it, and that it works in a real browser.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::path::Path;
use std::time::Duration;

use dwell_testkit::{DesktopPage, TestHome, has_image, run, wait_until};

/// The desktop variant without agents.
const IMAGE: &str = "dwell-test-desktop";
const LIMIT: Duration = Duration::from_secs(90);

/// A home with a workspace of that image; `None` where there is no such image.
fn home() -> Option<TestHome> {
    if !has_image(IMAGE) {
        return None;
    }
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell")).limit(LIMIT);
    home.dwell(["ws", "create", "box", "--image", IMAGE, "--class", "cpu=1,mem=1g"]).ok();
    Some(home)
}

#[test]
fn only_who_has_a_ticket_sees_it() {
    let Some(home) = home() else { return };
    let address = DesktopPage::of(&home, "box");
    let own = address.origin();
    assert!(address.ask("GET", "", "", "").1.contains("view.js"));
    assert_eq!(address.ask("GET", "novnc/core/rfb.js", "", "").0, 200);
    assert_eq!(address.ask("GET", "novnc/../secret", "", "").0, 404);
    assert_eq!(address.ask("GET", "", "host: evil.example\r\n", "").0, 403);
    let evil = "origin: http://evil.example\r\n";
    assert_eq!(address.ask("POST", "ticket", evil, &address.ticket).0, 403);
    assert!(address.socket(&own, "").contains(" 403 "));
    assert!(address.socket(&own, &address.ticket).contains(" 403 "), "a ticket is no key");

    let (code, key) = address.ask("POST", "ticket", &own, &address.ticket);
    assert_eq!(code, 200);
    assert_eq!(address.ask("POST", "ticket", &own, &address.ticket).0, 403, "it is good once");
    assert!(address.socket(evil, key.trim()).contains(" 403 "));
    assert!(address.socket("", key.trim()).contains(" 403 "), "a page says where it is from");
    let seen = address.socket(&own, key.trim());
    assert!(seen.contains(" 101 ") && seen.contains("RFB 003"), "{seen}");

    // Nothing of it listens on a network.
    assert_eq!(home.dwell(["ports", "box", "-q"]).ok(), "22");
    home.dwell(["vnc", "box", "stop"]).ok();
    assert!(!address.socket(&own, key.trim()).contains("RFB 003"));
    assert!(home.dwell(["vnc", "box", "stop"]).stderr.contains("no desktop that runs"));
}

#[test]
fn a_terminal_on_it_is_used_in_a_browser() {
    let Some(home) = home() else { return };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let script = workspace.join("crates/dwell-testkit/browser/desktop.cjs");
    let modules = workspace.join("target/browser/node_modules");
    let node = || {
        let mut node = home.command("node");
        node.env("NODE_PATH", &modules);
        node
    };
    let has_driver = run(node().args(["-e", "require('playwright-core')"]), LIMIT).code == Some(0);
    if !has_driver || !Path::new("/usr/bin/chromium").exists() {
        eprintln!("skipped: this takes a browser, which scripts/test-tools.sh installs");
        return;
    }
    let picture = home.path().join("desktop.png");
    let line = "echo typed $((6*7)) > typed";
    let used = || {
        let address = DesktopPage::of(&home, "box");
        run(node().arg(&script).args([&address.url, line]).arg(&picture), LIMIT)
    };
    // A browser gives up what it loads when a network interface of the machine comes or goes, as
    // they do while other tests run.
    let ran = (0..4)
        .map(|_| used())
        .find(|ran| !ran.stderr.contains("ERR_NETWORK_CHANGED"))
        .unwrap_or_else(used);
    let said: Vec<&str> = ran.ok().lines().collect();
    assert!(!said[0].contains('#'), "the ticket leaves the address bar: {said:?}");
    assert!(said[1].contains("used already"), "{said:?}");
    wait_until(LIMIT, "what was typed is done", || {
        home.dwell(["ws", "exec", "box", "cat", "typed"]).stdout.trim() == "typed 42"
    });
    if let Some(keep) = std::env::var_os("DWELL_TEST_PICTURE") {
        std::fs::copy(&picture, keep).unwrap();
    }
}

#[test]
fn a_workspace_without_a_desktop_says_so() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    home.dwell(["ws", "create", "box", "--image", "debian:bookworm", "--class", "cpu=1,mem=256m"])
        .ok();
    let refused = home.dwell(["vnc", "box", "--print"]);
    assert!(refused.fails_with(1).contains("has no desktop"), "{refused:?}");
    assert!(refused.stderr.contains("dwell image build desktop"), "{refused:?}");
    home.dwell(["vnc", "box", "--size", "10x10"]).fails_with(2);
}
