//! Looking after the servers of the Model Context Protocol of a workspace, from inside.

use std::io::{BufRead, Write};

use dwell_api::{Code, Problem};
use dwell_core::agent::mcp::{Answer, Request, browser_script};
use dwell_drivers::mcp::McpError;
use dwell_drivers::process::ProcessError;
use serde::Serialize;

use crate::command::block_on;
use crate::failure::{Ended, Failure};

/// Does what comes on standard input, as whoever runs this; tells what became of it, or the problem,
/// on standard output.
pub(crate) fn workspace() -> Ended {
    match answered() {
        Ok(answer) => print(&answer, 0),
        Err(Failure::Problem(problem)) => print(&problem, problem.code.exit_code()),
        Err(failure) => Err(failure),
    }
}

/// Sees to a browser that Playwright can drive, as root.
pub(crate) fn browser() -> Ended {
    use std::os::unix::process::CommandExt;
    let script = browser_script();
    Err(std::process::Command::new("sh").args(["-c", &script]).exec().into())
}

fn print<T: Serialize>(it: &T, code: u8) -> Ended {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, it).map_err(std::io::Error::from)?;
    out.flush()?;
    Ok(code)
}

fn answered() -> Result<Answer, Failure> {
    let home =
        std::env::home_dir().ok_or_else(|| Problem::new(Code::State, "the home is not known"))?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    // What is in it is told to nobody.
    let request: Request = serde_json::from_str(&line)
        .map_err(|_| Problem::new(Code::Internal, "what is asked is not understood"))?;
    let served = block_on(dwell_drivers::mcp::serve(&home, request))?;
    Ok(served.map_err(problem)?)
}

fn problem(error: McpError) -> Problem {
    let (code, hint) = match &error {
        McpError::NotOffered(_) => {
            (Code::NotFound, Some("`dwell agent mcp add --help` lists those that are"))
        }
        McpError::Option { .. } => (Code::InvalidArgument, None),
        McpError::Secret { .. } => {
            (Code::InvalidArgument, Some("set the variable, or run it at a terminal, which asks"))
        }
        McpError::Taken { .. } => {
            (Code::Exists, Some("give yours another name, or replace that one with --force"))
        }
        McpError::Unknown(_) => (Code::NotFound, Some("`dwell agent mcp ls` lists them")),
        McpError::Install(ProcessError::Missing { .. }) => {
            (Code::ToolMissing, Some("it takes an image with Node.js, such as dwell's own"))
        }
        McpError::Install(ProcessError::TimedOut { .. }) => (Code::Timeout, None),
        McpError::Install(_) => {
            (Code::ToolFailed, Some("the workspace has to reach the registry of npm"))
        }
        McpError::File { .. } => (Code::State, None),
    };
    let problem = Problem::new(code, error.to_string());
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
