//! `image`: building workspace images, and telling whether this machine's are fresh.

use std::collections::BTreeSet;

use dwell_api::image::BuildImage;
use dwell_api::remote::OnNode;
use dwell_api::{Code, Problem, endpoint};
use dwell_core::image::{Freshness, HASH_LABEL, ImageName, Labels, Reason, Variant};
use dwell_drivers::docker::{Engine, EngineError};
use dwell_drivers::image::{self as images, ImageError, Wanted};

use super::Context;
use super::operation::operate;
use crate::arguments::image as arguments;
use crate::arguments::image::ImageAction;
use crate::failure::{Ended, Failure};
use crate::output::image::{self as show, Checked, Listed};

/// Runs `image`.
pub(crate) async fn run(it: arguments::Image, context: &Context) -> Ended {
    match it.action {
        ImageAction::Build(it) => build(it, context).await,
        ImageAction::Ls(_) => ls(&engine().await?, context).await,
        ImageAction::Check(it) => check(it, &engine().await?, context).await,
    }
}

async fn build(it: arguments::Build, context: &Context) -> Ended {
    let path = endpoint::query(endpoint::IMAGES, &OnNode { node: it.node.clone() });
    let agents = it.wanted_agents();
    let arguments::Build { variant, base, repository, force, pull, .. } = it;
    let body = BuildImage { variant, base, agents, repository, force, pull };
    let mut client = context.connect().await?;
    let outcome = operate(context, &mut client, &path, &body, None).await?;
    let image = outcome.image.ok_or_else(|| {
        Problem::new(Code::Internal, "the daemon does not tell what became of the image")
    })?;
    context.output.result(&image, |image, _| show::built(image))?;
    Ok(0)
}

async fn ls(engine: &Engine, context: &Context) -> Ended {
    let mut listed = Vec::new();
    for image in engine.labelled_images(HASH_LABEL).await.map_err(engine_problem)? {
        let Some(labels) = images::labels(&image) else { continue };
        let (state, _) = freshness(engine, Some(&labels)).await?;
        // What was made of a workspace has the labels of its image.
        for tag in image.tags.iter().filter(|tag| !tag.starts_with("dwell-ws-")) {
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

async fn engine() -> Result<Engine, Problem> {
    Engine::locate().await.map_err(engine_problem)
}

/// Asking what an image would be fails with the engine, or where files cannot be read.
fn problem(error: ImageError) -> Problem {
    match error {
        ImageError::Engine(error) => engine_problem(error),
        other => Problem::new(Code::State, other.to_string()),
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
