//! `connect`: the screen on which a workspace and a session are chosen, and what its keys have done.

mod act;
mod look;

use std::time::Duration;

use dwell_api::{Code, Problem};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub(crate) use look::Found;

use super::Context;
use crate::arguments::connect::Connect;
use crate::failure::{Ended, Failure, usage};
use crate::output::connect as show;
use crate::picker::terminal::{News, Page};
use crate::picker::{Effect, Input, Model, update};
use crate::terminal;

/// How long the first frame waits for what there is to show.
const FIRST: Duration = Duration::from_millis(80);
/// The exit code of a program that SIGTERM ended.
const TERMINATED: u8 = 143;
/// The same for SIGINT.
const INTERRUPTED: u8 = 130;

/// Shows the screen, or prints what would be on it.
pub(crate) async fn run(it: Connect, context: &Context) -> Ended {
    if it.plain || context.output.is_json() || context.output.is_quiet() {
        return print(&it, context).await;
    }
    let is_dumb = std::env::var("TERM").is_ok_and(|kind| kind == "dumb" || kind.is_empty());
    if !terminal::is_interactive() || is_dumb {
        return Err(usage("the screen needs a terminal that can be drawn on")
            .hint("`dwell connect --plain` lists workspaces and sessions; `dwell attach <workspace> <session>`")
            .into());
    }
    // What is wrong with the daemon is said before the screen is taken.
    let mut client = context.connect().await?;
    let mut model = Model::new();
    let first = match &it.name {
        Some(name) => Some(look::one(&mut client, name).await?),
        None => None,
    };
    let (sender, inputs) = mpsc::unbounded_channel();
    let (watched, watching) = watch::channel(None);
    let looking = tokio::spawn(look::follow(context.clone(), sender.clone(), watching));
    if let Some(row) = first {
        let id = row.id.clone();
        update(&mut model, Input::Workspaces(vec![row]));
        // It is shown whatever its state; nothing is started by it.
        update(&mut model, Input::Ready { id: id.clone() });
        watched.send_replace(Some(id));
    }
    let mut page = Page::open()
        .map_err(|e| Problem::new(Code::InvalidArgument, format!("no terminal: {e}")))?;
    let screen = Screen { context, sender, watched };
    let ended = screen.serve(&mut page, &mut model, inputs).await;
    looking.abort();
    drop(page);
    ended
}

/// What the screen works with.
struct Screen<'a> {
    context: &'a Context,
    sender: mpsc::UnboundedSender<Input>,
    watched: watch::Sender<Option<String>>,
}

impl Screen<'_> {
    async fn serve(
        &self,
        page: &mut Page,
        model: &mut Model,
        mut inputs: mpsc::UnboundedReceiver<Input>,
    ) -> Ended {
        let (mut term, mut hup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        let mut int = signal(SignalKind::interrupt())?;
        if let Ok(Some(input)) = tokio::time::timeout(FIRST, inputs.recv()).await {
            update(model, input);
        }
        loop {
            page.draw(model)?;
            let happened = tokio::select! {
                input = inputs.recv() => input.into_iter().collect(),
                news = page.news() => keys(&news?),
                _ = term.recv() => return Ok(TERMINATED),
                _ = hup.recv() => return Ok(TERMINATED),
                _ = int.recv() => return Ok(INTERRUPTED),
            };
            for input in happened {
                let effect = update(model, input);
                if effect == Effect::Quit {
                    return Ok(0);
                }
                if self.take_effect(effect, page, model).await? {
                    // Ctrl-C was for what had the terminal.
                    int = signal(SignalKind::interrupt())?;
                }
            }
            self.watched.send_if_modified(|watched| {
                let now = model.watched();
                let changed = *watched != now;
                *watched = now;
                changed
            });
        }
    }

    /// Does what a key asks for; gives whether the terminal was lent for it.
    async fn take_effect(
        &self,
        effect: Effect,
        page: &mut Page,
        model: &mut Model,
    ) -> Result<bool, Failure> {
        match effect {
            Effect::Nothing | Effect::Quit => Ok(false),
            Effect::Attach { workspace, session } => {
                let words = ["attach", &workspace, &session].map(str::to_owned);
                self.lend(words.into(), page, model).await?;
                Ok(true)
            }
            Effect::NewSession { workspace, name, command } => {
                let mut words =
                    ["run", "--in", &workspace, "--name", &name].map(str::to_owned).to_vec();
                if !command.is_empty() {
                    words.push("--".to_owned());
                    words.extend(command);
                }
                self.lend(words, page, model).await?;
                Ok(true)
            }
            other => {
                let (context, sender) = (self.context.clone(), self.sender.clone());
                tokio::spawn(async move {
                    // Where nobody takes it the screen is gone.
                    let _ = sender.send(act::act(other, &context).await);
                });
                Ok(false)
            }
        }
    }

    /// Gives the terminal to a command of ours, and tells how that ended.
    async fn lend(
        &self,
        words: Vec<String>,
        page: &mut Page,
        model: &mut Model,
    ) -> Result<(), Failure> {
        let done = page.lend(act::in_terminal(&words)).await?;
        update(model, done);
        // What changed meanwhile is looked at now.
        self.watched.send_modify(|_| {});
        Ok(())
    }
}

fn keys(news: &[News]) -> Vec<Input> {
    let key = |news: &News| match news {
        News::Key(key) => Some(Input::Key(*key)),
        News::Resized => None,
    };
    news.iter().filter_map(key).collect()
}

async fn print(it: &Connect, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let mut all = look::everything(&mut client).await?;
    if let Some(name) = &it.name {
        let wanted = look::one(&mut client, name).await?;
        all.retain(|found| found.workspace.id.as_str() == wanted.id);
    }
    if context.output.is_quiet() {
        let names: String = all.iter().map(|it| format!("{}\n", it.workspace.name)).collect();
        context.output.text(&names)?;
        return Ok(0);
    }
    context.output.result(&all, |all, style| show::list(all, super::now(), style))?;
    Ok(0)
}
