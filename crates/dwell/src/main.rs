//! The dwell binary: reads the command line and takes on the role that it asks for.

mod arguments;
mod command;
mod connect;
mod failure;
mod output;
mod picker;
mod project;
mod roles;
mod target;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use dwell_api::{Code, Problem};

use arguments::{Arguments, Command, Format};
use command::Context;
use failure::{Ended, Failure};
use output::Output;

/// What a shell sees of a program that a closed pipe ended: 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let output = Output::new(arguments.format(), arguments.common.no_input)
        .verbose(arguments.common.verbose);
    let context = Context::new(output);
    let code = match role(arguments.command, &context) {
        Ok(code) => code,
        Err(Failure::Exit(code)) => code,
        Err(Failure::BrokenPipe) => BROKEN_PIPE,
        Err(Failure::Problem(problem)) => {
            context.output.problem(&problem);
            problem.code.exit_code()
        }
    };
    // Not a return from `main`: a thread may still wait for standard input.
    std::process::exit(i32::from(code));
}

/// Roles that are not clients of a node come first; none of them needs a runtime of ours.
fn role(command: Command, context: &Context) -> Ended {
    match command {
        Command::SessionShim(shim) => roles::session_shim(&shim),
        Command::AgentHook(it) => roles::agent_hook(&it),
        Command::SessionTerminal(terminal) => roles::session_terminal(&terminal),
        Command::Relay(relay) => roles::relay(&relay),
        Command::RsyncShell(shell) => roles::rsync_shell(&shell),
        Command::WorkspaceInit => roles::workspace_init(),
        Command::WorkspaceCommands => roles::workspace_commands(),
        Command::WorkspaceInside => roles::workspace_inside(),
        Command::WorkspaceViewer => roles::workspace_viewer(context),
        Command::WorkspaceListening => roles::workspace_listening(context),
        Command::WorkspaceSettings => roles::workspace_settings(),
        Command::WorkspaceMcp => roles::mcp::workspace(),
        Command::WorkspaceBrowser => roles::mcp::browser(),
        Command::WorkspaceCredentials => roles::workspace_credentials(),
        Command::WorkspaceSigns => roles::workspace_signs(context),
        Command::WorkspaceHostname(it) => roles::workspace_hostname(&it),
        Command::EmptyDirectory(place) => roles::empty_directory(&place),
        Command::Node(node) if let Some(background) = node.as_daemon() => {
            roles::daemon(context, background)
        }
        Command::Completion(completion) => command::completion::run(&completion, &context.output),
        Command::Init(init) => command::config::init(&init, context),
        client => command::block_on(command::run(client, context))?,
    }
}

/// A command line that was not understood; help and version come this way too.
fn refused(error: &clap::Error) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let json = words.iter().any(|word| word == "--json")
        || std::env::var("DWELL_OUTPUT").is_ok_and(|format| format == "json");
    if error.use_stderr() && json {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let problem = Problem::new(Code::Usage, message).hint("`dwell --help` shows how");
        Output::new(Format::Json, true).problem(&problem);
    } else {
        // Where nobody reads it, the exit code still tells.
        let _ = error.print();
    }
    ExitCode::from(if error.use_stderr() { Code::Usage.exit_code() } else { 0 })
}
