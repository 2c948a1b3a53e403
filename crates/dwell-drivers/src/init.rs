//! The first process of a workspace: it makes the user where the image has none, supervises what
//! starts commands for the node, the ssh server where the image has one, an engine and the keeper of
//! sign-ins where there are, reaps what others leave behind, and ends everything in order when it is
//! told to. It has a terminal of nobody's and reads no input.

mod account;
mod agent;
mod commands;
mod engine;
mod server;
mod supervised;
pub mod viewer;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::Instant;

use agent::Agent;
use dwell_core::credentials::CREDENTIALS;
use dwell_core::workspace::{
    GIVEN, HOME, READY, RUNTIME, SESSIONS, STOPPING_FILE, TREES_FILE, UID,
};
use supervised::Supervised;

/// What git does on the whole machine.
const GIT: &str = "/etc/gitconfig";
/// How long processes may take to end by themselves before they are killed.
const FAREWELL: Duration = Duration::from_millis(1200);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(10);

/// Is the first process until it is told to end; gives its exit code.
///
/// # Errors
/// When it is not the first process, or signals cannot be had.
pub async fn main() -> io::Result<i32> {
    if std::process::id() != 1 {
        let why = "only the first process of a workspace can do this";
        return Err(io::Error::other(why));
    }
    let mut ends = Ends::new()?;
    for trouble in account::prepare() {
        say(&format!("dwell: {trouble}"));
    }
    runtime();
    let trees = fs::read_to_string(Path::new(GIVEN).join(TREES_FILE)).unwrap_or_default();
    let trees: Vec<&Path> = trees.lines().map(Path::new).collect();
    open_ways(&trees);
    if let Err(error) = trust(&trees) {
        say(&format!("dwell: git was not told of the trees: {error}"));
    }
    let mut agent = Agent::default();
    agent.allow(server::allows_agents());
    let variables = server::variables();
    let commands = commands::find()
        .inspect_err(|error| say(&format!("dwell: only the engine starts commands: {error}")));
    let all = [commands.ok(), server::find(), engine::find(&variables), keeper()];
    let mut all: Vec<Supervised> = all.into_iter().flatten().collect();
    all.iter_mut().for_each(Supervised::start);
    say(READY);
    loop {
        tokio::select! {
            _ = ends.child.recv() => {
                for ended in reap() {
                    all.iter_mut().for_each(|it| it.ended(ended));
                }
            }
            () = supervised::due(&all) => supervised::start_due(&mut all),
            // The ssh server hands on what the node says; all else is the same for its whole life.
            _ = ends.hangup.recv() => {
                agent.allow(server::allows_agents());
                all.iter_mut().filter(|it| it.is(server::PROGRAM)).for_each(Supervised::restart);
            }
            _ = ends.terminate.recv() => break,
            _ = ends.interrupt.recv() => break,
        }
    }
    farewell(&mut ends.child).await;
    Ok(0)
}

/// Makes the place of the user's sockets, and forgets that the last life was ended.
fn runtime() {
    // It is not there before the first end.
    let _ = fs::remove_file(Path::new(SESSIONS).join(STOPPING_FILE));
    let place = Path::new(RUNTIME);
    let made = fs::create_dir_all(place)
        .and_then(|()| fs::set_permissions(place, fs::Permissions::from_mode(0o700)))
        .and_then(|()| std::os::unix::fs::chown(place, Some(UID), Some(UID)));
    if let Err(error) = made {
        say(&format!("dwell: {RUNTIME} could not be made: {error}"));
    }
}

/// Lets the user get to the trees: what the engine made on the way to them is root's.
fn open_ways(trees: &[&Path]) {
    let is_mounted = |way: &Path| trees.iter().any(|place| way.starts_with(place));
    let ways = trees.iter().flat_map(|place| place.ancestors().skip(1));
    for way in ways.filter(|way| !is_mounted(way)) {
        let Ok(metadata) = fs::metadata(way) else { continue };
        let mode = metadata.permissions().mode();
        if mode & 0o001 == 0 {
            // Where it cannot be changed nothing can be done about it.
            let _ = fs::set_permissions(way, fs::Permissions::from_mode(mode | 0o001));
        }
    }
}

/// Has git work in trees, which are another user's: those of the node. Where it does in any directory
/// already, nothing is to be done.
fn trust(trees: &[&Path]) -> io::Result<()> {
    let place = Path::new(GIT);
    let there = match fs::read_to_string(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let is_told = |value: &str| {
        let same = |line: &str| line.trim().strip_prefix("directory = ") == Some(value);
        there.lines().any(same)
    };
    if is_told("*") {
        return Ok(());
    }
    let values = trees.iter().filter(|tree| tree.is_dir()).filter_map(|tree| tree.to_str());
    let values = values.map(|tree| tree.replace('\\', "\\\\").replace('"', "\\\""));
    let values = values.map(|tree| format!("\"{tree}\"")).filter(|value| !is_told(value));
    let lines: String = values.map(|value| format!("[safe]\n\tdirectory = {value}\n")).collect();
    if lines.is_empty() {
        return Ok(());
    }
    fs::File::options().create(true).append(true).open(place)?.write_all(lines.as_bytes())
}

/// What keeps shared sign-ins in one place, as the user, where the node mounted some.
fn keeper() -> Option<Supervised> {
    Path::new(CREDENTIALS).is_dir().then(|| {
        Supervised::new("the keeper of sign-ins", || {
            let mut command = Command::new("/proc/self/exe");
            command.arg0(format!("{GIVEN}/dwell")).arg("workspace-credentials");
            command.env("HOME", HOME).current_dir("/").stdin(Stdio::null()).uid(UID).gid(UID);
            command
        })
    })
}

/// Where nobody reads it there is nobody left to tell.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

struct Ends {
    child: Stream,
    hangup: Stream,
    terminate: Stream,
    interrupt: Stream,
}

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Takes note of every child that has ended, own and orphaned.
fn reap() -> Vec<Pid> {
    let mut ended = Vec::new();
    while let Ok(Some((pid, _))) = rustix::process::wait(WaitOptions::NOHANG) {
        ended.push(pid);
    }
    ended
}

/// Asks all processes to end, then kills those that have not.
async fn farewell(child: &mut Stream) {
    // So that sessions do not take their end for one of their own.
    if let Err(error) = fs::write(Path::new(SESSIONS).join(STOPPING_FILE), "") {
        say(&format!("dwell: sessions are not told of the end: {error}"));
    }
    // A shell at a terminal ignores SIGTERM, and ends at SIGHUP.
    for signal in [Signal::TERM, Signal::HUP, Signal::CONT] {
        tell_all(signal);
    }
    let deadline = Instant::now() + FAREWELL;
    while Instant::now() < deadline && !others().is_empty() {
        reap();
        // What was started by `docker exec` is no child of ours, so its end is not told.
        let _ = tokio::time::timeout(LOOK, child.recv()).await;
    }
    tell_all(Signal::KILL);
    reap();
}

fn tell_all(signal: Signal) {
    for pid in others() {
        // It may have ended since the list was read.
        let _ = kill_process(pid, signal);
    }
}

/// All processes but this one.
fn others() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    entries.filter_map(number).filter(|pid| *pid != 1).filter_map(Pid::from_raw).collect()
}
