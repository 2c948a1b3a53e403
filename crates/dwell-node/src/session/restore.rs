//! After a workspace was stopped: its sessions are started again where they can go on.

use dwell_core::agent::restore_command;
use dwell_core::workspace::Workspace;
use dwell_drivers::session::{SessionState, agent, seen};
use dwell_store::SessionRecord;
use futures_util::future::join_all;

use super::Place;
use super::start::{How, What, begin, environment_of};
use crate::node::Node;

/// Starts the sessions again that were interrupted and can go on; gives what went wrong.
pub(crate) async fn restore(node: &Node, it: &Workspace) -> Vec<String> {
    let due = due(node, it).await;
    let place = Place::from(it.clone());
    let restored = due.into_iter().map(|(record, command)| again(node, &place, record, command));
    join_all(restored).await.into_iter().flatten().collect()
}

/// Whether a workspace has sessions that are to be restored.
pub(crate) async fn is_due(node: &Node, it: &Workspace) -> bool {
    !due(node, it).await.is_empty()
}

async fn due(node: &Node, it: &Workspace) -> Vec<(SessionRecord, Vec<String>)> {
    let records = match node.store.sessions().await {
        Ok(records) => records,
        Err(error) => {
            tracing::warn!(%error, workspace = %it.name, "its sessions are not restored");
            return Vec::new();
        }
    };
    let own = records.into_iter().filter(|record| record.place() == it.id.as_str());
    let interrupted = own.filter(|record| match seen(&record.files) {
        Ok(SessionState::Ended(exit)) => exit.interrupted,
        Ok(SessionState::Lost) => true,
        Ok(SessionState::Running { .. }) | Err(_) => false,
    });
    let goes_on = |record: SessionRecord| {
        let said = agent::report(&record.files).and_then(|report| report.conversation);
        restore_command(&record.command, said.as_deref()).map(|command| (record, command))
    };
    interrupted.filter_map(goes_on).collect()
}

async fn again(
    node: &Node,
    place: &Place,
    record: SessionRecord,
    command: Vec<String>,
) -> Option<String> {
    let name = record.name.clone();
    let started = async {
        let environment = environment_of(node, &record).await?;
        let what = What { name: record.name, command, directory: record.directory, environment };
        let how =
            How { variables: Vec::new(), login: true, size: None, pipes: false, restored: true };
        begin(node, place, what, how).await
    };
    let problem = started.await.err()?;
    Some(format!("session `{name}` was not restored: {problem}"))
}
