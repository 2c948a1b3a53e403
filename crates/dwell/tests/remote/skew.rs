//! Nodes that are not what they were: another version, another key, nobody who lets us in.

use std::os::unix::fs::PermissionsExt;

use dwell_testkit::HostPlan;

use crate::bench::Bench;

const BINARY: &str = "/root/.local/share/dwell/bin/dwell";

/// What `remote ping` says of a node that cannot be linked to.
fn refused(bench: &Bench) -> String {
    let ran = bench.home.dwell(["remote", "ping", "one"]);
    ran.fails_with(8).to_owned()
}

#[test]
fn a_node_with_another_version_is_told_how_to_get_this_one() {
    let Some(bench) = Bench::start([HostPlan::new("one")]) else { return };
    bench.post("/v1/remotes/one/ping", "{}");
    let host = bench.host();
    let old = "echo \"error: unrecognized subcommand 'bridge'\" >&2; exit 2";
    let hello = r#"{"node":"aaaaaaaaaa","version":"9.9.9","user":"root","clock":1}"#;
    let other = format!("printf '\\001dwell-link\\00299 {hello}\\n'; cat >/dev/null");
    for (script, told) in [(old, "bridge"), (&other, "protocol 99")] {
        std::fs::remove_file(host.path(BINARY)).unwrap();
        std::fs::write(host.path(BINARY), format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(host.path(BINARY), mode).unwrap();
        host.hang_up();
        let text = refused(&bench);
        assert!(text.contains(told), "{text}");
        assert!(text.contains("dwell remote upgrade one"), "{text}");
    }
    std::fs::remove_file(host.path(BINARY)).unwrap();
    let text = refused(&bench);
    assert!(text.contains("dwell remote upgrade one"), "{text}");
    bench.home.dwell(["remote", "upgrade", "one"]).ok();
    bench.home.dwell(["remote", "ping", "one"]).ok();
}

#[test]
fn a_key_is_never_accepted_by_itself() {
    let Some(bench) = Bench::start([HostPlan::new("one")]) else { return };
    bench.post("/v1/remotes/one/ping", "{}");
    let host = bench.host();
    let known = bench.home.ssh().join("known_hosts");

    host.change_key();
    host.hang_up();
    let before = std::fs::read_to_string(&known).unwrap();
    let text = refused(&bench);
    assert!(text.contains("not the one that is known"), "{text}");

    bench.home.forget_hosts();
    let text = refused(&bench);
    assert!(text.contains("key") && text.contains("not known"), "{text}");
    assert_eq!(std::fs::read_to_string(&known).unwrap(), "", "it was accepted");
    assert_ne!(before, "");

    bench.home.trust_hosts(&bench.hosts);
    bench.home.dwell(["remote", "ping", "one"]).ok();
}
