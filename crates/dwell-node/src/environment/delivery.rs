//! Environments that another node sends: what was delivered is kept beside the environment, so
//! that it comes up again without its sender.

use std::collections::BTreeMap;
use std::path::Path;

use dwell_api::environment::CreateEnvironment;
use dwell_api::remote::{Delivery, Sent};
use dwell_api::{Code, Problem};
use dwell_core::compose::Specification;
use dwell_core::config::ProjectConfig;
use dwell_core::environment::{Desired, Environment, Options, Origin};
use dwell_core::{EnvironmentId, EnvironmentName, Generation, ProjectName};
use dwell_drivers::tree::MergeReport;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::facts::{Stamp, write};
use crate::node::{Node, random};
use crate::operation::Context;
use crate::problem::OrProblem;
use crate::{project, travel};

/// The file that holds what was delivered.
const FILE: &str = "delivered.json";

/// What was delivered last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delivered {
    /// The project.
    pub(crate) specification: Specification,
    /// The sources that were applied last.
    pub(crate) sent: Option<Sent>,
}

impl Delivered {
    fn of(delivery: &Delivery) -> Self {
        Self { specification: delivery.specification.clone(), sent: delivery.sent.clone() }
    }

    /// What a model that follows from it is stamped with.
    fn stamp(&self, options: &Options) -> Stamp {
        let all = serde_json::to_vec(&(&self.specification, options));
        let hash = all.map(|all| blake3::hash(&all).to_hex().to_string());
        Stamp { hash: hash.unwrap_or_default() }
    }
}

/// What was delivered last for an environment; `None` for one that was made here.
pub(crate) fn delivered(node: &Node, id: &EnvironmentId) -> Option<Delivered> {
    let text = std::fs::read(node.directory(id).join(FILE)).ok()?;
    match serde_json::from_slice(&text) {
        Ok(delivered) => Some(delivered),
        Err(error) => {
            tracing::warn!(%error, environment = %id, "what was delivered is not understood");
            None
        }
    }
}

/// What asks for an environment of a source, and for nothing besides.
pub(crate) fn creation(
    name: &EnvironmentName,
    project: &ProjectName,
    source: &Path,
) -> CreateEnvironment {
    CreateEnvironment {
        name: name.clone(),
        project: Some(project.clone()),
        source: source.to_owned(),
        empty: false,
        in_place: false,
        bare: true,
        copy: Vec::new(),
        compose_files: Vec::new(),
        env_files: Vec::new(),
        profiles: Vec::new(),
        compose_variables: BTreeMap::new(),
        variables: Default::default(),
        placement: Default::default(),
        strict: false,
        force: false,
        delivery: None,
    }
}

fn has_no_services(specification: &Specification) -> bool {
    let services = specification.model.get("services").and_then(Value::as_object);
    services.is_none_or(serde_json::Map::is_empty)
}

/// The record of an environment that is to be made of a delivery.
pub(super) fn planned(
    node: &Node,
    create: &CreateEnvironment,
    delivery: &Delivery,
) -> Result<Environment, Problem> {
    let specification = &delivery.specification;
    let project = create.project.clone().unwrap_or_else(|| specification.project.clone());
    let id = match &delivery.id {
        Some(chosen) => chosen.clone(),
        None => EnvironmentId::from_random(random()?),
    };
    Ok(Environment {
        id,
        name: create.name.clone(),
        source: travel::repository(node, &project),
        root: node.paths.tree(&project, &create.name),
        project,
        tree: None,
        suffix: specification.suffix.clone(),
        generation: Generation::FIRST,
        desired: Desired::Stopped,
        options: Options {
            bare: create.bare && has_no_services(specification),
            ..Options::default()
        },
        created: node.now(),
        notes: Vec::new(),
        origin: Some(Origin {
            node: delivery.from.clone(),
            source: delivery.source.clone(),
            part_of: delivery.part_of.clone(),
        }),
        placement: None,
        parts: BTreeMap::new(),
    })
}

/// Makes the tree of an environment that was sent here.
pub(super) async fn tree(context: &mut Context) -> Result<(), Problem> {
    let Some(delivery) = context.delivery.clone() else {
        return Err(Problem::new(Code::Internal, "nothing was delivered"));
    };
    let made = travel::create(&context.node, &context.environment, &delivery).await?;
    for note in &made.notes {
        context.operation.note(note.clone());
    }
    if let Some(hash) = &delivery.trusted {
        let source = context.environment.source.to_string_lossy().into_owned();
        context.node.store.trust(&source, hash, context.node.now()).await.or_problem()?;
    }
    context.environment.notes.extend(made.notes.iter().cloned());
    context.environment.root.clone_from(&made.root);
    context.environment.tree = Some(made);
    // What was made is known before anything else can fail, so that it can be unmade.
    super::create::keep_record(context).await?;
    for note in travel::complete(&context.node, &context.environment, &delivery).await? {
        context.operation.note(note);
    }
    keep_in(&context.node, &context.environment.id, &delivery)
}

fn keep_in(node: &Node, id: &EnvironmentId, delivery: &Delivery) -> Result<(), Problem> {
    let text = serde_json::to_vec(&Delivered::of(delivery))
        .map_err(|e| Problem::new(Code::Internal, format!("a delivery cannot be kept: {e}")))?;
    write(&node.directory(id).join(FILE), &text)
}

/// Brings what was sent into the tree of an environment, and keeps what it says.
pub(crate) async fn receive(
    node: &Node,
    environment: &Environment,
    delivery: &Delivery,
) -> Result<MergeReport, Problem> {
    let before = delivered(node, &environment.id).and_then(|delivered| delivered.sent);
    let report = travel::apply(node, environment, delivery, before.as_ref()).await?;
    keep_in(node, &environment.id, delivery)?;
    Ok(report)
}

/// Brings what was sent into the tree that is there.
pub(super) async fn sync(context: &mut Context) -> Result<(), Problem> {
    let Some(delivery) = context.delivery.clone() else { return Ok(()) };
    let report = receive(&context.node, &context.environment, &delivery).await?;
    if !report.files.is_empty() {
        let (count, label) = (report.files.len(), context.environment.label());
        context.operation.note(format!("synced {count} files into `{label}`"));
    }
    for note in report.notes {
        context.operation.note(note);
    }
    if let Some(hash) = &delivery.trusted {
        let source = context.environment.source.to_string_lossy().into_owned();
        context.node.store.trust(&source, hash, context.node.now()).await.or_problem()?;
    }
    context.environment.origin = Some(Origin {
        node: delivery.from.clone(),
        source: delivery.source.clone(),
        part_of: delivery.part_of.clone(),
    });
    Ok(())
}

/// The model of an environment that was sent here, its configuration and what they come from.
pub(super) async fn read(
    node: &Node,
    environment: &Environment,
) -> Result<(Value, ProjectConfig, Stamp), Problem> {
    let Some(delivered) = delivered(node, &environment.id) else {
        let label = environment.label();
        return Err(Problem::new(Code::State, format!("what was delivered of `{label}` is lost"))
            .hint("bring it up again from where it was made"));
    };
    let root = environment.tree.as_ref().map_or(&environment.root, |tree| &tree.root);
    let model = delivered.specification.model_in(root).or_problem()?;
    let mut config = project::load(environment.directory()).await?;
    config.ingress.clone_from(&delivered.specification.ingress);
    config.ingress_hostnames =
        delivered.specification.hostnames.iter().map(ToString::to_string).collect();
    let stamp = delivered.stamp(&environment.options);
    Ok((model, config, stamp))
}

/// Whether an `up` with this delivery would read the same as was read last.
pub(super) fn reads_the_same(
    node: &Node,
    environment: &Environment,
    delivery: Option<&Delivery>,
) -> Option<Stamp> {
    let kept = delivered(node, &environment.id)?;
    match delivery {
        Some(given) => {
            let given = Delivered::of(given);
            let stamp = given.stamp(&environment.options);
            let same = kept.sent == given.sent && kept.stamp(&environment.options) == stamp;
            same.then_some(stamp)
        }
        None => Some(kept.stamp(&environment.options)),
    }
}
