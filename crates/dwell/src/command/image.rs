//! `image`: building workspace images with this machine's engine, and telling whether they are
//! fresh. No daemon takes part.

use std::collections::BTreeSet;
use std::time::Instant;

use dwell_api::{Code, Event, Problem, StepState};
use dwell_core::image::{
    DEFAULT_BASE, Freshness, HASH_LABEL, ImageName, Labels, Reason, Recipe, Variant,
};
use dwell_drivers::docker::{Engine, EngineError, Image};
use dwell_drivers::image::{self as images, ImageError, Wanted};
use dwell_drivers::process::ProcessError;

use super::Context;
use crate::arguments::image as arguments;
use crate::arguments::image::ImageAction;
use crate::failure::{Ended, Failure};
use crate::output::image::{self as show, Built, Checked, Listed};

/// Runs `image`.
pub(crate) async fn run(it: arguments::Image, context: &Context) -> Ended {
    let engine = Engine::locate().await.map_err(engine_problem)?;
    match it.action {
        ImageAction::Build(it) => build(it, &engine, context).await,
        ImageAction::Ls(_) => ls(&engine, context).await,
        ImageAction::Check(it) => check(it, &engine, context).await,
    }
}

async fn build(it: arguments::Build, engine: &Engine, context: &Context) -> Ended {
    let wanted = Wanted { variant: it.variant, base: it.base.clone(), agents: it.wanted_agents() };
    let tag = tag(&it.repository, it.variant);
    let found = engine.image(&tag).await.map_err(engine_problem)?;
    let labels = found.as_ref().and_then(images::labels);
    if it.pull {
        images::provide_base(engine, &wanted.base, true).await.map_err(problem)?;
    }
    let recipe = wanted.recipe(engine).await.map_err(problem)?;
    let freshness = recipe.freshness(labels.as_ref());
    if let Some(image) = found.filter(|_| freshness == Freshness::Fresh && !it.force) {
        let hash = labels.map(|labels| labels.hash).unwrap_or_default();
        let built = Built { tag, built: false, hash, size: image.size, seconds: None };
        context.output.result(&built, |built, _| show::built(built))?;
        return Ok(0);
    }
    freshness.reasons().iter().for_each(|why| context.output.note(&format!("{tag}: {why}")));
    images::provide_base(engine, &wanted.base, false).await.map_err(problem)?;
    // Only now is it certain that the base has an id.
    let recipe = wanted.recipe(engine).await.map_err(problem)?;
    let began = Instant::now();
    let image = built(engine, &it.repository, &recipe, it.force, context).await?;
    let seconds = Some(began.elapsed().as_secs());
    let built = Built { tag, built: true, hash: recipe.hash(), size: image.size, seconds };
    context.output.result(&built, |built, _| show::built(built))?;
    Ok(0)
}

/// Builds an image and shows how that goes on; a Ctrl-C ends it.
async fn built(
    engine: &Engine,
    repository: &ImageName,
    recipe: &Recipe,
    afresh: bool,
    context: &Context,
) -> Result<Image, Failure> {
    let mut progress = context.output.progress();
    let step = format!("building {}", tag(repository, recipe.variant));
    progress.event(&Event::Step { step: step.clone(), state: StepState::Started });
    let build = images::build(engine, repository, recipe, afresh, |line| {
        progress.event(&Event::Output { line });
    });
    let ended = tokio::select! {
        ended = build => ended.map_err(|error| Failure::from(problem(error))),
        _ = tokio::signal::ctrl_c() => {
            Err(Problem::new(Code::Interrupted, "the build was interrupted").into())
        }
    };
    match ended {
        Ok(image) => {
            progress.event(&Event::Step { step, state: StepState::Done });
            Ok(image)
        }
        Err(failure) => {
            progress.finish();
            Err(failure)
        }
    }
}

async fn ls(engine: &Engine, context: &Context) -> Ended {
    let mut listed = Vec::new();
    for image in engine.labelled_images(HASH_LABEL).await.map_err(engine_problem)? {
        let Some(labels) = images::labels(&image) else { continue };
        let (state, _) = freshness(engine, Some(&labels)).await?;
        for tag in &image.tags {
            listed.push(Listed::new(tag, state, &image, labels.recipe.as_ref()));
        }
    }
    listed.sort_by(|a, b| a.tag.cmp(&b.tag));
    if context.output.is_quiet() {
        let tags: String = listed.iter().map(|image| format!("{}\n", image.tag)).collect();
        context.output.text(&tags)?;
    } else {
        context
            .output
            .result(&listed, |listed, style| show::listed(listed, super::now(), style))?;
    }
    Ok(0)
}

async fn check(it: arguments::Check, engine: &Engine, context: &Context) -> Ended {
    let asked: BTreeSet<Variant> = it.variants.iter().copied().collect();
    let mut checked = Vec::new();
    for variant in Variant::ALL {
        let tag = tag(&it.repository, variant);
        let image = engine.image(&tag).await.map_err(engine_problem)?;
        let by_default = asked.is_empty() && (image.is_some() || variant == Variant::Base);
        if by_default || asked.contains(&variant) {
            let labels = image.as_ref().and_then(images::labels);
            let (state, reasons) = match (&image, &labels) {
                (Some(_), None) => ("old", vec!["dwell did not build it".to_owned()]),
                _ => freshness(engine, labels.as_ref()).await?,
            };
            checked.push(Checked { tag, state, reasons });
        }
    }
    let fresh = checked.iter().all(|image| image.state == "fresh");
    context.output.result(&checked, |checked, style| show::checked(checked, style))?;
    Ok(u8::from(!fresh))
}

/// The state of an image in a word, and why, against what it would be if it were built again.
async fn freshness(
    engine: &Engine,
    labels: Option<&Labels>,
) -> Result<(&'static str, Vec<String>), Failure> {
    let Some(found) = labels else { return Ok((Freshness::Missing.as_str(), Vec::new())) };
    let freshness = match &found.recipe {
        Some(recipe) => {
            let again = Wanted::again(recipe).recipe(engine).await.map_err(problem)?;
            again.freshness(labels)
        }
        None => Freshness::Old(vec![Reason::Unknown]),
    };
    Ok((freshness.as_str(), freshness.reasons()))
}

fn tag(repository: &ImageName, variant: Variant) -> String {
    format!("{repository}:{variant}")
}

fn problem(error: ImageError) -> Problem {
    let message = error.to_string();
    match error {
        ImageError::Engine(error) => engine_problem(error),
        ImageError::Process(ProcessError::Missing { .. }) => {
            Problem::new(Code::ToolMissing, message).hint("install Docker's command line")
        }
        ImageError::Process(ProcessError::TimedOut { .. }) => Problem::new(Code::Timeout, message),
        ImageError::Process(_) => Problem::new(Code::ToolFailed, message),
        ImageError::Base { base, .. } => {
            Problem::new(Code::NotFound, message).hint(if base.as_str() == DEFAULT_BASE {
                "name an image that is here: --base debian:bookworm"
            } else {
                "name an image that is here, or one that can be pulled"
            })
        }
        ImageError::Files(_) => Problem::new(Code::State, message),
        ImageError::Failed { told, .. } => Problem::new(Code::ToolFailed, message)
            .details(told)
            .hint("--verbose shows all that the build writes"),
    }
}

fn engine_problem(error: EngineError) -> Problem {
    let message = error.to_string();
    match error {
        EngineError::Unreachable { .. } => Problem::new(Code::EngineUnreachable, message)
            .hint("start Docker, or set DOCKER_HOST; `dwell doctor` tells more"),
        EngineError::TimedOut { .. } => Problem::new(Code::Timeout, message),
        EngineError::NotFound(_) => Problem::new(Code::NotFound, message),
        EngineError::Conflict(_) => Problem::new(Code::Conflict, message),
        EngineError::Other(_) => Problem::new(Code::ToolFailed, message),
    }
}
