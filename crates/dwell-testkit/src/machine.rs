//! A world of its own for a tree of processes: Linux namespaces that vanish, with all that runs
//! and is mounted in them, when the machine is dropped and also when the test is killed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Ran, run};

/// How long the first process may take over one word, and a command of the testkit's own.
const LIMIT: Duration = Duration::from_secs(60);

/// What programs of a machine find others by.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The first process tells its id outside before its script hides the outer `/proc`.
const BEFORE: &str = "set -eu\nread -r outside _ </proc/self/stat\necho \"$outside\"\n";

/// The first process ends with the pipe that only the test holds, and all others with it. Being
/// bash, it also reaps what others leave.
const AFTER: &str = "\necho ready\nread -r _ || true\n";

/// Namespaces and the first process in them.
pub(crate) struct Machine {
    spaces: Vec<String>,
    first: Pid,
    unshare: Child,
    words: BufReader<ChildStdout>,
    log: PathBuf,
    _leash: ChildStdin,
}

impl Machine {
    /// Starts one with these namespaces (`net`, `mount`, `pid`, `uts`, `ipc`), whose first process
    /// runs a script of bash with these variables and nothing else in its environment. The mounts
    /// are those of another machine, or of this one. [`Self::ready`] waits for the script's end.
    pub(crate) fn start(
        mounts_of: Option<&Self>,
        spaces: &[&str],
        script: &str,
        variables: &[(&str, &OsStr)],
        log: &Path,
    ) -> Self {
        let mut command = match mounts_of {
            Some(machine) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--mount=/proc/{}/ns/mnt", machine.first.as_raw_nonzero()));
                command.arg("unshare");
                command
            }
            None => Command::new("unshare"),
        };
        let spaces: Vec<String> = spaces.iter().map(|space| format!("--{space}")).collect();
        command.args(&spaces);
        if spaces.iter().any(|space| space == "--mount") {
            command.args(["--propagation", "slave"]);
        }
        let file = log.with_extension("sh");
        fs::write(&file, format!("{BEFORE}{script}{AFTER}")).expect("a file can be written");
        command.args(["--fork", "--kill-child", "bash"]).arg(file);
        command.env_clear().env("PATH", PATH).envs(variables.iter().copied());
        let errors = File::options().create(true).append(true).open(log);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(errors.expect("a log file can be opened"));
        let mut unshare = command.spawn().expect("`unshare` can be started");
        let leash = unshare.stdin.take().expect("standard input is a pipe");
        let mut words = BufReader::new(unshare.stdout.take().expect("standard output is a pipe"));
        let first = word(&mut words, log).parse().ok().and_then(Pid::from_raw);
        let first = first.expect("the first process tells its id");
        Self { spaces, first, unshare, words, log: log.to_owned(), _leash: leash }
    }

    /// Waits until the script has run.
    pub(crate) fn ready(&mut self) {
        assert_eq!(word(&mut self.words, &self.log), "ready");
    }

    /// The id of its first process, as seen from outside.
    pub(crate) fn first(&self) -> i32 {
        self.first.as_raw_nonzero().get()
    }

    /// A program in it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.first().to_string()).args(&self.spaces).arg("--");
        command.arg(program).env_clear().env("PATH", PATH).env("HOME", "/root");
        command
    }

    /// Runs a script of `sh` in it.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> Ran {
        run(self.command("sh").args(["-euc", script]), LIMIT)
    }

    /// A file of its own as others reach it.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        let root = PathBuf::from(format!("/proc/{}/root", self.first()));
        root.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// The processes in it (not those in containers) that meet a condition on their directory in
    /// `/proc`.
    pub(crate) fn processes(&self, wanted: impl Fn(&Path) -> bool) -> Vec<Pid> {
        let space = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
        let here = space(Path::new(&format!("/proc/{}", self.first())));
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let path = entry.path();
            (space(&path) == here && wanted(&path)).then_some(pid)
        });
        processes.collect()
    }

    /// Signals its processes of a name.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        let named = |process: &Path| {
            fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        for pid in self.processes(named) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // As long as `unshare` runs, the id is the first process's.
        if matches!(self.unshare.try_wait(), Ok(None)) {
            let _ = kill_process(self.first, Signal::KILL);
        }
        // It waits for the first process, whose end waits for that of all others.
        let _ = self.unshare.wait();
    }
}

/// A line that the first process writes, which comes in one piece.
fn word(words: &mut BufReader<ChildStdout>, log: &Path) -> String {
    let limit = Timespec { tv_sec: LIMIT.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
    let mut line = String::new();
    let fd = words.get_ref().as_fd();
    let there = !words.buffer().is_empty()
        || poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&limit)) == Ok(1);
    if there {
        words.read_line(&mut line).expect("a pipe can be read");
    }
    let said = || fs::read_to_string(log).unwrap_or_default();
    assert!(!line.is_empty(), "a machine did not start; its last words:\n{}", said());
    line.trim_end().to_owned()
}

/// Removes the control groups of a name that ended containers left, on every hierarchy.
pub(crate) fn remove_control_groups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        remove_tree(&hierarchy.join(name));
    }
}

/// The files in a control group are the kernel's; only folders are removed.
fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    // Not there on this hierarchy, or not empty yet for a moment; clean-test removes the latter.
    let _ = fs::remove_dir(group);
}
