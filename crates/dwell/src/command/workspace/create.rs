//! `workspace create`: with what follows the person, where that is wanted.

use dwell_api::endpoint;
use dwell_api::remote::OnNode;
use dwell_api::workspace::CreateWorkspace;

use super::act;
use crate::arguments::workspace::Create;
use crate::command::config::push::gather;
use crate::command::{Context, node_config};
use crate::failure::Ended;

/// Makes a workspace.
pub(super) async fn run(it: Create, context: &Context) -> Ended {
    let quiet = context.output.is_quiet().then(|| it.name.to_string());
    let person = node_config(&context.paths)?.person;
    let wants_settings = it.settings || (person.settings && !it.no_settings);
    let settings = if wants_settings { Some(gather(&[], false)?.settings) } else { None };
    let dotfiles = it.dotfiles.or(person.dotfiles.filter(|_| !it.no_dotfiles));
    // What dotfiles say is the person's own.
    let output = match dotfiles {
        Some(_) => context.output.clone().verbose(true),
        None => context.output.clone(),
    };
    let context = &Context { output, paths: context.paths.clone() };
    let body = CreateWorkspace {
        name: it.name,
        image: it.image,
        sizing: it.class,
        environments: it.env,
        settings,
        dotfiles,
    };
    let path = endpoint::query(endpoint::WORKSPACES, &OnNode { node: it.node });
    act(&path, &body, context).await?;
    if let Some(name) = quiet {
        context.output.text(&name)?;
    }
    Ok(0)
}
