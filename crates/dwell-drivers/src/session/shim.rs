//! The process in a session's tmux pane. It stands between tmux and the command: it gives the
//! command a terminal of its own, passes bytes on in both directions, and keeps every byte of
//! output and the way in which the command ended, whatever becomes of tmux, the daemon and the
//! terminals. (tmux's own `pipe-pane` starts after the command and ends before its last output.)

mod buffer;
mod child;
mod relay;
mod signals;
mod terminal;

use std::io;
use std::path::Path;

use dwell_core::workspace::STOPPING_FILE;

use super::files::{self, Ending, Exit, ExitSlot, Spec, Started};
use super::transcript;
use child::{Child, NotStarted};
use relay::Relay;
use signals::Signals;
use terminal::Terminal;

/// The exit code when the session could not be run at all.
const BROKEN: i32 = 125;

/// Runs the session in `directory` to its end and gives the exit code for the process: the
/// command's own, 128 and the signal's number, 127 where the command was not found, 126 where it
/// could not be executed, 125 where the session itself is broken. Standard input is the terminal.
pub fn main(directory: &Path) -> i32 {
    if child::is_second_stage() {
        return second_stage(directory);
    }
    match run(directory) {
        Ok(ending) => ending.exit_code(),
        Err(error) => {
            let _ = files::write_new(&directory.join(files::ERROR), error.to_string().as_bytes());
            BROKEN
        }
    }
}

fn run(directory: &Path) -> io::Result<Ending> {
    // Kept to the end: it tells that this process lives to those who cannot see it.
    let _lives = files::hold(&directory.join(files::LOCK))?;
    let spec = spec(directory)?;
    let environment = directory.join(files::ENVIRONMENT);
    let variables = files::read_small(&environment)?.ok_or_else(|| missing(files::ENVIRONMENT))?;
    std::fs::remove_file(&environment)?;
    let slot = ExitSlot::reserve(directory)?;
    let transcript = transcript::Writer::new(directory, spec.transcript_limit)?;

    let signals = Signals::listen()?;
    let terminal = Terminal::take(spec.pty)?;
    let mut relay = Relay::new(terminal, transcript);
    let variables = files::decode_environment(&variables);
    let ending = match Child::start(&spec, variables, relay.terminal()) {
        Ok(child) => {
            let started = Started { pid: child.pid(), shim: own_pid(), boot: files::boot() };
            let text = serde_json::to_vec(&started)?;
            files::write_atomically(&directory.join(files::STARTED), &text)?;
            relay.run(child, signals)?
        }
        Err(NotStarted { code, why }) => {
            relay.say(&format!("dwell: {why}\r\n"));
            Ending::Code(code)
        }
    };
    slot.record(&Exit {
        ending,
        ended: files::now(),
        incomplete: relay.incomplete(),
        interrupted: is_stopping(directory),
    })?;
    Ok(ending)
}

/// Whether the workspace around the session is being stopped: then its end is none of its own.
fn is_stopping(directory: &Path) -> bool {
    directory.parent().is_some_and(|parent| parent.join(STOPPING_FILE).exists())
}

/// Becomes the command; what goes wrong is said in its place.
fn second_stage(directory: &Path) -> i32 {
    let NotStarted { code, why } = match spec(directory) {
        Ok(spec) => child::become_command(&spec),
        Err(error) => NotStarted { code: BROKEN, why: error.to_string() },
    };
    eprintln!("dwell: {why}");
    code
}

fn spec(directory: &Path) -> io::Result<Spec> {
    files::read_json(&directory.join(files::SPEC))?.ok_or_else(|| missing(files::SPEC))
}

fn missing(name: &str) -> io::Error {
    io::Error::other(format!("{name} is missing"))
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
