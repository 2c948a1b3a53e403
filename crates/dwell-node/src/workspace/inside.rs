//! The inside of workspaces: a process of ours in one connects to what takes connections from
//! there only. It is started when it is first needed, and ends when it is needed no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dwell_api::{Code, Problem};
use dwell_core::WorkspaceId;
use dwell_core::workspace::{GIVEN, USER, Workspace};
use dwell_drivers::docker::ExecSpec;
use dwell_net::inside::{self, InsideError};
use dwell_net::mux::{Mux, Stream};

use super::commands::Commands;
use super::given;
use crate::node::Node;
use crate::problem::OrProblem;

/// How often it is looked whether a link is used; one that was not between two looks ends.
const LOOK: Duration = Duration::from_secs(30);

type Slot = Arc<tokio::sync::Mutex<Option<(String, Mux)>>>;

/// The links to the insides of workspaces, each with the container that it leads into.
#[derive(Default)]
pub(super) struct Insides {
    slots: Mutex<HashMap<WorkspaceId, Slot>>,
}

impl Insides {
    fn slot(&self, id: &WorkspaceId) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(id.clone()).or_default().clone()
    }
}

/// A stream to a port of the loopback of a workspace that runs.
pub(super) async fn dial(node: &Node, it: &Workspace, port: u16) -> Result<Stream, Problem> {
    let refused = |why: String| {
        let message = format!("nothing answers at port {port} of `{}`: {why}", it.name);
        Problem::new(Code::NotRunning, message)
            .hint(format!("`dwell ports {}` tells what listens there", it.name))
    };
    for _ in 0..2 {
        let link = link(node, it).await?;
        match inside::dial(&link, port).await {
            Err(InsideError::Over) => link.close(),
            other => return other.map_err(|error| refused(error.to_string())),
        }
    }
    Err(away(it))
}

/// A stream to a unix socket in a workspace that runs, which its user may use.
pub(super) async fn dial_socket(
    node: &Node,
    it: &Workspace,
    path: &str,
) -> Result<Stream, Problem> {
    let refused = |why: String| {
        let message = format!("nothing answers at {path} of `{}`: {why}", it.name);
        Problem::new(Code::NotRunning, message)
    };
    for _ in 0..2 {
        let link = link(node, it).await?;
        match inside::dial_socket(&link, path).await {
            Err(InsideError::Over) => link.close(),
            other => return other.map_err(|error| refused(error.to_string())),
        }
    }
    Err(away(it))
}

fn away(it: &Workspace) -> Problem {
    let message = format!("`{}` cannot be reached: its inside is away", it.name);
    Problem::new(Code::NotRunning, message)
        .hint(format!("`dwell ws stop {0}` and `dwell ws start {0}` begin it anew", it.name))
}

/// The link to the inside, which is made where there is none.
async fn link(node: &Node, it: &Workspace) -> Result<Mux, Problem> {
    let slot = node.workspaces.insides.slot(&it.id);
    let mut held = slot.lock().await;
    if let Some((container, link)) = &*held
        && *container == it.container()
        && !link.is_closed()
    {
        return Ok(link.clone());
    }
    // A workspace that was started by an older daemon has a binary that may not know how.
    given::renew(node, it).await?;
    let spec = ExecSpec {
        command: vec![format!("{GIVEN}/{}", given::BINARY), "workspace-inside".to_owned()],
        stdin: true,
        user: Some(USER.to_owned()),
        ..ExecSpec::default()
    };
    let name = it.name.clone();
    let running = Commands::of(node, it).start(spec, None).await.or_problem()?;
    let (read, write) = running.streams(move |said| {
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        tracing::warn!(workspace = %name, said, "the inside complains");
    });
    let link = inside::link(read, write);
    *held = Some((it.container(), link.clone()));
    tokio::spawn(end_unused(slot.clone(), link.clone()));
    Ok(link)
}

async fn end_unused(slot: Slot, link: Mux) {
    let mut unused = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = link.closed() => return,
        }
        if link.streams() > 0 {
            unused = false;
        } else if !std::mem::replace(&mut unused, true) {
            continue;
        } else {
            let mut held = slot.lock().await;
            if link.streams() == 0 {
                *held = None;
                link.close();
                return;
            }
        }
    }
}
