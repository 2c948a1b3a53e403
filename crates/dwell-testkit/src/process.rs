//! Running programs with a time limit and their output kept.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// A program that ended, with what it wrote.
#[derive(Clone)]
pub struct Ran {
    line: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Ran {
    /// Standard output without the line end at its end; ends the test unless the exit code is 0.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert!(self.code == Some(0), "{self:?}");
        self.stdout.trim_end_matches('\n')
    }

    /// Standard error; ends the test unless the exit code is this one.
    #[track_caller]
    pub fn fails_with(&self, code: i32) -> &str {
        assert!(self.code == Some(code), "exit code {code} was expected: {self:?}");
        &self.stderr
    }

    /// Standard output as JSON; ends the test unless the exit code is 0.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(self.ok()) {
            Ok(value) => value,
            Err(error) => panic!("not JSON ({error}): {self:?}"),
        }
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ended with {:?} after {:?}", self.line, self.code, self.took)?;
        write!(f, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// Runs a command without input. When it does not end within `limit`, it is killed with its
/// process group and the test ends. Output goes through files, so that a background process that
/// keeps them open does not hold the caller.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Ran {
    run_with_input(command, Stdio::null(), limit)
}

/// Does what [`run`] does, with input.
#[track_caller]
pub(crate) fn run_with_input(
    command: &mut Command,
    input: impl Into<Stdio>,
    limit: Duration,
) -> Ran {
    use std::os::unix::process::CommandExt;
    let line = format!("{command:?}");
    let (mut stdout, mut stderr) = (scratch(), scratch());
    command.stdin(input).stdout(handle(&stdout)).stderr(handle(&stderr)).process_group(0);
    let start = Instant::now();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!("`{line}` could not be started: {error}"),
    };
    let status = loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            break Some(status);
        }
        if start.elapsed() > limit {
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = start.elapsed();
    if status.is_none() {
        // It may have ended meanwhile; then there is nothing to kill.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
    }
    let ran = Ran {
        line,
        code: status.and_then(|status| status.code()),
        stdout: content(&mut stdout),
        stderr: content(&mut stderr),
        took,
    };
    assert!(status.is_some(), "not ended within {} s: {ran:?}", limit.as_secs());
    ran
}

fn scratch() -> File {
    tempfile::tempfile().expect("a temporary file can be made")
}

fn handle(file: &File) -> Stdio {
    Stdio::from(file.try_clone().expect("a file handle can be copied"))
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("a temporary file can be rewound");
    file.read_to_end(&mut bytes).expect("a temporary file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Ran {
        run(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn output_and_code_are_kept() {
        let ran = shell("echo out; echo err >&2; exit 3", Duration::from_secs(5));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "out\n"));
        assert_eq!(ran.fails_with(3), "err\n");
    }

    #[test]
    fn a_child_in_the_background_does_not_hold_the_caller() {
        let ran = shell("sleep 3 & echo started", Duration::from_secs(2));
        assert_eq!(ran.ok(), "started");
    }

    #[test]
    #[should_panic(expected = "not ended within 0 s")]
    fn what_hangs_is_killed() {
        shell("sleep 60", Duration::from_millis(100));
    }
}
