//! Desktops in a browser of this machine: noVNC out of the workspace's image, served on a loopback
//! port, and its WebSocket joined to the desktop. An address holds a ticket that is good once; the
//! page gives it for a key that never is in an address.

mod page;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dwell_api::desktop::{OpenViewer, Viewer};
use dwell_api::remote::DIAL;
use dwell_api::workspace::WorkspaceDial;
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::WorkspaceId;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::OnceCell;

use crate::node::Node;

/// How long a ticket is good.
const TICKET: Duration = Duration::from_secs(60);

type Files = Arc<BTreeMap<String, String>>;

/// What is shown, and to whom.
#[derive(Default)]
pub(crate) struct Viewers {
    port: OnceCell<u16>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tickets: HashMap<String, (WorkspaceId, Instant)>,
    keys: HashMap<String, WorkspaceId>,
    files: HashMap<WorkspaceId, Files>,
}

impl Viewers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a ticket for a key.
    fn exchange(&self, id: &WorkspaceId, ticket: &str) -> Option<String> {
        let key = secret().ok()?;
        let mut state = self.state();
        let (of, until) = state.tickets.remove(ticket)?;
        if of != *id || until < Instant::now() {
            return None;
        }
        state.keys.insert(key.clone(), of);
        Some(key)
    }

    fn may_see(&self, id: &WorkspaceId, key: &str) -> bool {
        self.state().keys.get(key) == Some(id)
    }

    fn files(&self, id: &WorkspaceId) -> Option<Files> {
        self.state().files.get(id).cloned()
    }
}

/// 128 random bits as text.
fn secret() -> Result<String, Problem> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Problem::new(Code::Internal, format!("no randomness: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// An address at which the desktop of a workspace is seen.
pub(crate) async fn open(node: &Arc<Node>, request: OpenViewer) -> Result<Viewer, Problem> {
    let id = request.workspace;
    let path = endpoint::fill(endpoint::WORKSPACE_VIEWER, &[id.as_str()]);
    let files = own_api(node).await?.get(&path).await.map_err(ClientError::into_problem)?;
    let port = *node.viewers.port.get_or_try_init(|| listen(node.clone())).await?;
    let ticket = secret()?;
    let url = format!("http://127.0.0.1:{port}/{id}/#{ticket}");
    let mut state = node.viewers.state();
    state.files.insert(id.clone(), Arc::new(files));
    let now = Instant::now();
    state.tickets.retain(|_, (_, until)| *until > now);
    state.tickets.insert(ticket, (id, now + TICKET));
    Ok(Viewer { url })
}

async fn listen(node: Arc<Node>) -> Result<u16, Problem> {
    let failed = |e: std::io::Error| {
        Problem::new(Code::PortTaken, format!("no port of 127.0.0.1 can be had: {e}"))
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    tokio::spawn(page::serve(node, listener, port));
    Ok(port)
}

/// This node's own API, which knows where each workspace is.
async fn own_api(node: &Node) -> Result<Client, Problem> {
    let ending = || Problem::new(Code::NodeUnreachable, "the daemon is ending");
    let (near, far) = UnixStream::pair().map_err(|_| ending())?;
    node.doors.send(Box::new(far)).await.map_err(|_| ending())?;
    Client::connect(near).await.map_err(ClientError::into_problem)
}

/// A stream to the desktop of a workspace.
async fn dial(node: &Node, id: &WorkspaceId) -> Result<dwell_api::client::ByteStream, Problem> {
    let path = endpoint::fill(endpoint::WORKSPACE_DIAL, &[id.as_str()]);
    let body = WorkspaceDial { port: 5900, inside: false, desktop: true, key: None };
    let client = own_api(node).await?;
    client.upgrade(&path, DIAL, &body).await.map_err(ClientError::into_problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_for_its_workspace_only() {
        let viewers = Viewers::default();
        let id = |seed: u8| WorkspaceId::from_random([seed; 8]);
        let give = |ticket: &str, until: Instant| {
            viewers.state().tickets.insert(ticket.to_owned(), (id(1), until));
        };
        let later = Instant::now() + TICKET;
        give("a", later);
        let key = viewers.exchange(&id(1), "a").unwrap();
        assert!(viewers.may_see(&id(1), &key) && !viewers.may_see(&id(2), &key));
        assert_eq!(viewers.exchange(&id(1), "a"), None, "it is used up");
        give("b", later);
        assert_eq!(viewers.exchange(&id(2), "b"), None);
        give("c", Instant::now());
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(viewers.exchange(&id(1), "c"), None, "it is too late");
        assert!(!viewers.may_see(&id(1), "") && !viewers.may_see(&id(1), "a"));
    }
}
