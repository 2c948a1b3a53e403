//! `image`: building workspace images, and telling whether those of a node are fresh.

use std::collections::BTreeSet;

use dwell_api::image::{BuildImage, ListImages, SeenImage};
use dwell_api::remote::OnNode;
use dwell_api::{Code, Problem, endpoint};
use dwell_core::image::Variant;

use super::Context;
use super::operation::operate;
use crate::arguments::image as arguments;
use crate::arguments::image::ImageAction;
use crate::failure::{Ended, Failure};
use crate::output::image::{self as show, Checked};

/// Runs `image`.
pub(crate) async fn run(it: arguments::Image, context: &Context) -> Ended {
    match it.action {
        ImageAction::Build(it) => build(it, context).await,
        ImageAction::Ls(it) => ls(it, context).await,
        ImageAction::Check(it) => check(it, context).await,
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

async fn ls(it: arguments::Ls, context: &Context) -> Ended {
    let listed = seen(&ListImages { node: it.node, repository: None }, context).await?;
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

async fn check(it: arguments::Check, context: &Context) -> Ended {
    let query = ListImages { node: it.node, repository: Some(it.repository.clone()) };
    let found = seen(&query, context).await?;
    let asked: BTreeSet<Variant> = it.variants.iter().copied().collect();
    let mut checked = Vec::new();
    for variant in Variant::ALL {
        let tag = format!("{}:{variant}", it.repository);
        let image = found.iter().find(|image| image.tag == tag);
        let by_default = asked.is_empty() && (image.is_some() || variant == Variant::Base);
        if by_default || asked.contains(&variant) {
            checked.push(Checked::new(tag, image));
        }
    }
    let fresh = checked.iter().all(|image| image.state == "fresh");
    context.output.result(&checked, |checked, style| show::checked(checked, style))?;
    Ok(u8::from(!fresh))
}

async fn seen(query: &ListImages, context: &Context) -> Result<Vec<SeenImage>, Failure> {
    let mut client = context.connect().await?;
    Ok(client.get(&endpoint::query(endpoint::IMAGES, query)).await?)
}
