//! Making a bare Debian or Ubuntu machine one on which dwell can do everything: what is missing,
//! as steps that can be shown first and repeated safely.

use std::time::Duration;

use super::{DeployError, Engine, Facts, Rights};
use crate::ssh::{self, Destination, quoted};

/// How long one step may take; installing packages over a slow line is the longest.
const STEP_LIMIT: Duration = Duration::from_secs(1200);

/// Shared by the steps' scripts.
const HEAD: &str = r#"
set -eu
export DEBIAN_FRONTEND=noninteractive
get() { apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -qq "$@"; }
offered() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -v '(none)' || true; }
"#;

/// Newer releases have Docker's command line in a package of its own.
const DOCKER: &str = r#"[ -z "$(offered docker-cli)" ] || get -y --no-install-recommends install docker-cli >/dev/null"#;

const ENGINE: &str = r#"
if [ -d /run/systemd/system ]; then systemctl enable --quiet --now docker
else service docker start >/dev/null
fi
for _ in $(seq 60); do
    ! timeout 10 docker version >/dev/null 2>&1 || exit 0
    sleep 1
done
echo 'the Docker engine does not answer after a minute' >&2
exit 1
"#;

/// A package of the release where it has version 2, else the program from Debian 13's package,
/// which apt checks against Debian's archive keys as any other.
const COMPOSE: &str = r#"
for package in docker-compose-v2 docker-compose-plugin docker-compose; do
    case "$(offered $package)" in
    '' | 1.*) ;;
    *) get -y --no-install-recommends install $package >/dev/null; exit 0 ;;
    esac
done
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keys ] || get -y install debian-archive-keyring >/dev/null
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ' || true)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
mkdir -p "$place/lists/partial" "$place/cache/archives/partial"
echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} trixie main" > "$place/sources"
own="-o Dir::Etc::SourceList=$place/sources -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists=$place/lists -o Dir::Cache=$place/cache -o APT::Sandbox::User=root"
get $own update
cd "$place"
get $own download docker-compose
dpkg -x docker-compose_*.deb .
install -D -m 755 usr/libexec/docker/cli-plugins/docker-compose /usr/local/lib/docker/cli-plugins/docker-compose
"#;

/// The package's own service would take the machine's port 80 on every address.
const CADDY: &str = r#"
get -y --no-install-recommends install caddy libcap2-bin >/dev/null
[ ! -d /run/systemd/system ] || systemctl disable --quiet --now caddy
"#;

/// Lets the user's own Caddy listen at ports below 1024.
const CADDY_PORTS: &str =
    r#"setcap cap_net_bind_service=+ep "$(readlink -f "$(command -v caddy)")""#;

/// One thing that is done to a machine, as root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does, such as `install git and rsync`.
    pub what: String,
    script: String,
}

/// What is missing on a machine with these facts; nothing where it has everything. With
/// `ingress`, it also gets Caddy.
///
/// # Errors
/// When something is missing and the machine is neither Debian nor Ubuntu.
pub fn prepare(facts: &Facts, ingress: bool) -> Result<Vec<Step>, DeployError> {
    let steps = missing(facts, ingress);
    let known = ["debian", "ubuntu"];
    let system = facts.distribution.clone().unwrap_or_else(|| facts.system.clone());
    match steps.is_empty() || system.split(' ').any(|word| known.contains(&word)) {
        true => Ok(steps),
        false => Err(DeployError::Distribution { system }),
    }
}

fn missing(facts: &Facts, ingress: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut step = |what: &str, script: &str| {
        steps.push(Step { what: what.to_owned(), script: format!("{HEAD}{script}") });
    };
    let docker = facts.docker.is_none();
    let tools = [("git", &facts.git), ("rsync", &facts.rsync), ("tmux", &facts.tmux)];
    let absent = tools.iter().filter(|(_, found)| found.is_none()).map(|(name, _)| *name);
    let packages: Vec<&str> = docker.then_some("docker.io").into_iter().chain(absent).collect();
    let compose = !facts.compose.as_deref().is_some_and(is_new_enough);
    let caddy = ingress && facts.caddy.is_none();
    if !packages.is_empty() || compose || caddy {
        step("update the package lists", "get update");
    }
    if !packages.is_empty() {
        let names = packages.join(" ");
        let install =
            format!("get -y --no-install-recommends install ca-certificates {names} >/dev/null\n");
        let more = if docker { DOCKER } else { "" };
        step(&format!("install {}", packages.join(", ")), &(install + more));
    }
    let denied = matches!(&facts.engine, Engine::Fails(why) if why.contains("permission denied"));
    if !denied && !matches!(facts.engine, Engine::Answers(_)) {
        step("start the Docker engine, now and with the machine", ENGINE);
    }
    if compose {
        step("install the compose plugin of Docker", COMPOSE);
    }
    let user = quoted(&facts.user);
    if facts.rights != Rights::Root && (denied || docker) {
        let what = format!("add {} to the group docker, which is as good as root", facts.user);
        step(&what, &format!("usermod -aG docker {user}"));
    }
    if facts.systemd && !facts.lingers {
        let what = format!("let programs of {} run while nobody is logged in", facts.user);
        step(&what, &format!("loginctl enable-linger {user}"));
    }
    if caddy {
        step("install Caddy, without its own service", CADDY);
        step("let Caddy listen at ports below 1024", CADDY_PORTS);
    }
    steps
}

/// Whether a compose version is 2 or newer.
fn is_new_enough(version: &str) -> bool {
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    major.parse().is_ok_and(|major: u32| major >= 2)
}

/// Does one step. Repeating it is safe.
///
/// # Errors
/// When the connection fails, the user has not the right, or the step fails.
pub async fn apply(
    destination: &Destination,
    facts: &Facts,
    step: &Step,
) -> Result<(), DeployError> {
    let script = match facts.rights {
        Rights::Root => step.script.clone(),
        Rights::Sudo => format!("exec sudo -n sh -c {}", quoted(&step.script)),
        Rights::Asks | Rights::User => return Err(no_rights(facts)),
    };
    Ok(ssh::run(destination, &script, b"", STEP_LIMIT).await.map(drop)?)
}

/// Does all steps in this process's terminal, where sudo asks for the user's password.
///
/// # Errors
/// When the connection fails, the user has no sudo, or a step fails.
pub async fn apply_in_terminal(
    destination: &Destination,
    facts: &Facts,
    steps: &[Step],
) -> Result<(), DeployError> {
    if facts.rights != Rights::Asks {
        return Err(no_rights(facts));
    }
    let told = |step: &Step| format!("echo {}\n( {} )\n", quoted(&step.what), step.script);
    let all: String = steps.iter().map(told).collect();
    let script = format!("exec sudo sh -c {}", quoted(&format!("set -e\n{all}")));
    Ok(ssh::in_terminal(destination, &script).await?)
}

fn no_rights(facts: &Facts) -> DeployError {
    DeployError::NoRights { user: facts.user.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(facts: &Facts, ingress: bool) -> Vec<String> {
        prepare(facts, ingress).unwrap().into_iter().map(|step| step.what).collect()
    }

    fn debian(rights: Rights) -> Facts {
        let distribution = Some("debian 12".to_owned());
        Facts { distribution, rights, user: "me".into(), systemd: true, ..Facts::default() }
    }

    fn full() -> Facts {
        let some = || Some("1".to_owned());
        Facts {
            docker: some(),
            engine: Engine::Answers("20.10".into()),
            compose: Some("v2.26.1".into()),
            git: some(),
            rsync: some(),
            tmux: some(),
            lingers: true,
            ..debian(Rights::Sudo)
        }
    }

    #[test]
    fn a_bare_machine_gets_everything() {
        let expected = [
            "update the package lists",
            "install docker.io, git, rsync, tmux",
            "start the Docker engine, now and with the machine",
            "install the compose plugin of Docker",
            "add me to the group docker, which is as good as root",
            "let programs of me run while nobody is logged in",
            "install Caddy, without its own service",
            "let Caddy listen at ports below 1024",
        ];
        assert_eq!(whats(&debian(Rights::Sudo), true), expected);
        assert_eq!(whats(&debian(Rights::Root), false).len(), 5);
    }

    #[test]
    fn what_is_there_is_left_alone() {
        assert_eq!(whats(&full(), false), Vec::<String>::new());
        let old = Facts { compose: Some("1.29.2".into()), ..full() };
        assert_eq!(whats(&old, false).last().unwrap(), "install the compose plugin of Docker");
        let why = "permission denied while trying to connect".to_owned();
        let denied = Facts { engine: Engine::Fails(why), ..full() };
        assert_eq!(whats(&denied, false), ["add me to the group docker, which is as good as root"]);
    }

    #[test]
    fn other_systems_are_refused_where_something_is_missing() {
        let other = |facts: Facts| Facts { distribution: Some("fedora 40".into()), ..facts };
        assert!(prepare(&other(full()), false).unwrap().is_empty());
        let refused = prepare(&other(full()), true).unwrap_err();
        assert!(refused.to_string().contains("fedora 40"), "{refused}");
    }
}
