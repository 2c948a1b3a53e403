//! Doing the steps that prepare a bare machine.

use std::time::Duration;

use dwell_core::prepare::{HostFacts, Step};

use crate::ssh::{self, Destination, SshError, quoted};

/// How long one step may take; installing packages over a slow line is the longest.
const STEP_LIMIT: Duration = Duration::from_secs(1200);

/// Does one step.
///
/// # Errors
/// When the connection fails or the step does.
pub async fn apply(
    destination: &Destination,
    facts: &HostFacts,
    step: &Step,
) -> Result<(), SshError> {
    let script = format!("{PATH}exec {} >/dev/null", step.line(facts.is_root()));
    ssh::run(destination, &script, b"", STEP_LIMIT).await.map(drop)
}

/// Does all steps in this process's terminal, where sudo asks for the user's password first.
///
/// # Errors
/// When the connection fails, or a step does.
pub async fn apply_in_terminal(
    destination: &Destination,
    facts: &HostFacts,
    steps: &[Step],
) -> Result<(), SshError> {
    let told =
        |step: &Step| format!("echo {}\n{}\n", quoted(&step.title), step.line(facts.is_root()));
    let all: String = steps.iter().map(told).collect();
    ssh::in_terminal(destination, &format!("{PATH}set -e\nsudo -v\n{all}")).await
}

/// A plain login's `PATH` often lacks the system's programs.
const PATH: &str = "export PATH=\"$PATH:/usr/local/sbin:/usr/sbin:/sbin\"\n";
