//! Asking a workspace from inside what it shows of its use. That takes a command in it, so it is
//! done only shortly before something is due.

use std::time::Duration;

use dwell_api::session::SessionStatus;
use dwell_api::{Code, Problem};
use dwell_core::agent::AgentState;
use dwell_core::idle::{Signs, Source};
use dwell_core::workspace::{GIVEN, Workspace};

use crate::node::Node;
use crate::problem::OrProblem;
use crate::session::Place;
use crate::workspace::{self, BINARY};

/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks, and takes over the answer.
pub(super) async fn inside(node: &Node, it: &Workspace) {
    let seen = ask(node, it).await;
    let now = node.now();
    node.track(&it.id, |track| {
        track.ledger.tick(now);
        let at = track.ledger.clock();
        match seen {
            Ok(seen) => {
                let before = track.asked.as_ref().map(|(before, then)| (before, at - then));
                track.ledger.look(before, &seen);
                track.asked = Some((seen, at));
                track.blind = None;
            }
            Err(problem) => {
                tracing::warn!(%problem, workspace = %it.name, "it cannot be looked at from inside");
                track.blind = Some(problem.message);
                // Not at once again, and nothing to compare the next answer with.
                track.asked = Some((Signs::default(), at));
            }
        }
    });
}

/// What agents in its sessions say of themselves, or show.
pub(super) async fn agents(node: &Node, it: &Workspace) {
    let all = match node.sessions_at(&Place::from(it.clone())).await {
        Ok(all) => all,
        Err(problem) => {
            return tracing::warn!(%problem, workspace = %it.name, "its agents were not asked");
        }
    };
    let is = |wanted| {
        let running = all.iter().filter(|session| session.status == SessionStatus::Running);
        running.filter_map(|session| session.state).any(|state| state == wanted)
    };
    let works = is(AgentState::Working);
    let waits = is(AgentState::NeedsInput);
    let now = node.now();
    node.track(&it.id, |track| {
        track.ledger.tick(now);
        track.ledger.see(Source::Agent, works);
        track.ledger.see(Source::NeedsInput, waits);
    });
}

async fn ask(node: &Node, it: &Workspace) -> Result<Signs, Problem> {
    // One that was started by an older dwell has that one's binary until it is started again.
    workspace::renew(node, it).await?;
    let command = vec![format!("{GIVEN}/{BINARY}"), "workspace-signs".to_owned()];
    let said = workspace::quietly(node, it, "0:0", command, LIMIT).await.or_problem()?;
    serde_json::from_slice(&said.stdout).map_err(|error| {
        let message = format!("what it shows is not understood: {error}: {}", said.error_text());
        Problem::new(Code::Internal, message)
    })
}
