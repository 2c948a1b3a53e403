//! One registered node: its link, what is dialled over it, and what is known of the node.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dwell_api::remote::{Pong, Target};
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::remote::Remote;
use dwell_net::carrier::{Carrier, DialError, State};
use dwell_net::forward::Dial;
use dwell_net::mux::{Refusal, Stream};
use futures_util::future::BoxFuture;

use super::mirror::Mirror;
use super::{acquaint, connect, publish};

/// How long a link may take to come up for a ping.
const PING_LIMIT: Duration = Duration::from_secs(35);
/// A link that was lost no longer ago than this may be back in a moment.
const JUST_LOST: Duration = Duration::from_secs(5);
/// How long that is waited for.
const COME_BACK_LIMIT: Duration = Duration::from_secs(3);
/// How long an attempt may take to begin that is asked for.
const WAKE_LIMIT: Duration = Duration::from_secs(1);
/// How long the other end of a dialled stream may take to say that it is there.
pub(super) const ACCEPT_LIMIT: Duration = Duration::from_secs(5);

/// A registered node.
pub(crate) struct Peer {
    pub(crate) remote: Remote,
    pub(super) carrier: Carrier,
    pub(super) mirror: Mirror,
    /// The way over a mesh.
    pub(super) way: Arc<acquaint::Way>,
    /// The owners of names that were published for it.
    pub(super) published: Mutex<HashSet<String>>,
    /// The addresses here of the services there.
    pub(super) addresses: Mutex<publish::Addresses>,
    /// Places there that take a privilege, so that higher ports stand for them.
    pub(super) raised: Mutex<HashSet<SocketAddr>>,
    /// What people should know about its names and addresses.
    pub(super) notes: Mutex<Vec<String>>,
    pub(super) tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl Peer {
    /// Why it cannot be reached; `None` while it can.
    pub(crate) fn down(&self) -> Option<String> {
        match &*self.carrier.state().borrow() {
            State::Up { .. } => None,
            State::Connecting { .. } => Some("the link is being made".to_owned()),
            State::Down { why, .. } => Some(why.to_string()),
        }
    }

    /// Measures a round trip, making the link first where it is down.
    pub(crate) async fn ping(&self) -> Result<Pong, Problem> {
        let via = self.settled().await?;
        self.way.wake();
        match self.measured(via).await {
            // The link was lost already, and that had not been noticed.
            Err(problem) if problem.retryable => {
                let via = self.settled().await?;
                self.measured(via).await
            }
            measured => measured,
        }
    }

    /// What carries the link, once it is up.
    async fn settled(&self) -> Result<&'static str, Problem> {
        let mut state = self.carrier.state();
        let before = state.borrow_and_update().clone();
        self.carrier.wake();
        if matches!(before, State::Down { retry_at: Some(_), .. }) {
            // What was found then says nothing of now.
            let again = state.wait_for(|state| *state != before);
            let _ = tokio::time::timeout(WAKE_LIMIT, again).await;
        }
        let settled = state.wait_for(|state| match state {
            State::Up { .. } => true,
            State::Down { retry_at, .. } => retry_at.is_some(),
            State::Connecting { .. } => false,
        });
        match tokio::time::timeout(PING_LIMIT, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up { via, .. } => Ok(*via),
                State::Down { why, .. } => {
                    let fix = connect::fix(&self.remote.name, &why.error);
                    Err(self.unreachable(&why.to_string(), fix))
                }
                State::Connecting { .. } => Err(self.unreachable("it is still connecting", None)),
            },
            _ => Err(self.unreachable("no link came up in time", None)),
        }
    }

    async fn measured(&self, via: &str) -> Result<Pong, Problem> {
        let begun = Instant::now();
        let stream = self.dial(publish::head(&Target::Api)).await?;
        let mut client = Client::connect(stream).await.map_err(ClientError::into_problem)?;
        let asked = client.get::<dwell_api::node::Node>(endpoint::NODE);
        match tokio::time::timeout(ACCEPT_LIMIT, asked).await {
            Ok(answer) => drop(answer.map_err(ClientError::into_problem)?),
            Err(_) => return Err(self.unreachable("its daemon did not answer in time", None)),
        }
        let round_trip = self.carrier.latency().unwrap_or_else(|| begun.elapsed());
        let round_trip = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        Ok(Pong { via: via.to_owned(), round_trip })
    }

    /// Waits a moment for a link that was lost a moment ago, as when the daemon there is replaced.
    async fn comes_back(&self) -> bool {
        let mut state = self.carrier.state();
        let just_lost = match &*state.borrow() {
            State::Down { since, .. } => since.elapsed() < JUST_LOST,
            State::Up { .. } | State::Connecting { .. } => true,
        };
        if !just_lost {
            return false;
        }
        self.carrier.wake();
        let up = state.wait_for(|state| matches!(state, State::Up { .. }));
        tokio::time::timeout(COME_BACK_LIMIT, up).await.is_ok_and(|up| up.is_ok())
    }

    fn unreachable(&self, why: &str, fix: Option<String>) -> Problem {
        let name = &self.remote.name;
        Problem::new(Code::NodeUnreachable, format!("node `{name}` cannot be reached: {why}"))
            .hint(fix.unwrap_or_else(|| format!("`dwell remote ping {name}` tries it now")))
    }

    pub(super) fn addresses(&self) -> publish::Addresses {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn published(&self) -> HashSet<String> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_published(&self, owners: HashSet<String>) {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = owners;
    }

    /// Ends what is done for it; its link ends with the last that holds it.
    pub(super) fn end(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.drain(..).for_each(|task| task.abort());
    }

    pub(super) async fn dial(&self, head: Bytes) -> Result<Stream, Problem> {
        let unreachable = |why: String| self.unreachable(&why, None);
        let dialled = match self.carrier.dial(head.clone()).await {
            Err(DialError::Down(_)) if self.comes_back().await => self.carrier.dial(head).await,
            dialled => dialled,
        };
        let stream = dialled.map_err(|error| match &error {
            DialError::Down(failure) => {
                let fix = connect::fix(&self.remote.name, &failure.error);
                self.unreachable(&failure.to_string(), fix)
            }
            other => unreachable(other.to_string()),
        })?;
        match tokio::time::timeout(ACCEPT_LIMIT, stream.accepted()).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(refusal)) => {
                Err(refused(&refusal).unwrap_or_else(|| unreachable(refusal.to_string())))
            }
            Err(_) => Err(unreachable("it did not answer in time".to_owned())),
        }
    }
}

/// The problem that the other side gave for its refusal.
fn refused(refusal: &Refusal) -> Option<Problem> {
    match refusal {
        Refusal::Refused { reason } => serde_json::from_slice(reason).ok(),
        _ => None,
    }
}

/// Dials a registered node for as long as it is registered.
pub(super) struct Dialer(pub(super) Weak<Peer>);

impl Dial for Dialer {
    fn dial(&self, head: Bytes) -> BoxFuture<'static, io::Result<Stream>> {
        let peer = self.0.upgrade();
        Box::pin(async move {
            let peer = peer.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            peer.dial(head).await.map_err(io::Error::other)
        })
    }
}
