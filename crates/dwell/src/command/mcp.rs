//! `agent mcp`: servers of the Model Context Protocol for the agents of a workspace.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use dwell_api::snapshot::ChangeSetup;
use dwell_api::{Client, Code, Problem, endpoint};
use dwell_core::WorkspaceName;
use dwell_core::agent::mcp::{
    Add as Wanted, Answer, Offer, Options, Request, Secret, SecretName, Shown, browser_step,
};
use dwell_core::workspace::{GIVEN, SetupStep};

use super::operation::operate;
use super::{Context, idempotency_key};
use crate::arguments::mcp::{Add, Mcp, McpAction as Action};
use crate::failure::{Ended, Failure};
use crate::output::{Style, Table};
use crate::terminal::Silent;

/// Lists, adds or removes.
pub(crate) async fn run(it: Mcp, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    match it.action {
        Action::Ls { workspace } => {
            let all = ask(&mut client, &workspace, &Request::List).await?;
            context.output.result(&all.servers, |all, style| table(all, &workspace, style))?;
            Ok(0)
        }
        Action::Add(it) => add(it, &mut client, context).await,
        Action::Rm { workspace, servers, force } => {
            let mut gone = Answer::default();
            for name in servers {
                let browser = Offer::of(name.as_str()).is_some_and(|offer| offer.browser);
                let request = Request::Remove { name, force };
                let answer = ask(&mut client, &workspace, &request).await?;
                note(&answer, context);
                gone.servers.extend(answer.servers);
                gone.notes.extend(answer.notes);
                if browser {
                    forget_browser(&mut client, &workspace, context).await?;
                }
            }
            context.output.result(&gone, |gone, _| {
                gone.servers.iter().map(|it| format!("{} is removed\n", it.name)).collect()
            })?;
            Ok(0)
        }
    }
}

async fn ask(
    client: &mut Client,
    workspace: &WorkspaceName,
    request: &Request,
) -> Result<Answer, Failure> {
    let path = endpoint::fill(endpoint::WORKSPACE_MCP, &[workspace.as_str()]);
    Ok(client.post(&path, &idempotency_key()?, request).await?)
}

fn note(answer: &Answer, context: &Context) {
    for note in &answer.notes {
        context.output.note(note);
    }
}

async fn add(it: Add, client: &mut Client, context: &Context) -> Ended {
    if !it.command.is_empty() && it.servers.len() != 1 {
        let message = "a command is one server, and needs one name";
        return Err(Problem::new(Code::Usage, message).into());
    }
    let mut added = Answer::default();
    for name in &it.servers {
        let offer = Offer::of(name.as_str()).filter(|_| it.command.is_empty());
        let secrets = secrets(&it, offer, context)?;
        if let Some(offer) = offer {
            context.output.note(&format!("installing {}", offer.package));
        }
        let wanted = Wanted {
            name: name.clone(),
            command: it.command.clone(),
            options: Options { directories: it.directories.clone(), url: it.url.clone() },
            secrets,
            force: it.force,
        };
        let answer = ask(client, &it.workspace, &Request::Add(wanted)).await?;
        note(&answer, context);
        added.servers.extend(answer.servers);
        added.notes.extend(answer.notes);
        if offer.is_some_and(|offer| offer.browser) {
            bring_browser(client, &it.workspace, context).await?;
        }
    }
    context.output.result(&added, |added, style| table(&added.servers, &it.workspace, style))?;
    Ok(u8::from(added.servers.iter().any(|server| server.trouble.is_some())))
}

/// The secrets that a server gets. Without those of one that is there already it keeps them.
fn secrets(
    it: &Add,
    offer: Option<&Offer>,
    context: &Context,
) -> Result<BTreeMap<SecretName, Secret>, Failure> {
    let mut all = BTreeMap::new();
    for name in &it.secrets {
        let value = match variable(name.as_str()) {
            Some(value) => value,
            None => asked(name.as_str(), context)?,
        };
        all.insert(name.clone(), Secret(value));
    }
    let needed = offer.and_then(|offer| Some((offer, offer.secret?)));
    if let Some((offer, needed)) = needed {
        let name: SecretName =
            needed.parse().map_err(|e| Problem::new(Code::Internal, format!("{e}")))?;
        let mut places = std::iter::once(needed).chain(offer.also.iter().copied());
        if !all.contains_key(&name)
            && let Some(value) = places.find_map(variable)
        {
            all.insert(name, Secret(value));
        } else if !all.contains_key(&name) && context.output.can_ask() {
            all.insert(name, Secret(asked(needed, context)?));
        }
    }
    Ok(all)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Asks at the terminal, which does not show what is typed.
fn asked(name: &str, context: &Context) -> Result<String, Failure> {
    if !context.output.can_ask() {
        let message = format!("the secret {name} is not set");
        let hint = "set the variable, or run it at a terminal, which asks";
        return Err(Problem::new(Code::InvalidArgument, message).hint(hint).into());
    }
    eprint!("{name}: ");
    std::io::stderr().flush()?;
    let silent = Silent::enter();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    drop(silent);
    eprintln!();
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn setup(workspace: &WorkspaceName) -> String {
    endpoint::fill(endpoint::WORKSPACE_SETUP, &[workspace.as_str()])
}

fn browser() -> Vec<String> {
    browser_step(&format!("{GIVEN}/dwell"))
}

/// The number of the setup step that sees to the browser, from 1.
async fn browser_number(
    client: &mut Client,
    workspace: &WorkspaceName,
) -> Result<Option<usize>, Failure> {
    let steps: Vec<SetupStep> = client.get(&setup(workspace)).await?;
    let wanted = browser();
    Ok(steps.iter().position(|step| step.command == wanted).map(|index| index + 1))
}

/// Sees to the browser, now and where the file system begins anew.
async fn bring_browser(
    client: &mut Client,
    workspace: &WorkspaceName,
    context: &Context,
) -> Result<(), Failure> {
    if browser_number(client, workspace).await?.is_some() {
        return Ok(());
    }
    let step = SetupStep { command: browser(), user: "root".to_owned() };
    let body = ChangeSetup::Add { step, only_keep: false };
    operate(context, client, &setup(workspace), &body, None).await.map_err(
        |failure| match failure {
            Failure::Problem(problem) => {
                let message = format!("playwright is there, but no browser: {}", problem.message);
                let mut told = Problem::new(problem.code, message).details(problem.details);
                told.hint = Some("`dwell agent mcp add` tries again".to_owned());
                Failure::from(told)
            }
            other => other,
        },
    )?;
    Ok(())
}

async fn forget_browser(
    client: &mut Client,
    workspace: &WorkspaceName,
    context: &Context,
) -> Result<(), Failure> {
    if let Some(number) = browser_number(client, workspace).await? {
        let body = ChangeSetup::Remove { number };
        operate(context, client, &setup(workspace), &body, None).await?;
        context.output.note("Chromium stays until the workspace begins anew");
    }
    Ok(())
}

fn table(all: &[Shown], workspace: &WorkspaceName, style: Style) -> String {
    if all.is_empty() {
        let names: Vec<&str> = Offer::all().iter().map(|offer| offer.name).collect();
        return format!(
            "no server is there: `dwell agent mcp add {workspace} <server>` adds one of {}\n",
            names.join(", ")
        );
    }
    let mut table = Table::new(&["SERVER", "FROM", "ANSWERS", "KNOWN TO"]);
    for it in all {
        let answers = match (&it.tools, &it.trouble) {
            (Some(tools), _) => format!("{} tools", tools.len()),
            (None, Some(trouble)) => format!("no: {trouble}"),
            (None, None) => String::new(),
        };
        let from = it.package.clone().unwrap_or_else(|| it.command.join(" "));
        table.row(vec![it.name.clone(), from, answers, it.agents.join(", ")]);
    }
    table.render(style)
}
