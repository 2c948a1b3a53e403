//! Operations: journaled sagas with a live event stream. Each is recorded before it acts, acts
//! step by step, and on failure or cancellation undoes what it did; a daemon that starts settles
//! those it finds unfinished.

pub(crate) mod fault;
mod run;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dwell_api::environment::{CreateEnvironment, Destroy, Up};
use dwell_api::event::Outcome;
use dwell_api::{Event, Problem};
use dwell_core::OperationId;
use dwell_core::environment::{Desired, Environment};
use dwell_core::moving::Moving;
use dwell_core::{EnvironmentName, ProjectName, SharedId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use run::{Context, recover, run};

/// What an operation was asked to do, and what was there before: enough to act and to undo.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The environment as it was, or as it is to be made.
    pub(crate) environment: Environment,
    /// How to make it.
    #[serde(default)]
    pub(crate) create: Option<CreateEnvironment>,
    /// How to bring it up.
    #[serde(default)]
    pub(crate) up: Up,
    /// How to destroy it.
    #[serde(default)]
    pub(crate) destroy: Destroy,
    /// What moves, and where.
    #[serde(default)]
    pub(crate) moving: Option<Moving>,
    /// What it was before.
    pub(crate) before: Before,
}

/// What was there before an operation began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Before {
    /// What was wanted.
    pub(crate) desired: Desired,
    /// Whether any of its containers ran.
    pub(crate) ran: bool,
    /// The subnets it had: key and network.
    #[serde(default)]
    pub(crate) subnets: Vec<(String, String)>,
    /// The volumes it had.
    #[serde(default)]
    pub(crate) volumes: Vec<String>,
    /// Shared instances it used.
    pub(crate) shared: Vec<SharedId>,
}

/// An operation that runs or has ended, with everything that it told.
pub(crate) struct Operation {
    pub(crate) id: OperationId,
    /// What was asked for, to tell a repeated call from another one with the same key.
    pub(crate) call: String,
    events: Mutex<Vec<Event>>,
    told: watch::Sender<usize>,
    cancelled: watch::Sender<bool>,
}

impl Operation {
    fn new(id: OperationId, call: &str) -> Self {
        let accepted = Event::Accepted { operation: id.to_string() };
        Self {
            id,
            call: call.to_owned(),
            events: Mutex::new(vec![accepted]),
            told: watch::Sender::new(1),
            cancelled: watch::Sender::new(false),
        }
    }

    /// One that ended in an earlier life of the daemon: its outcome is replayed.
    fn ended(id: OperationId, call: &str, result: Result<Outcome, Problem>) -> Self {
        let operation = Self::new(id, call);
        operation.end(result);
        operation
    }

    /// Tells everybody who follows.
    pub(crate) fn tell(&self, event: Event) {
        let mut events = lock(&self.events);
        events.push(event);
        self.told.send_replace(events.len());
    }

    /// A note for people.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.tell(Event::Note { text: text.into() });
    }

    /// Tells the last event.
    pub(crate) fn end(&self, result: Result<Outcome, Problem>) {
        self.tell(match result {
            Ok(result) => Event::Done { result },
            Err(problem) => Event::Failed { problem },
        });
    }

    /// Asks it to stop and undo.
    pub(crate) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Ends when somebody asked it to stop.
    pub(crate) async fn cancelled(&self) {
        let mut cancelled = self.cancelled.subscribe();
        // The sender lives as long as `self`, so this only ends with `true`.
        let _ = cancelled.wait_for(|asked| *asked).await;
    }

    fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Whether it has told its last event.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.events).last().is_some_and(is_last)
    }

    /// The event with this number, waiting until it is told; `None` after the last.
    pub(crate) async fn event(&self, number: usize) -> Option<Event> {
        let mut told = self.told.subscribe();
        loop {
            {
                let events = lock(&self.events);
                if let Some(event) = events.get(number) {
                    return Some(event.clone());
                }
                if events.last().is_some_and(is_last) {
                    return None;
                }
            }
            told.wait_for(|count| *count > number).await.ok()?;
        }
    }

    /// Waits for the end and gives the outcome.
    pub(crate) async fn outcome(&self) -> Result<Outcome, Problem> {
        let mut number = 0;
        while let Some(event) = self.event(number).await {
            number += 1;
            match event {
                Event::Done { result } => return Ok(result),
                Event::Failed { problem } => return Err(problem),
                _ => {}
            }
        }
        Err(Problem::new(dwell_api::Code::Internal, "the operation ended without an outcome"))
    }
}

fn is_last(event: &Event) -> bool {
    matches!(event, Event::Done { .. } | Event::Failed { .. })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type EnvironmentLock = Arc<tokio::sync::Mutex<()>>;

/// All operations of this life of the daemon, and one lock an environment name.
#[derive(Default)]
pub(crate) struct Operations {
    by_key: Mutex<HashMap<String, Arc<Operation>>>,
    locks: Mutex<HashMap<(ProjectName, EnvironmentName), EnvironmentLock>>,
    settled: watch::Sender<bool>,
    active: Mutex<HashMap<String, dwell_core::operation::Kind>>,
}

/// How many ended operations are kept for replay before the oldest are dropped.
const KEPT: usize = 2000;

impl Operations {
    /// The operation with an idempotency key, or a new one that the caller must run.
    pub(crate) fn join_or_begin(
        &self,
        key: &str,
        id: OperationId,
        call: &str,
    ) -> (Arc<Operation>, bool) {
        let mut by_key = lock(&self.by_key);
        if let Some(operation) = by_key.get(key) {
            return (operation.clone(), false);
        }
        if by_key.len() >= KEPT {
            by_key.retain(|_, operation| !operation.has_ended());
        }
        let operation = Arc::new(Operation::new(id, call));
        by_key.insert(key.to_owned(), operation.clone());
        (operation, true)
    }

    /// Remembers an operation that ended in an earlier life of the daemon.
    pub(crate) fn remember(
        &self,
        key: &str,
        id: OperationId,
        call: &str,
        result: Result<Outcome, Problem>,
    ) -> Arc<Operation> {
        let operation = Arc::new(Operation::ended(id, call, result));
        lock(&self.by_key).insert(key.to_owned(), operation.clone());
        operation
    }

    /// What an earlier life of the daemon left unfinished is settled; new operations may begin.
    pub(crate) fn settled(&self) {
        self.settled.send_replace(true);
    }

    /// Waits until new operations may begin.
    pub(crate) async fn ready(&self) {
        let mut settled = self.settled.subscribe();
        // The sender lives as long as `self`, so this only ends with `true`.
        let _ = settled.wait_for(|settled| *settled).await;
    }

    /// An operation by its id.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Operation>> {
        lock(&self.by_key).values().find(|operation| operation.id.as_str() == id).cloned()
    }

    /// Whether any operation runs.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.by_key).values().any(|operation| !operation.has_ended())
    }

    /// The lock under which an environment's name is acted on.
    pub(crate) fn environment_lock(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> EnvironmentLock {
        let mut locks = lock(&self.locks);
        if locks.len() > 4096 {
            locks.retain(|_, held| Arc::strong_count(held) > 1);
        }
        locks.entry((project.clone(), name.clone())).or_default().clone()
    }

    /// What an operation does to an environment right now.
    pub(crate) fn active(&self, environment: &str) -> Option<dwell_core::operation::Kind> {
        lock(&self.active).get(environment).copied()
    }

    fn set_active(&self, environment: &str, kind: Option<dwell_core::operation::Kind>) {
        let mut active = lock(&self.active);
        match kind {
            Some(kind) => active.insert(environment.to_owned(), kind),
            None => active.remove(environment),
        };
    }
}
