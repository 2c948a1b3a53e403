//! Whether nodes have room for what is about to start on them: asked before anything is made
//! there, told as notes, and refused where somebody is strict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dwell_api::environment::Flags;
use dwell_api::remote::Machine;
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::NodeName;
use dwell_core::admission::{Capacity, Concern, Demand, Severity, concerns};
use dwell_core::compose;
use dwell_core::environment::Environment;
use dwell_core::placement::Placement;
use futures_util::future::join_all;

use super::{Reading, parts, up};
use crate::machine;
use crate::node::Node;
use crate::operation::Context;
use crate::problem::OrProblem;

/// How long another node may take to say what is left of it.
const LIMIT: Duration = Duration::from_secs(5);

/// What happens where a node has too little left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It is told.
    Warn,
    /// It is refused.
    Refuse,
}

impl Manner {
    /// What `--strict` says.
    pub(crate) fn of(strict: bool) -> Self {
        if strict { Self::Refuse } else { Self::Warn }
    }
}

/// What is asked of each node that something is to start on.
type Demands = BTreeMap<NodeName, Demand>;

/// Asks nodes whether they have room, and gives what people should know.
///
/// # Errors
/// When one has too little, or does not say, and that is to be refused.
pub(crate) async fn admit(
    node: &Arc<Node>,
    demands: &Demands,
    manner: Manner,
) -> Result<Vec<String>, Problem> {
    let asked = demands.iter().map(|(name, demand)| async move {
        let capacity = capacity(node, name, manner).await;
        (name, capacity.map(|capacity| concerns(&capacity, demand)))
    });
    let (mut notes, mut short) = (Vec::new(), Vec::new());
    for (name, found) in join_all(asked).await {
        match found {
            Ok(found) => {
                let told = found.iter().filter(|concern| is_told(name, concern));
                notes.extend(told.map(|concern| format!("{}: {concern}", shown(name))));
                let found = found.iter().filter(|concern| concern.severity == Severity::Short);
                short.extend(found.map(|concern| format!("{}: {concern}", shown(name))));
            }
            Err(problem) if manner == Manner::Refuse => return Err(problem),
            // Who is about to send something there meets it again, and tells.
            Err(problem) => tracing::debug!(%problem, node = %name, "it does not say what is left"),
        }
    }
    if short.is_empty() || manner == Manner::Warn {
        return Ok(notes);
    }
    Err(Problem::new(Code::NoRoom, "there is not enough room for what is to start")
        .hint("free some there, choose another node, or leave out --strict")
        .details(short))
}

fn shown(name: &NodeName) -> &str {
    if name.is_local() { "this machine" } else { name.as_str() }
}

/// People know their own machine: of it they are told only what will probably fail.
fn is_told(name: &NodeName, concern: &Concern) -> bool {
    !name.is_local() || concern.severity == Severity::Short
}

async fn capacity(node: &Arc<Node>, name: &NodeName, manner: Manner) -> Result<Capacity, Problem> {
    if name.is_local() {
        // What the engine would have to be asked for is found out soon enough by a later step.
        return match manner {
            Manner::Warn => machine::glance(node),
            Manner::Refuse => machine::look(node).await.map(|machine| machine.capacity),
        };
    }
    let asked = async {
        let mut client = node.remotes.client(name).await?;
        client.get::<Machine>(endpoint::MACHINE).await.map_err(ClientError::into_problem)
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(machine) => machine.map(|machine| machine.capacity),
        Err(_) => {
            let message = format!("node `{name}` did not say in time what is left of it");
            Err(Problem::new(Code::Timeout, message))
        }
    }
}

/// Tells what speaks against what is about to start, or refuses it. What was sent here was asked
/// for by its sender.
pub(super) async fn check(context: &Context) -> Result<(), Problem> {
    let environment = &context.environment;
    let (Some(reading), None) = (&context.reading, &environment.origin) else { return Ok(()) };
    let demands = demands(&context.node, environment, reading, context.request.before.ran)?;
    let manner = Manner::of(context.request.up.strict);
    for note in admit(&context.node, &demands, manner).await? {
        context.operation.note(note);
    }
    Ok(())
}

/// Refuses an `up` that is strict before anything of it is done. `environment` may be one that is
/// still to be made. Where its project cannot be read before that, it is checked later.
pub(super) async fn check_ahead(
    node: &Arc<Node>,
    environment: &Environment,
    flags: &Flags,
    variables: &BTreeMap<String, String>,
    ran: bool,
) -> Result<(), Problem> {
    let found = match up::read_without_keeping(environment, variables).await {
        Ok(reading) => {
            let placed = parts::placed(node, environment, &reading, flags)?;
            let placement = (!placed.placement.is_whole()).then_some(placed.placement);
            let environment = Environment { placement, ..environment.clone() };
            demands(node, &environment, &reading, ran)?
        }
        Err(_) => BTreeMap::from([(NodeName::local(), Demand::default())]),
    };
    admit(node, &found, Manner::Refuse).await.map(drop)
}

/// What is asked of each node on which services are to start that do not run there yet.
fn demands(
    node: &Node,
    environment: &Environment,
    reading: &Reading,
    ran: bool,
) -> Result<Demands, Problem> {
    let everything = || Placement::local(reading.services.keys().cloned());
    let placement = environment.placement.clone().unwrap_or_else(everything);
    let mut nodes = placement.others();
    nodes.insert(&placement.home);
    let runs = |name: &NodeName| match environment.parts.get(name) {
        _ if name.is_local() => ran,
        Some(part) => node.remotes.runs(name, part),
        None => false,
    };
    let nodes = nodes.into_iter().filter(|name| !runs(name));
    nodes
        .map(|name| {
            let services = placement.on(name).cloned().collect();
            Ok((name.clone(), compose::demand(&reading.model, &services).or_problem()?))
        })
        .collect()
}
