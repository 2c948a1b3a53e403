//! Workspace images of this node's engine: building them, and telling whether those that are there
//! are fresh.

use std::time::Instant;

use dwell_api::event::Outcome;
use dwell_api::image::{BuildImage, BuiltImage, SeenImage};
use dwell_api::{Code, Event, Problem, StepState};
use dwell_core::image::{DEFAULT_BASE, Freshness, HASH_LABEL, ImageName, Reason, Recipe, Variant};
use dwell_drivers::docker::Image;
use dwell_drivers::image::{self as images, ImageError, Wanted};
use dwell_drivers::process::ProcessError;

use crate::node::Node;
use crate::operation::Operation;
use crate::problem::{IntoProblem, OrProblem};

/// Builds an image, unless the one that is there is fresh.
pub(crate) async fn build(
    node: &Node,
    operation: &Operation,
    request: BuildImage,
) -> Result<Outcome, Problem> {
    let engine = &node.engine;
    let BuildImage { variant, base, agents, repository, force, pull } = request;
    let tag = format!("{repository}:{variant}");
    let wanted = Wanted { variant, base, agents };
    let found = engine.image(&tag).await.or_problem()?;
    let labels = found.as_ref().and_then(images::labels);
    if pull {
        images::provide_base(engine, &wanted.base, true).await.or_problem()?;
    }
    let freshness = wanted.recipe(engine).await.or_problem()?.freshness(labels.as_ref());
    if let Some(image) = found.filter(|_| freshness == Freshness::Fresh && !force) {
        let hash = labels.map(|labels| labels.hash).unwrap_or_default();
        let built = BuiltImage { tag, built: false, hash, size: image.size, seconds: None };
        return Ok(outcome(built));
    }
    freshness.reasons().iter().for_each(|why| operation.note(format!("{tag}: {why}")));
    images::provide_base(engine, &wanted.base, false).await.or_problem()?;
    // Only now is it certain that the base has an id.
    let recipe = wanted.recipe(engine).await.or_problem()?;
    let began = Instant::now();
    let step = format!("building {tag}");
    operation.tell(Event::Step { step: step.clone(), state: StepState::Started });
    let lines = |line| operation.tell(Event::Output { line });
    let image = tokio::select! {
        built = images::build(engine, &repository, &recipe, force, lines) => built.or_problem()?,
        () = operation.cancelled() => {
            return Err(Problem::new(Code::Cancelled, format!("building {tag} was cancelled")));
        }
    };
    operation.tell(Event::Step { step, state: StepState::Done });
    Ok(outcome(made(tag, &recipe, &image, began)))
}

fn made(tag: String, recipe: &Recipe, image: &Image, began: Instant) -> BuiltImage {
    let seconds = Some(began.elapsed().as_secs());
    BuiltImage { tag, built: true, hash: recipe.hash(), size: image.size, seconds }
}

fn outcome(image: BuiltImage) -> Outcome {
    let summary = if image.built { "built" } else { "is fresh" };
    let summary = format!("{}: {summary}", image.tag);
    Outcome { changed: image.built, image: Some(image), summary, ..Outcome::default() }
}

/// The images that dwell built, or the variants in a repository whoever built them.
pub(crate) async fn look(
    node: &Node,
    repository: Option<ImageName>,
) -> Result<Vec<SeenImage>, Problem> {
    let mut all = Vec::new();
    match repository {
        Some(repository) => {
            for variant in Variant::ALL {
                let tag = format!("{repository}:{variant}");
                if let Some(image) = node.engine.image(&tag).await.or_problem()? {
                    all.push(see(node, &tag, &image).await?);
                }
            }
        }
        None => {
            for image in node.engine.labelled_images(HASH_LABEL).await.or_problem()? {
                // What was made of a workspace has the labels of its image.
                for tag in image.tags.iter().filter(|tag| !tag.starts_with("dwell-ws-")) {
                    all.push(see(node, tag, &image).await?);
                }
            }
            all.sort_by(|a, b| a.tag.cmp(&b.tag));
        }
    }
    Ok(all)
}

/// An image against what it would be if it were built again.
async fn see(node: &Node, tag: &str, image: &Image) -> Result<SeenImage, Problem> {
    let labels = images::labels(image);
    let recipe = labels.as_ref().and_then(|labels| labels.recipe.clone());
    let freshness = match &recipe {
        Some(recipe) => {
            let again = Wanted::again(recipe).recipe(&node.engine).await.or_problem()?;
            again.freshness(labels.as_ref())
        }
        None => Freshness::Old(vec![Reason::Unknown]),
    };
    let reasons = match labels {
        Some(_) => freshness.reasons(),
        None => vec!["dwell did not build it".to_owned()],
    };
    let agents = recipe.iter().flat_map(|recipe| &recipe.agents).map(ToString::to_string);
    Ok(SeenImage {
        tag: tag.to_owned(),
        state: freshness.as_str().to_owned(),
        reasons,
        size: image.size,
        created: image.created,
        agents: agents.collect(),
        base: recipe.map(|recipe| recipe.base.to_string()),
    })
}

impl IntoProblem for ImageError {
    fn into_problem(self) -> Problem {
        let message = self.to_string();
        match self {
            Self::Engine(error) => error.into_problem(),
            Self::Process(ProcessError::Missing { .. }) => {
                Problem::new(Code::ToolMissing, message).hint("install Docker's command line")
            }
            Self::Process(ProcessError::TimedOut { .. }) => Problem::new(Code::Timeout, message),
            Self::Process(_) => Problem::new(Code::ToolFailed, message),
            Self::Base { base, .. } => {
                Problem::new(Code::NotFound, message).hint(if base.as_str() == DEFAULT_BASE {
                    "name an image that is here: --base debian:bookworm"
                } else {
                    "name an image that is here, or one that can be pulled"
                })
            }
            Self::Files(_) => Problem::new(Code::State, message),
            Self::Failed { told, .. } => Problem::new(Code::ToolFailed, message)
                .details(told)
                .hint("--verbose shows all that the build writes"),
        }
    }
}
