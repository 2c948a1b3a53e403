//! The session's command: how it is started and signalled.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use rustix::termios::{self, OptionalActions, Winsize};

use super::terminal::{Terminal, set_nonblocking};
use crate::own;
use crate::session::files::{Ending, Spec};

/// Variables that describe the terminal: the session's own are right, the invoking shell's wrong.
const TERMINAL: &[&str] = &["TMUX", "TMUX_PANE", "TERM_PROGRAM", "TERM_PROGRAM_VERSION"];

/// Variables of the invoking shell that are wrong in the session.
const STALE: &[&str] = &["COLUMNS", "LINES", "OLDPWD", "SHLVL", "STY", "WINDOW"];

/// Set in the second stage of a shim, which becomes a command without a terminal.
const STAGE: &str = "DWELL_SHIM_STAGE";

/// That the command did not start: the exit code that shells give for it, and a sentence.
#[derive(Debug)]
pub(super) struct NotStarted {
    pub(super) code: i32,
    pub(super) why: String,
}

/// The running command.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    group: Pid,
    /// Its terminal, or the pipe with its output.
    pub(super) stream: OwnedFd,
    pty: bool,
}

impl Child {
    /// Starts the command of `spec`.
    pub(super) fn start(
        spec: &Spec,
        variables: Vec<(OsString, OsString)>,
        terminal: &Terminal,
    ) -> Result<Self, NotStarted> {
        let mut command = match spec.pty {
            true => command_of(spec)?,
            false => second_stage().map_err(|error| not_started(&program_of(spec), &error))?,
        };
        if !spec.login {
            command.env_clear();
        }
        command.envs(variables);
        for name in STALE.iter().chain(TERMINAL) {
            command.env_remove(name);
        }
        command.envs(own_variables(spec));
        let started = match spec.pty {
            true => on_pty(command, terminal),
            false => on_pipes(command),
        };
        started.map_err(|error| not_started(&program_of(spec), &error))
    }

    /// Its process, which leads its own process group.
    pub(super) fn pid(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Whether it reads what is typed.
    pub(super) fn reads(&self) -> bool {
        self.pty
    }

    /// How it ended, once it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<Ending>> {
        let status = self.process.try_wait()?;
        Ok(status.map(|status| match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Code(code),
            (None, signal) => Ending::Signal(signal.unwrap_or_default()),
        }))
    }

    /// Signals its process group and the group in front of its terminal. To be called only while
    /// it has not been seen to have ended.
    pub(super) fn signal(&self, signal: Signal) {
        let front = if self.pty { termios::tcgetpgrp(&self.stream).ok() } else { None };
        for group in front.into_iter().filter(|group| *group != self.group).chain([self.group]) {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    /// Gives its terminal a size, of which it learns by `SIGWINCH`.
    pub(super) fn resize(&self, size: Winsize) {
        if self.pty {
            let _ = termios::tcsetwinsize(&self.stream, size);
        }
    }
}

/// Whether this process is the second stage of a shim.
pub(super) fn is_second_stage() -> bool {
    std::env::var_os(STAGE).is_some()
}

/// Becomes the command, in a process session without any terminal; returns only if it cannot.
pub(super) fn become_command(spec: &Spec) -> NotStarted {
    if let Err(error) = rustix::process::setsid() {
        return not_started(&program_of(spec), &error.into());
    }
    match command_of(spec) {
        Ok(mut command) => not_started(&program_of(spec), &command.env_remove(STAGE).exec()),
        Err(not_started) => not_started,
    }
}

/// This program again, with the same arguments. A command without a terminal must not find the
/// shim's as `/dev/tty`, where it would wait for ever; only a process of its own can leave it.
fn second_stage() -> io::Result<Command> {
    let mut command = Command::new(own::path()?);
    command.args(std::env::args_os().skip(1));
    Ok(command)
}

fn program_of(spec: &Spec) -> String {
    spec.argv.first().cloned().unwrap_or_default()
}

fn command_of(spec: &Spec) -> Result<Command, NotStarted> {
    let (program, arguments) = spec
        .argv
        .split_first()
        .ok_or_else(|| NotStarted { code: 127, why: "there is no command to run".to_owned() })?;
    if !spec.directory.is_dir() {
        let why = format!("the directory `{}` does not exist", spec.directory.display());
        return Err(NotStarted { code: 126, why });
    }
    let mut command = match spec.login {
        true => login_shell(program),
        false => Command::new(program),
    };
    command.args(arguments).current_dir(&spec.directory);
    Ok(command)
}

/// A shell that reads what a login does and becomes the program with the arguments that follow.
fn login_shell(program: &str) -> Command {
    let bash = Path::new("/bin/bash");
    let mut command = Command::new(if bash.exists() { bash } else { Path::new("/bin/sh") });
    command.args(["-l", "-c", "exec \"$@\"", "dwell", program]);
    command
}

fn own_variables(spec: &Spec) -> Vec<(OsString, OsString)> {
    let mut set = vec![(OsString::from("PWD"), spec.directory.clone().into_os_string())];
    if spec.pty {
        let inherited = TERMINAL.iter().chain(&["TERM"]);
        set.extend(inherited.filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))));
        set.push(("COLORTERM".into(), "truecolor".into()));
    } else {
        set.push((STAGE.into(), "1".into()));
    }
    set
}

fn on_pty(command: Command, terminal: &Terminal) -> io::Result<Child> {
    let (pty, pts) = pty_process::blocking::open().map_err(io::Error::other)?;
    termios::tcsetattr(&pts, OptionalActions::Now, terminal.modes())?;
    let stream = OwnedFd::from(pty);
    termios::tcsetwinsize(&stream, terminal.size()?)?;
    let spawned = pty_process::blocking::Command::from(command).spawn(pts);
    let process = spawned.map_err(|error| match error {
        pty_process::Error::Io(error) => error,
        other => io::Error::other(other),
    })?;
    child(process, stream, true)
}

fn on_pipes(mut command: Command) -> io::Result<Child> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let process = command.spawn()?;
    child(process, reader.into(), false)
}

fn child(process: std::process::Child, stream: OwnedFd, pty: bool) -> io::Result<Child> {
    set_nonblocking(&stream)?;
    let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    let group = group.ok_or_else(|| io::Error::other("the command has no process id"))?;
    Ok(Child { process, group, stream, pty })
}

fn not_started(program: &str, error: &io::Error) -> NotStarted {
    if error.kind() == io::ErrorKind::NotFound {
        let place = if program.contains('/') { "" } else { " on PATH" };
        NotStarted { code: 127, why: format!("`{program}` was not found{place}") }
    } else {
        NotStarted { code: 126, why: format!("`{program}` cannot be executed: {error}") }
    }
}
