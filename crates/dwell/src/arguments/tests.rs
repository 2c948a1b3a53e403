//! What command lines mean; among them each of Cilo's, with the name changed.

use clap::{CommandFactory, Parser};

use super::environment::WaitState;
use super::*;

fn parse(line: &str) -> Command {
    arguments(line).command
}

fn arguments(line: &str) -> Arguments {
    let words = std::iter::once("dwell").chain(line.split_whitespace());
    Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> String {
    let words = std::iter::once("dwell").chain(line.split_whitespace());
    Arguments::try_parse_from(words).err().unwrap_or_else(|| panic!("{line} parses")).to_string()
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_line_of_cilo_parses() {
    for line in [
        "create agent-1",
        "create agent-1 --from ../shop --include .env* --project shop",
        "create agent-1 --empty",
        "up agent-1 --build --recreate --project shop",
        "up agent-1 --shared db,cache --isolate web",
        "up agent-1 --from ../shop",
        "down agent-1 --project shop",
        "destroy agent-1 --keep-workspace --force --project shop",
        "destroy agent-1 -f",
        "destroy --all --force",
        "run opencode agent-1",
        "run opencode agent-1 --model x",
        "run --from . --project shop --no-up --no-create npm agent-1 test",
        "run --env A=b --env C npm agent-1 test",
        "list",
        "list --format table --all --project shop",
        "list --format json",
        "ls --format quiet",
        "status agent-1 --project shop",
        "logs agent-1",
        "logs agent-1 web -f --tail 20 --project shop",
        "exec agent-1 web",
        "exec -i -t agent-1 web sh",
        "exec -i=false -t=false agent-1 web ls -la",
        "path agent-1 --project shop",
        "compose agent-1",
        "compose agent-1 logs -f",
        "diff agent-1 --project shop",
        "merge agent-1",
        "config",
        "doctor",
        "setup",
        "init --name shop --compose a.yml --env-file .env --dns-suffix .test --force",
    ] {
        let _ = parse(line);
    }
}

#[test]
fn everything_after_the_environment_belongs_to_the_command() {
    for (line, command, rest) in [
        ("run claude a1 -p x --model y", "claude", "-p x --model y"),
        ("run claude a1 --json", "claude", "--json"),
        ("run claude a1 --detach -q --help", "claude", "--detach -q --help"),
        ("run -d --from . claude a1 --from z", "claude", "--from z"),
        ("run claude --no-up a1 --no-up", "claude", "--no-up"),
        ("run npm a1 -- test -- --suite", "npm", "test -- --suite"),
        ("run npm a1 test", "npm", "test"),
        ("run npm a1", "npm", ""),
    ] {
        let Command::Run(run) = parse(line) else { panic!("{line}") };
        let words = EnvironmentAndRest::new(&run.words).unwrap();
        assert_eq!(run.command.as_deref(), Some(command), "{line}");
        assert_eq!(words.environment.as_str(), "a1", "{line}");
        assert_eq!(words.rest.join(" "), rest, "{line}");
    }
    for (line, rest) in [
        ("compose a1 logs -f --project x", "logs -f --project x"),
        ("compose a1 --help", "--help"),
        ("compose --project shop a1 -- ps", "ps"),
    ] {
        let Command::Compose(compose) = parse(line) else { panic!("{line}") };
        let words = EnvironmentAndRest::new(&compose.words).unwrap();
        assert_eq!(words.rest.join(" "), rest, "{line}");
    }
    for (line, rest) in [
        ("exec a1 web ls -la", "web ls -la"),
        ("exec a1 web -- ls", "web -- ls"),
        ("exec -T --index 2 a1 web psql -U x --json", "web psql -U x --json"),
        ("exec a1 -T web cat -n", "web cat -n"),
    ] {
        let Command::Exec(exec) = parse(line) else { panic!("{line}") };
        let words: Vec<_> = exec.words.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(words.join(" "), rest, "{line}");
    }
}

#[test]
fn an_option_that_does_not_exist_is_not_taken_for_an_environment() {
    let Command::Run(run) = parse("run claude --modle x a1") else { panic!("not run") };
    let problem = EnvironmentAndRest::new(&run.words).unwrap_err();
    assert!(problem.message.contains("--modle"), "{problem}");
    let Command::Run(run) = parse("run claude") else { panic!("not run") };
    assert!(EnvironmentAndRest::new(&run.words).is_err());
}

#[test]
fn hostile_names_are_refused() {
    for line in [
        "create ../../victim",
        "up a1 --project ../../victim",
        "destroy /etc",
        "status a1;rm",
        "logs a1 we/b",
        "exec ../x web",
        "init --dns-suffix local",
    ] {
        assert!(refused(line).contains("invalid value"), "{line}");
    }
    let Command::Run(run) = parse("run sh ../../victim") else { panic!("not run") };
    assert!(EnvironmentAndRest::new(&run.words).is_err());
}

#[test]
fn contradictions_are_refused() {
    for line in [
        "create a1 --empty --from .",
        "destroy",
        "destroy a1 --all",
        "run --detach --no-session sh a1",
        "exec -t -T a1 web",
        "diff a1 --stat --name-only",
        "send a1",
        "logs a1 web --session claude",
        "logs a1 -n many",
        "wait a1 --for happy",
        "wait a1 --timeout 5d",
        "exec --index 0 a1 web",
        "frobnicate",
        "",
    ] {
        assert!(!refused(line).is_empty(), "{line}");
    }
}

#[test]
fn names_are_optional_where_a_place_can_tell() {
    for line in [
        "up", "down", "status", "logs", "path", "diff", "merge", "sync", "attach", "url", "env",
        "wait", "sessions",
    ] {
        let _ = parse(line);
    }
}

#[test]
fn resuming_takes_a_name_only_after_an_equals_sign() {
    let Command::Run(run) = parse("run --resume a1") else { panic!("not run") };
    assert_eq!((run.resume, run.command.as_deref()), (Some(None), Some("a1")));
    let Command::Run(run) = parse("run --resume=claude a1") else { panic!("not run") };
    assert_eq!(run.resume.unwrap().unwrap().as_str(), "claude");
    assert_eq!(run.command.as_deref(), Some("a1"));
}

#[test]
fn the_output_format_has_many_spellings() {
    for (line, want) in [
        ("ls --json", Format::Json),
        ("ls -o json", Format::Json),
        ("--json ls", Format::Json),
        ("ls --format json", Format::Json),
        ("ls -q", Format::Quiet),
        ("ls --format quiet", Format::Quiet),
        ("ls --format table -o json", Format::Table),
    ] {
        assert_eq!(arguments(line).format(), want, "{line}");
    }
}

#[test]
fn values_reach_their_places() {
    let Command::Wait(wait) = parse("wait a1 --for idle --timeout 2m") else { panic!("not wait") };
    assert_eq!((wait.state, wait.timeout), (WaitState::Idle, Seconds(120)));
    let Command::Up(up) = parse("up A1 --shared db,cache") else { panic!("not up") };
    assert_eq!(up.name.unwrap().as_str(), "a1");
    assert_eq!(up.shared.len(), 2);
    let Command::Logs(logs) = parse("logs a1 -n all") else { panic!("not logs") };
    assert_eq!(logs.tail.0, None);
    let Command::Send(send) = parse("send a1 --no-enter go on -x") else { panic!("not send") };
    assert!(send.no_enter);
    assert_eq!(send.text, ["go", "on", "-x"]);
    let Command::Merge(merge) = parse("merge a1 -m done --squash") else { panic!("not merge") };
    assert_eq!((merge.commit.as_deref(), merge.squash), (Some("done"), true));
    let Command::Sessions(sessions) = parse("sessions kill a1 claude") else { panic!("not it") };
    assert!(sessions.action.is_some());
}

#[test]
fn workspaces_are_named_and_what_follows_belongs_to_the_command() {
    use super::workspace::WorkspaceAction;
    let action = |line: &str| match parse(line) {
        Command::Workspace(it) => it.action,
        other => panic!("{line}: {other:?}"),
    };
    let WorkspaceAction::Exec(exec) = action("ws exec -u root box ls -la --json") else {
        panic!("not exec")
    };
    assert_eq!((exec.name.as_str(), exec.words.len()), ("box", 3));
    let create = "workspace create Box --class cpu=1 --image a:b --env red --env shop/blue";
    let WorkspaceAction::Create(create) = action(create) else { panic!("not create") };
    assert_eq!(create.name.as_str(), "box");
    let projects: Vec<_> = create.env.iter().map(|env| env.project.is_some()).collect();
    assert_eq!(projects, [false, true]);
    for line in [
        "ws create box --class huge",
        "ws create box --image --privileged",
        "ws resize box",
        "ws join box ../x",
        "ws destroy",
        "ws",
    ] {
        assert!(!refused(line).is_empty(), "{line}");
    }
}

#[test]
fn the_help_names_every_visible_command_once() {
    let help = Arguments::command().render_help().to_string();
    for command in Arguments::command().get_subcommands().filter(|c| !c.is_hide_set()) {
        let start = format!("  {} ", command.get_name());
        assert_eq!(help.matches(&start).count(), 1, "{}\n{help}", command.get_name());
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains("Examples:"), "`{}` shows no examples", command.get_name());
        assert!(command.get_about().is_some(), "`{}` says not what it is", command.get_name());
    }
}
