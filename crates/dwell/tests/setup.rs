//! The setup of the system's resolver by the real binary, with the real resolver, in network and
//! mount namespaces of its own; and what `dwell doctor` says before and after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::time::Duration;

use dwell_testkit::{Ran, TestHome, run};

const ORIGINAL: &str = "# by hand\nsearch lan\nnameserver 127.0.0.99\noptions attempts:1 timeout:1";
const LAB: &str = "services:
  web:
    image: busybox
    init: true
    stop_grace_period: 1s
    expose: [80]
    command: sleep infinity
";
/// `$1` is the resolver's file, `$2` the binary. Each part of the output starts with its title.
const SCRIPT: &str = r#"
ip link set lo up
ip address add 192.0.2.9/32 dev lo
mount --bind "$1" /etc/resolv.conf
dwell() { "$DWELL" "$@"; }
DWELL=$2
dwell up a1 >&2
echo '== before'; dwell doctor || true
echo '== dry'; dwell setup --dry-run
echo '== kept'; cat /etc/resolv.conf; echo
dwell setup --yes >&2
echo '== file'; cat /etc/resolv.conf
echo '== getent'; getent ahostsv4 web.a1.lab.test || true; getent ahostsv4 gone.a1.test || echo none
echo '== address'; dwell status a1 --json
echo '== run'; dwell run sh a1 -c 'echo $WEB_HOST $WEB_URL'
echo '== after'; dwell doctor || true
dwell setup --yes >&2
dwell setup --undo --yes >&2
echo '== undone'; cat /etc/resolv.conf; echo
echo '== getent'; getent ahostsv4 web.a1.lab.test || echo none
dwell destroy a1 --yes >&2
dwell node stop >&2
umount /etc/resolv.conf
"#;

/// The part of the output below a title.
fn part<'a>(ran: &'a Ran, title: &str) -> &'a str {
    let start = format!("== {title}\n");
    let from = ran.stdout.find(&start).unwrap_or_else(|| panic!("{title}: {ran:?}")) + start.len();
    ran.stdout[from..].split("== ").next().unwrap()
}

#[test]
fn the_plain_file_is_set_up_and_restored() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    let lab = home.project("lab").compose(LAB);
    let possible =
        run(home.command("unshare").args(["--net", "--mount", "true"]), Duration::from_secs(5));
    if possible.code != Some(0) {
        eprintln!("skipped: namespaces cannot be made here");
        return;
    }
    let file = home.path().join("resolv.conf");
    fs::write(&file, ORIGINAL).unwrap();
    home.configure("");
    let mut command = home.command("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "sh", "-ec", SCRIPT, "sh"]);
    command.arg(&file).arg(env!("CARGO_BIN_EXE_dwell")).current_dir(&lab);
    let ran = run(&mut command, Duration::from_secs(120));
    ran.ok();

    let before = part(&ran, "before");
    assert!(before.contains("dwell's DNS server") && before.contains("dwell setup"), "{before}");
    assert!(part(&ran, "dry").contains("/etc/resolv.conf"), "{ran:?}");
    assert_eq!(part(&ran, "kept"), format!("{ORIGINAL}\n"), "a dry run changes nothing");
    assert!(part(&ran, "file").contains("127.0.53.54"), "{ran:?}");
    let getent = part(&ran, "getent");
    let address = getent.split_whitespace().next().unwrap();
    assert!(address.starts_with("10.") && getent.ends_with("none\n"), "{getent}");
    assert!(part(&ran, "address").contains(address), "{ran:?}");
    let named = part(&ran, "run").trim();
    assert!(
        named.contains("http://web.a1.") && !named.contains(address),
        "names, no addresses: {named}"
    );
    let after = part(&ran, "after");
    assert!(after.contains("127.0.53.54") && after.contains(address), "{after}");
    assert!(!after.contains("run `dwell setup`"), "{after}");
    assert_eq!(part(&ran, "undone"), format!("{ORIGINAL}\n"), "byte for byte");
    assert!(ran.stdout.ends_with("none\n"), "{ran:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), ORIGINAL);
}
