//! `credentials`: sign-ins of agents that workspaces share. What is in them is never printed.

use std::path::PathBuf;

use dwell_api::credentials::{Credentials as Shown, ImportCredentials};
use dwell_api::{Code, Problem, endpoint};
use dwell_core::credentials::{SignIn, file_name};

use super::{Context, idempotency_key, now};
use crate::arguments::credentials::{Credentials, CredentialsAction as Action};
use crate::failure::{Ended, Failure};
use crate::output::Table;
use crate::output::show::age;

/// Lists, takes over or forgets.
pub(crate) async fn run(it: Credentials, context: &Context) -> Ended {
    match it.action {
        Action::Ls => ls(context).await,
        Action::Import { agent, from } => import(agent, from, context).await,
        Action::Forget { agent } => {
            let path = endpoint::fill(endpoint::CREDENTIALS_FORGET, &[agent.as_str()]);
            let mut client = context.connect().await?;
            let left: Shown = client.post(&path, &idempotency_key()?, &()).await?;
            context.output.result(&left, |_, _| format!("{agent}'s sign-in is forgotten\n"))?;
            Ok(0)
        }
    }
}

async fn ls(context: &Context) -> Ended {
    let all: Vec<Shown> = context.connect().await?.get(endpoint::CREDENTIALS).await?;
    context.output.result(&all, |all, style| {
        let mut table = Table::new(&["AGENT", "RENEWED", "WORKSPACES"]);
        for it in all {
            let renewed = it.renewed.map(|at| format!("{} ago", age(at, now())));
            let names: Vec<&str> = it.workspaces.iter().map(|name| name.as_str()).collect();
            table.row(vec![
                it.agent.to_string(),
                renewed.unwrap_or_else(|| "nobody signed in".to_owned()),
                names.join(", "),
            ]);
        }
        if all.is_empty() {
            return "no sign-in is shared: `dwell ws create <name> --credentials <agent>` does\n"
                .to_owned();
        }
        table.render(style)
    })?;
    Ok(0)
}

async fn import(agent: SignIn, from: Option<PathBuf>, context: &Context) -> Ended {
    let home = std::env::home_dir().unwrap_or_default();
    let files: Vec<(PathBuf, &str)> = match from {
        Some(from) => agent.files().iter().take(1).map(|path| (from.clone(), *path)).collect(),
        None => agent.files().iter().map(|path| (home.join(path), *path)).collect(),
    };
    let mut client = context.connect().await?;
    let mut last: Option<Shown> = None;
    for (place, path) in files {
        let content = match std::fs::read_to_string(&place) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let message = format!("`{}` cannot be read: {error}", place.display());
                return Err(Problem::new(Code::InvalidArgument, message).into());
            }
        };
        let body = ImportCredentials { name: file_name(path).to_owned(), content };
        let path = endpoint::fill(endpoint::CREDENTIALS_IMPORT, &[agent.as_str()]);
        last = Some(client.post(&path, &idempotency_key()?, &body).await?);
    }
    let Some(last) = last else {
        return Err(Failure::from(
            Problem::new(Code::NotFound, format!("there is no file with {agent}'s sign-in"))
                .hint(format!("sign in inside a workspace that has `--credentials {agent}`")),
        ));
    };
    context.output.note(
        "your own sign-in is the same one: once either side has renewed it, the other has to sign in anew",
    );
    context.output.result(&last, |_, _| format!("{agent}'s sign-in is shared\n"))?;
    Ok(0)
}
