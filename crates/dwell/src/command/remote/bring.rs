//! `remote add` and `remote upgrade`: dwell on a node, and the link to it.

use std::future::Future;

use dwell_api::remote::RemoteNode;
use dwell_api::{Code, Event, Problem, StepState, endpoint};
use dwell_core::NodeName;
use dwell_core::remote::{Remote, RemoteError};
use dwell_drivers::deploy::{self, Binary, DeployError, Facts, Plan, VERSION};
use dwell_drivers::ssh::{self, Destination, Why};
use serde::Serialize;

use super::{problem, registered, try_new_link};
use crate::arguments::remote::{Add, Upgrade};
use crate::command::{Context, idempotency_key, own_binary};
use crate::failure::{Ended, Failure};
use crate::output::remote as show;

/// What became of dwell on a node.
#[derive(Debug, Serialize)]
pub(crate) struct Brought {
    pub(crate) node: NodeName,
    /// The version that was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// The version that is there.
    pub(crate) to: String,
    /// Whether anything was done.
    pub(crate) changed: bool,
}

/// Registers a node: looks at it, puts dwell there, makes the link.
pub(super) async fn add(it: Add, context: &Context) -> Ended {
    let refused = |e: RemoteError| Problem::new(Code::InvalidArgument, e.to_string());
    let record = it.record().map_err(refused)?;
    let far = Far::new(&record, context);
    let facts = far.facts().await?;
    far.bring(&facts).await?;
    let mut notes = show::missing(&facts, &record.name);
    if facts.user_units
        && let Err(error) = far.start_with_machine().await
    {
        notes.push(format!("dwell does not start with the machine: {error}"));
    }
    let key = idempotency_key()?;
    let _: RemoteNode = context.connect().await?.post(endpoint::REMOTES, &key, &record).await?;
    try_new_link(&record.name, context).await?;
    let node = registered(&record.name, context).await?;
    context.output.result(&node, |node, style| show::added(node, &facts, style))?;
    notes.iter().for_each(|note| context.output.warn(note));
    Ok(0)
}

/// Puts this version on nodes, one after the other; one that fails does not keep the others back.
pub(super) async fn upgrade(it: Upgrade, context: &Context) -> Ended {
    let names = if it.all {
        let all: Vec<RemoteNode> = context.connect().await?.get(endpoint::REMOTES).await?;
        all.into_iter().map(|node| node.remote.name).collect()
    } else {
        it.names
    };
    let (mut done, mut failed) = (Vec::new(), None);
    for name in names {
        match upgrade_one(&name, context).await {
            Ok(brought) => done.push(brought),
            Err(failure) if failed.is_none() => failed = Some(failure),
            Err(Failure::Problem(problem)) => context.output.warn(&problem.message),
            Err(other) => return Err(other),
        }
    }
    if let Some(failure) = failed {
        done.iter().for_each(|brought| context.output.note(&show::brought(brought)));
        return Err(failure);
    }
    context
        .output
        .result(&done, |done, _| done.iter().map(|b| show::brought(b) + "\n").collect())?;
    Ok(0)
}

async fn upgrade_one(name: &NodeName, context: &Context) -> Result<Brought, Failure> {
    let node = registered(name, context).await?;
    let far = Far::new(&node.remote, context);
    let facts = far.facts().await?;
    let brought = far.bring(&facts).await?;
    try_new_link(name, context).await?;
    Ok(brought)
}

/// A node on its way to having dwell.
pub(super) struct Far<'a> {
    name: NodeName,
    pub(super) destination: Destination,
    context: &'a Context,
}

impl<'a> Far<'a> {
    pub(super) fn new(remote: &Remote, context: &'a Context) -> Self {
        Self { name: remote.name.clone(), destination: Destination::from(remote), context }
    }

    /// Does one step, and shows it.
    pub(super) async fn step<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, DeployError>>,
    ) -> Result<T, DeployError> {
        let mut progress = self.context.output.progress();
        let event = |state| Event::Step { step: what.to_owned(), state };
        progress.event(&event(StepState::Started));
        let done = work.await;
        match done {
            Ok(_) => progress.event(&event(StepState::Done)),
            Err(_) => progress.finish(),
        }
        done
    }

    /// What failed, as a problem with this node.
    pub(super) fn problem(&self, error: impl Into<DeployError>) -> Problem {
        problem(&self.name, error.into())
    }

    /// Looks at the node. Where ssh has a question and somebody is there, it asks that first.
    pub(super) async fn facts(&self) -> Result<Facts, Problem> {
        let what = format!("looking at {}", self.destination);
        let look = || self.step(&what, deploy::facts(&self.destination));
        match look().await {
            Err(DeployError::Ssh(error)) if self.can_be_answered(&error.why) => {
                self.context.output.note(&format!("{error}; ssh asks:"));
                let asked = ssh::interactive_check(&self.destination).await;
                asked.map_err(|error| self.problem(error))?;
                look().await.map_err(|error| self.problem(error))
            }
            looked => looked.map_err(|error| self.problem(error)),
        }
    }

    fn can_be_answered(&self, why: &Why) -> bool {
        self.context.output.can_ask()
            && matches!(why, Why::HostKeyUnknown | Why::PermissionDenied { .. })
    }

    /// Puts dwell there unless it is there, and ends the daemon of another version.
    pub(super) async fn bring(&self, facts: &Facts) -> Result<Brought, Problem> {
        let own = own_binary()?;
        let binary = Binary::for_node(facts, &own).map_err(|e| self.problem(e))?;
        let plan = deploy::plan(facts, &binary).map_err(|e| self.problem(e))?;
        let from = facts.installed.as_ref().and_then(|installed| installed.version.clone());
        let to = VERSION.to_owned();
        let changed = plan != Plan::UpToDate;
        if changed {
            let what = format!("sending dwell {VERSION}, {}", show::size(binary.size));
            let install = deploy::install(&self.destination, &binary, |_| {});
            self.step(&what, install).await.map_err(|e| self.problem(e))?;
        }
        if matches!(plan, Plan::Upgrade { .. }) {
            self.end_daemon().await?;
        }
        Ok(Brought { node: self.name.clone(), from, to, changed })
    }

    /// Ends the daemon there; the next link starts the one that is installed.
    pub(super) async fn end_daemon(&self) -> Result<(), Problem> {
        let ended = self.step("ending the old daemon", deploy::stop(&self.destination)).await;
        ended.map_err(|e| self.problem(e))
    }

    /// Lets the daemon there start with the machine.
    pub(super) async fn start_with_machine(&self) -> Result<(), DeployError> {
        let start = deploy::start_with_machine(&self.destination);
        self.step("letting dwell start with the machine", start).await
    }
}
