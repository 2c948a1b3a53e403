//! Preparing a bare host to be a node: from what is there to the steps that are missing. A host
//! that is prepared needs none.

mod facts;
mod step;

use std::path::Path;

pub use facts::{HostFacts, PROBE, Program, Version};
pub use step::Step;

/// What a host is to be prepared for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whether HTTP services are to be reached from other machines of a mesh.
    pub ingress: bool,
    /// The absolute path of the dwell binary there.
    pub dwell: &'a Path,
}

/// What is to be done on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What people should know.
    pub notes: Vec<String>,
}

/// Why a host cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// What was found out about it is incomplete.
    #[error("what was found out about the host lacks {what}")]
    Unclear {
        /// What is missing.
        what: &'static str,
    },
    /// Its packages do not come by apt.
    #[error("`{os}` is not known: dwell prepares Debian and Ubuntu; missing here: {}", missing.join(", "))]
    Distribution {
        /// The name of what it runs.
        os: String,
        /// What would have to be installed.
        missing: Vec<String>,
    },
    /// No package has a program, or none that is new enough.
    #[error("no package of `{os}` has {program} {oldest} or newer")]
    NoPackage {
        /// The name of what it runs.
        os: String,
        /// The program.
        program: Program,
        /// The oldest version that does.
        oldest: Version,
    },
    /// Some steps need root, and the user cannot be root without a password.
    #[error("user `{user}` can neither act as root nor use sudo without a password, which is needed for: {}", titles.join(", "))]
    NoRoot {
        /// The user.
        user: String,
        /// The steps.
        titles: Vec<String>,
    },
}

/// Plans what is missing on a host.
///
/// # Errors
/// When packages are missing and cannot be had.
pub fn plan(facts: &HostFacts, wanted: &Wanted<'_>) -> Result<Plan, PrepareError> {
    let mut plan = Plan::default();
    let mut missing: Vec<Program> = Program::ALL
        .into_iter()
        .filter(|program| !facts.has(*program))
        .filter(|program| wanted.ingress || *program != Program::Caddy)
        .collect();
    if let Some(position) = missing.iter().position(|program| *program == Program::Docker)
        && facts.engine
    {
        // An engine answers whose version is not told in numbers: leave it be.
        missing.remove(position);
    }
    packages(facts, &missing, &mut plan)?;
    engine(facts, missing.contains(&Program::Docker), &mut plan);
    if missing.contains(&Program::Caddy) && facts.systemd {
        let words = ["systemctl", "disable", "--now", "caddy"];
        plan.steps.push(Step::root("keep the package's own Caddy from running", &words));
    }
    boot(facts, wanted, &mut plan);
    Ok(plan)
}

/// Refuses a plan that the user cannot carry out. To be asked before the first step; a plan can
/// be shown all the same.
///
/// # Errors
/// When a step needs root, and the user is not and cannot become it.
pub fn check(facts: &HostFacts, plan: &Plan) -> Result<(), PrepareError> {
    let titles = plan.steps.iter().filter(|step| step.root).map(|step| step.title.clone());
    let titles: Vec<_> = titles.collect();
    if titles.is_empty() || facts.is_root() || facts.sudo {
        return Ok(());
    }
    Err(PrepareError::NoRoot { user: facts.user.to_string(), titles })
}

/// Everything that apt has to bring.
fn packages(facts: &HostFacts, missing: &[Program], plan: &mut Plan) -> Result<(), PrepareError> {
    if missing.is_empty() {
        return Ok(());
    }
    if !facts.apt {
        let missing = missing.iter().map(ToString::to_string).collect();
        return Err(PrepareError::Distribution { os: facts.os_name.clone(), missing });
    }
    let mut names: Vec<&str> = Vec::new();
    let mut newer_compose = false;
    for program in missing {
        match program {
            Program::Docker if facts.candidates.contains_key("docker-ce") => {
                names.extend(["docker-ce", "docker-ce-cli", "containerd.io"]);
            }
            Program::Docker => names.push("docker.io"),
            Program::Compose => match compose(facts, plan)? {
                Some(package) => names.push(package),
                None => newer_compose = true,
            },
            Program::Git => names.push("git"),
            Program::Tmux => names.push("tmux"),
            Program::Rsync => names.push("rsync"),
            Program::Caddy => {
                let none = !facts.candidates.is_empty() && !facts.candidates.contains_key("caddy");
                if none {
                    return Err(no_package(facts, Program::Caddy));
                }
                names.push("caddy");
            }
        }
    }
    if !names.is_empty() {
        if plan.steps.is_empty() {
            plan.steps.push(Step::root("refresh the lists of packages", &["apt-get", "update"]));
        }
        let title = format!("install {}", names.join(", "));
        let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install"];
        words.extend(["--yes", "--no-install-recommends"]);
        words.extend(&names);
        plan.steps.push(Step::root(&title, &words));
    }
    if newer_compose {
        plan.steps.push(step::newer_compose());
    }
    Ok(())
}

fn no_package(facts: &HostFacts, program: Program) -> PrepareError {
    PrepareError::NoPackage { os: facts.os_name.clone(), program, oldest: program.oldest() }
}

/// The package with the compose plugin; none where a newer release's is taken. Where Ubuntu's is
/// too old, Docker's own packages are made known first.
fn compose(facts: &HostFacts, plan: &mut Plan) -> Result<Option<&'static str>, PrepareError> {
    let known = ["docker-compose-plugin", "docker-compose-v2", "docker-compose"];
    let oldest = Program::Compose.oldest();
    let new = |name: &&str| facts.candidates.get(*name).is_some_and(|version| *version >= oldest);
    if let Some(name) = known.into_iter().find(new) {
        return Ok(Some(name));
    }
    let version = facts.os_version.unwrap_or_default();
    // A fresh machine has no lists of packages that would tell.
    if facts.candidates.is_empty() {
        match facts.os.as_str() {
            "debian" if version >= 13 => return Ok(Some("docker-compose")),
            "ubuntu" if version >= 24 => return Ok(Some("docker-compose-v2")),
            _ => {}
        }
    }
    let named =
        !facts.codename.is_empty() && facts.codename.bytes().all(|b| b.is_ascii_lowercase());
    match facts.os.as_str() {
        "debian" => {
            plan.notes.push(format!(
                "`{}` has no compose plugin that is new enough; Debian 13's is taken",
                facts.os_name
            ));
            Ok(None)
        }
        "ubuntu" if named => {
            plan.steps.extend(step::docker_source(&facts.codename));
            plan.notes.push(format!(
                "`{}` has no compose plugin that is new enough; Docker's own packages are added",
                facts.os_name
            ));
            Ok(Some("docker-compose-plugin"))
        }
        _ => Err(no_package(facts, Program::Compose)),
    }
}

/// The engine runs, and the user may use it.
fn engine(facts: &HostFacts, installed: bool, plan: &mut Plan) {
    if facts.engine {
        return;
    }
    if installed || !facts.engine_runs {
        let words: &[&str] = if facts.systemd {
            &["systemctl", "enable", "--now", "docker"]
        } else {
            &["service", "docker", "start"]
        };
        plan.steps.push(Step::root("start the engine, now and at boot", words));
    }
    if !facts.is_root() && !facts.docker_group {
        let user = facts.user.as_str();
        let title = format!("let `{user}` use the engine");
        plan.steps.push(Step::root(&title, &["usermod", "-aG", "docker", user]));
        plan.notes.push(format!(
            "who may use the engine can become root; `{user}` may from the next login on"
        ));
    }
}

/// The user's daemon starts with the machine.
fn boot(facts: &HostFacts, wanted: &Wanted<'_>, plan: &mut Plan) {
    if !facts.systemd {
        plan.notes.push(
            "no systemd runs there: dwell starts with the first connection, not at boot".to_owned(),
        );
        return;
    }
    if !facts.linger {
        let words = ["loginctl", "enable-linger", facts.user.as_str()];
        plan.steps.push(Step::root("let the user's services start at boot", &words));
    }
    if !facts.unit {
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{}", facts.uid);
        let dwell = wanted.dwell.to_string_lossy();
        let words = ["env", &runtime, &dwell, "setup", "--no-resolver", "--yes"];
        plan.steps.push(Step::user("start dwell at boot", &words));
    }
}

#[cfg(test)]
mod tests;
