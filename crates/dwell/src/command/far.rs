//! Commands that run in an environment's tree on another node, with our terminal or our pipes.

use dwell_api::environment::{Environment, Variables};
use dwell_api::exec::{Command, CommandKind, PROTOCOL};
use dwell_api::{Client, endpoint};

use dwell_core::agent::Agent;

use super::Context;
use super::environment::of;
use super::exec::converse;
use crate::failure::Ended;
use crate::terminal;

/// Variables of our terminal and language that a command elsewhere should know.
const PASSED: &[&str] = &["COLORTERM", "LANG", "NO_COLOR", "TERM", "TZ"];

/// Runs a command where the environment is and gives its exit code.
pub(crate) async fn run(
    environment: &Environment,
    what: CommandKind,
    given: Vec<(String, String)>,
    context: &Context,
) -> Ended {
    let interactive = terminal::is_interactive();
    let body = Command {
        project: None,
        what,
        terminal: if interactive { terminal::size().or(Some((80, 24))) } else { None },
        variables: variables(given),
    };
    let client = context.connect().await?;
    let stream = client.upgrade(&of(endpoint::COMMAND, environment), PROTOCOL, &body).await?;
    let raw = if interactive { terminal::Raw::enter() } else { None };
    let (read, write) = tokio::io::split(stream);
    let stdin = !terminal::has_no_input();
    let ended = converse(read, write, stdin, interactive, context).await;
    drop(raw);
    ended
}

/// Tells which keys an agent will miss on another node: none leaves this machine unless it is
/// given.
pub(crate) async fn tell_of_keys(
    client: &mut Client,
    environment: &Environment,
    command: &[String],
    given: &[(String, String)],
    context: &Context,
) {
    let Some(agent) = command.first().and_then(|program| Agent::of(program)) else { return };
    let Some(node) = &environment.node else { return };
    // Whether it has a key there is only good to know.
    let Ok(names) = client.get::<Vec<String>>(&of(endpoint::LOGIN, environment)).await else {
        return;
    };
    let is_there = |name: &str| {
        names.iter().any(|other| other == name) || given.iter().any(|(other, _)| other == name)
    };
    let is_here = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    for name in agent.keys_left_behind(is_here, is_there) {
        let title = agent.title;
        context.output.note(&format!(
            "note: {name} is set here and not on {node}, and is not sent; if {title} needs it \
             there, pass `--env {name}`"
        ));
    }
}

/// What a command on another node gets of this shell: the terminal's and the language's
/// variables, and those that the user gave. Everything else here is about this machine.
pub(crate) fn variables(given: Vec<(String, String)>) -> Variables {
    let passed =
        PASSED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut all: Vec<(String, String)> =
        passed.filter(|(name, _)| !given.iter().any(|(other, _)| other == name)).collect();
    all.extend(given);
    Variables(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_leaves_this_machine() {
        let all = variables(vec![("TOKEN".to_owned(), "t".to_owned())]).0;
        assert!(all.contains(&("TOKEN".to_owned(), "t".to_owned())));
        let known = |name: &str| name == "TOKEN" || PASSED.contains(&name);
        assert!(all.iter().all(|(name, _)| known(name)), "{all:?}");
    }
}
