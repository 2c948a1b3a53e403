//! `workspace create`: with what follows the person, where that is wanted.

use dwell_api::remote::OnNode;
use dwell_api::workspace::CreateWorkspace;
use dwell_api::{Problem, endpoint};
use dwell_core::WorkspaceName;

use super::act;
use crate::arguments::workspace::Create;
use crate::command::config::push::gather;
use crate::command::{Context, node_config};
use crate::failure::Ended;

/// Makes a workspace.
pub(super) async fn run(it: Create, context: &Context) -> Ended {
    let quiet = context.output.is_quiet().then(|| it.name.to_string());
    let mut body = usual(it.name, context)?;
    if it.settings && body.settings.is_none() {
        body.settings = Some(gather(&[], false)?.settings);
    }
    body.settings = body.settings.filter(|_| !it.no_settings);
    body.dotfiles = it.dotfiles.or(body.dotfiles.filter(|_| !it.no_dotfiles));
    body.image = it.image;
    body.sizing = it.class;
    body.environments = it.env;
    body.credentials = it.credentials.into_iter().collect();
    body.docker = it.docker;
    body.android = it.android;
    // What dotfiles say is the person's own.
    let output = match body.dotfiles {
        Some(_) => context.output.clone().verbose(true),
        None => context.output.clone(),
    };
    let context = &Context { output, paths: context.paths.clone() };
    let path = endpoint::query(endpoint::WORKSPACES, &OnNode { node: it.node });
    act(&path, &body, context).await?;
    if let Some(name) = quiet {
        context.output.text(&name)?;
    }
    Ok(0)
}

/// A workspace with what the person has follow into every one.
pub(crate) fn usual(name: WorkspaceName, context: &Context) -> Result<CreateWorkspace, Problem> {
    let person = node_config(&context.paths)?.person;
    let mut body = CreateWorkspace::named(name);
    if person.settings {
        body.settings = Some(gather(&[], false)?.settings);
    }
    body.dotfiles = person.dotfiles;
    Ok(body)
}
