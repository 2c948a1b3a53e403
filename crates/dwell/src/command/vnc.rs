//! `vnc`: the desktop of a workspace in a browser.

use dwell_api::desktop::{ChangeDesktop, Desktop, OpenViewer, Viewer};
use dwell_api::endpoint;
use dwell_api::workspace::Workspace as Shown;

use super::url::open;
use super::workspace::of;
use super::{Context, idempotency_key};
use crate::arguments::vnc::Vnc;
use crate::failure::Ended;

/// Starts the desktop and shows it, or ends it.
pub(crate) async fn run(it: Vnc, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let shown: Shown = client.get(&of(endpoint::WORKSPACE, &it.name)).await?;
    let path = of(endpoint::WORKSPACE_DESKTOP, &it.name);
    let body = ChangeDesktop { run: it.action.is_none(), size: it.size };
    let desktop: Desktop = client.post(&path, &idempotency_key()?, &body).await?;
    let name = &shown.name;
    if it.action.is_some() {
        context.output.note(&match desktop.changed {
            true => format!("the desktop of `{name}` has ended"),
            false => format!("`{name}` has no desktop that runs"),
        });
        return Ok(0);
    }
    let body = OpenViewer { workspace: shown.id };
    let viewer: Viewer = client.post(endpoint::VIEWERS, &idempotency_key()?, &body).await?;
    context.output.result(&viewer, |viewer, _| viewer.url.clone())?;
    if !it.print {
        open(&viewer.url)?;
    }
    Ok(0)
}
