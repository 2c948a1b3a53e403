//! Runs a test in network and mount namespaces of its own, with loopback as its only network.

use std::process::Command;

const INSIDE: &str = "DWELL_TEST_INSIDE";

/// True inside the namespaces. Outside it runs the test called `name` again inside, checks that it
/// passed and is false; where namespaces are not allowed the test is skipped.
pub(crate) fn inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "--propagation", "private"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine does not allow namespaces");
        return false;
    }
    let out = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&out.stdout);
    let text = format!("{stdout}{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
    println!("{text}");
    false
}
