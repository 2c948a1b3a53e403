//! Hosts of several kinds, and what they lack.

use super::*;
use proptest::prelude::*;

const DEBIAN: &str = "user=root
uid=0
arch=x86_64
os=debian
os_like=
os_version=12
os_codename=bookworm
os_name=Debian GNU/Linux 12 (bookworm)
docker=
compose=
git=
tmux=
rsync=
caddy=
apt=yes
end=yes
";

const UBUNTU: &str = "user=deploy
uid=1000
arch=aarch64
os=ubuntu
os_like=debian
os_version=24.04
os_codename=noble
os_name=Ubuntu 24.04.2 LTS
sudo=yes
systemd=yes
docker=
compose=
git=git version 2.43.0
tmux=tmux 3.4
rsync=rsync  version 3.2.7  protocol version 31
caddy=
apt=yes
candidate=docker.io 26.1.3-0ubuntu1~24.04.1
candidate=docker-compose-v2 2.27.1+ds1-0ubuntu1~24.04.1
candidate=docker-compose 1.29.2-6ubuntu1
candidate=caddy 2.6.2-6ubuntu0.24.04.2
candidate=docker-ce (none)
end=yes
";

fn planned(text: &str, ingress: bool) -> Result<(HostFacts, Plan), PrepareError> {
    let facts = HostFacts::parse(text)?;
    let plan =
        plan(&facts, &Wanted { ingress, dwell: Path::new("/home/deploy/.local/bin/dwell") })?;
    Ok((facts, plan))
}

fn shown(text: &str, ingress: bool) -> String {
    let (facts, plan) = planned(text, ingress).unwrap();
    let line = |step: &Step| step.line(facts.is_root()).lines().next().unwrap().to_owned();
    let steps = plan.steps.iter().map(|s| format!("{}: {}", s.title, line(s)));
    let notes = plan.notes.iter().map(|note| format!("note: {note}"));
    steps.chain(notes).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_bare_host_lacks_everything() {
    insta::assert_snapshot!(shown(DEBIAN, true), @r#"
    refresh the lists of packages: apt-get update
    install docker.io, git, tmux, rsync, caddy: env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends docker.io git tmux rsync caddy
    install the compose plugin of Debian 13: sh -c 'set -eu
    start the engine, now and at boot: service docker start
    note: `Debian GNU/Linux 12 (bookworm)` has no compose plugin that is new enough; Debian 13's is taken
    note: no systemd runs there: dwell starts with the first connection, not at boot
    "#);
    insta::assert_snapshot!(shown(UBUNTU, true), @r"
    refresh the lists of packages: sudo -n -- apt-get update
    install docker.io, docker-compose-v2, caddy: sudo -n -- env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends docker.io docker-compose-v2 caddy
    start the engine, now and at boot: sudo -n -- systemctl enable --now docker
    let `deploy` use the engine: sudo -n -- usermod -aG docker deploy
    keep the package's own Caddy from running: sudo -n -- systemctl disable --now caddy
    let the user's services start at boot: sudo -n -- loginctl enable-linger deploy
    start dwell at boot: env XDG_RUNTIME_DIR=/run/user/1000 /home/deploy/.local/bin/dwell setup --no-resolver --yes
    note: who may use the engine can become root; `deploy` may from the next login on
    ");
}

#[test]
fn a_prepared_host_needs_nothing() {
    let done = UBUNTU
        .replace("docker=\n", "docker=Docker version 26.1.3, build x\n")
        .replace("compose=\n", "compose=2.27.1\n")
        .replace("caddy=\n", "caddy=2.6.2\n")
        .replace("end=yes", "docker_group=yes\nengine=yes\nlinger=yes\nunit=yes\nend=yes");
    assert_eq!(planned(&done, true).unwrap().1, Plan::default());
    let without_sudo = done.replace("sudo=yes\n", "");
    let (facts, plan) = planned(&without_sudo, true).unwrap();
    assert!(check(&facts, &plan).is_ok(), "what needs no step needs no root");
    assert_eq!(
        shown(&done.replace("linger=yes\n", ""), false),
        "let the user's services start at boot: sudo -n -- loginctl enable-linger deploy"
    );
    let old = done.replace("compose=2.27.1", "compose=2.20.0");
    assert!(shown(&old, false).contains("docker-compose-v2"));
}

#[test]
fn what_stops_is_started_and_rights_are_given_once() {
    let stopped = UBUNTU
        .replace("docker=\n", "docker=Docker version 26.1.3, build x\n")
        .replace("compose=\n", "compose=2.27.1\n")
        .replace("end=yes", "engine_runs=yes\nlinger=yes\nunit=yes\nend=yes");
    insta::assert_snapshot!(shown(&stopped, false), @r"
    let `deploy` use the engine: sudo -n -- usermod -aG docker deploy
    note: who may use the engine can become root; `deploy` may from the next login on
    ");
    let member = stopped.replace("engine_runs=yes", "docker_group=yes");
    insta::assert_snapshot!(shown(&member, false), @r"start the engine, now and at boot: sudo -n -- systemctl enable --now docker");
}

#[test]
fn packages_come_from_where_they_are_new_enough() {
    let docker = UBUNTU.replace(
        "candidate=docker-ce (none)",
        "candidate=docker-ce 5:28.0.1-1~ubuntu\ncandidate=docker-compose-plugin 2.33.1-1~ubuntu",
    );
    assert!(
        shown(&docker, false)
            .contains("install docker-ce, docker-ce-cli, containerd.io, docker-compose-plugin:")
    );
    let trixie = DEBIAN.replace("=12", "=13").replace("bookworm", "trixie");
    assert!(shown(&trixie, false).contains("install docker.io, docker-compose, git, tmux, rsync:"));
    let known = DEBIAN.replace(
        "end=yes",
        "candidate=docker-compose 1.29.2-3\ncandidate=docker.io 20.10\nend=yes",
    );
    assert!(shown(&known, false).contains("install the compose plugin of Debian 13"));
    let jammy =
        UBUNTU.replace("candidate=docker-compose-v2 2.27.1", "candidate=docker-compose-v2 1.0.0");
    assert!(shown(&jammy, false).contains("https://download.docker.com/linux/ubuntu noble stable"));
    assert_eq!(
        planned(&known, true).unwrap_err().to_string(),
        "no package of `Debian GNU/Linux 12 (bookworm)` has caddy 2.4.0 or newer"
    );
}

#[test]
fn hosts_that_cannot_be_prepared_are_refused_with_what_is_missing() {
    let alpine =
        DEBIAN.replace("apt=yes\n", "").replace("Debian GNU/Linux 12 (bookworm)", "Alpine");
    assert_eq!(
        planned(&alpine, false).unwrap_err().to_string(),
        "`Alpine` is not known: dwell prepares Debian and Ubuntu; missing here: docker, compose, git, tmux, rsync"
    );
    let other = DEBIAN.replace("os=debian", "os=other");
    assert!(matches!(planned(&other, false), Err(PrepareError::NoPackage { .. })));
    let (facts, plan) = planned(&UBUNTU.replace("sudo=yes\n", ""), false).unwrap();
    assert_eq!(
        check(&facts, &plan).unwrap_err().to_string(),
        "user `deploy` can neither act as root nor use sudo without a password, which is needed for: \
         refresh the lists of packages, install docker.io, docker-compose-v2, start the engine, now and at boot, \
         let `deploy` use the engine, let the user's services start at boot"
    );
    for cut in [
        "",
        "user=root\nuid=0\n",
        "uid=0\nend=yes",
        "user=root\nend=yes",
        "user=-x\nuid=0\nend=yes",
    ] {
        assert!(matches!(HostFacts::parse(cut), Err(PrepareError::Unclear { .. })), "{cut:?}");
    }
}

#[test]
fn a_hosts_words_do_not_become_commands() {
    let hostile = DEBIAN
        .replace("os_codename=bookworm", "os_codename=x; rm -rf /")
        .replace("os=debian", "os=ubuntu$(id)");
    assert!(planned(&hostile, false).is_err());
    let hostile = UBUNTU
        .replace("os_codename=noble", "os_codename=Book`id`")
        .replace("docker-compose-v2 2.27.1", "docker-compose-v2 1.0.0");
    assert!(matches!(planned(&hostile, false), Err(PrepareError::NoPackage { .. })));
    let name = DEBIAN.replace("os_name=", "os_name=\x1b[2J");
    assert!(!planned(&name, false).unwrap().0.os_name.contains('\x1b'));
    let facts = HostFacts::parse(&UBUNTU.replace("sudo=yes", "unit=no")).unwrap();
    let plan = plan(&facts, &Wanted { ingress: false, dwell: Path::new("/a b/it's") }).unwrap();
    let line = plan.steps.last().unwrap().line(false);
    assert_eq!(
        line,
        r"env XDG_RUNTIME_DIR=/run/user/1000 '/a b/it'\''s' setup --no-resolver --yes"
    );
}

#[test]
fn versions_are_found_in_what_programs_print() {
    for (text, want) in [
        ("Docker version 28.2.2, build e6534b4", Some(Version(28, 2, 2))),
        ("tmux 3.3a", Some(Version(3, 3, 0))),
        ("tmux next-3.4", Some(Version(3, 4, 0))),
        ("5:28.0.1-1~ubuntu", Some(Version(28, 0, 1))),
        ("2.26.1-4", Some(Version(2, 26, 1))),
        ("v2.7.6 h1:abc=", Some(Version(2, 7, 6))),
        ("(none)", None),
        ("99999999999.1", None),
        ("", None),
    ] {
        assert_eq!(Version::find(text), want, "{text}");
    }
}

#[test]
fn the_probe_runs_in_any_shell_and_says_who_asks() {
    let output = std::process::Command::new("sh").args(["-c", PROBE]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let facts = HostFacts::parse(&text).unwrap();
    assert!(facts.has(Program::Git), "{text}");
    assert!(!facts.architecture.is_empty() && !facts.os.is_empty(), "{text}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(lines in prop::collection::vec("(user|uid|end|os|candidate|docker|apt)=[ -~]{0,20}", 0..12)) {
        let _ = planned(&lines.join("\n"), true);
        let _ = planned(&format!("{UBUNTU}{}", lines.join("\n")), true);
    }
}
