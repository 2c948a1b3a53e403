//! Child processes: the one place that starts them. Arguments are passed as they are, never
//! through a shell; every run has a time limit and ends with its whole process group.

pub mod owner;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Why a program did not give the result that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not installed or not on `PATH`.
    #[error("`{program}` is not installed or not on PATH")]
    Missing {
        /// The program's name.
        program: String,
    },
    /// The program could not be started or read.
    #[error("`{program}` could not be run: {source}")]
    Io {
        /// The program's name.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program ended with a failure.
    #[error("`{command}` failed{}: {}", code.map(|c| format!(" with exit code {c}")).unwrap_or_default(), stderr.trim())]
    Failed {
        /// The command line, shortened.
        command: String,
        /// The exit code; `None` when a signal ended it.
        code: Option<i32>,
        /// What it wrote to stderr (to stdout where stderr is empty).
        stderr: String,
    },
    /// The program did not end in time and was killed.
    #[error("`{command}` did not end within {} s", limit.as_secs_f32())]
    TimedOut {
        /// The command line, shortened.
        command: String,
        /// The limit it ran into.
        limit: Duration,
    },
}

/// What a finished program left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Whether the exit code was 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output as text, without the line end at its end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches(['\n', '\r']).to_owned()
    }

    /// Standard error as text, trimmed.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// A program with its arguments, to be run once.
#[derive(Clone)]
pub struct Program {
    program: OsString,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    variables: Vec<(OsString, Option<OsString>)>,
    clear: bool,
    input: Option<Vec<u8>>,
    limit: Duration,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

impl Program {
    /// The program by name or path; 60 s is its time limit unless changed.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            directory: None,
            variables: Vec::new(),
            clear: false,
            input: None,
            limit: Duration::from_secs(60),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Runs it in this directory.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an inherited environment variable.
    #[must_use]
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), None));
        self
    }

    /// Starts with an empty environment instead of the inherited one.
    #[must_use]
    pub fn clear_env(mut self) -> Self {
        self.clear = true;
        self
    }

    /// Feeds these bytes to standard input, which is empty otherwise.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Ends it after this long.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Its words, as text, and its input: for a program that runs somewhere else.
    pub(crate) fn elsewhere(&self) -> (Vec<String>, Option<&[u8]>) {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let words = words.map(|word| word.to_string_lossy().into_owned()).collect();
        (words, self.input.as_deref())
    }

    /// The program's name for messages.
    pub fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// The command line for messages, at most 120 characters.
    pub fn line(&self) -> String {
        let mut line = self.name();
        for argument in &self.arguments {
            line.push(' ');
            line.push_str(&argument.to_string_lossy());
        }
        if line.chars().count() > 120 {
            line = line.chars().take(119).chain(['…']).collect();
        }
        line
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).kill_on_drop(true).process_group(0);
        if let Some(owner) = owner::owner() {
            command.env(owner::VARIABLE, owner);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if self.clear {
            command.env_clear();
        }
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    fn io(&self, source: std::io::Error) -> ProcessError {
        let program = self.name();
        if source.kind() == std::io::ErrorKind::NotFound
            && self.directory.as_deref().is_none_or(Path::is_dir)
        {
            ProcessError::Missing { program }
        } else {
            ProcessError::Io { program, source }
        }
    }

    /// Starts it with piped output, for callers that stream. Standard input is empty. The time
    /// limit does not apply; dropping it before its end kills it with its children.
    pub fn spawn(&self) -> Result<Running, ProcessError> {
        self.spawn_with(Stdio::null())
    }

    /// As [`spawn`](Self::spawn), with this as its standard input.
    pub fn spawn_with(&self, input: Stdio) -> Result<Running, ProcessError> {
        let child = self
            .command()
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| self.io(e))?;
        Ok(Running { group: Group(child.id()), child })
    }

    /// Runs it to its end and gives what it left, whatever its exit code.
    pub async fn finish(&self) -> Result<Finished, ProcessError> {
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .command()
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| self.io(e))?;
        let mut group = Group(child.id());
        let feed = child.stdin.take().zip(self.input.clone());
        let write = async move {
            if let Some((mut pipe, bytes)) = feed {
                // A program may end before it has read everything; its exit code tells.
                let _ = pipe.write_all(&bytes).await;
            }
        };
        let both = async { tokio::join!(child.wait_with_output(), write).0 };
        match tokio::time::timeout(self.limit, both).await {
            Ok(Ok(output)) => {
                group.ended();
                Ok(Finished {
                    code: output.status.code(),
                    stdout: output.stdout,
                    stderr: output.stderr,
                })
            }
            Ok(Err(source)) => Err(self.io(source)),
            Err(_) => Err(ProcessError::TimedOut { command: self.line(), limit: self.limit }),
        }
    }

    /// Runs it to its end; an exit code other than 0 is an error.
    pub async fn run(&self) -> Result<Finished, ProcessError> {
        let finished = self.finish().await?;
        if finished.ok() { Ok(finished) } else { Err(self.failed(&finished)) }
    }

    /// The error for a run that ended badly.
    pub fn failed(&self, finished: &Finished) -> ProcessError {
        let mut stderr = finished.error_text();
        if stderr.is_empty() {
            stderr = finished.text();
        }
        ProcessError::Failed { command: self.line(), code: finished.code, stderr }
    }
}

/// A program that runs, with pipes to its output.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Group,
}

impl Running {
    /// The pipe to its standard input; `None` when it was taken before or is no pipe.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its output and error pipes; `None` when they were taken before.
    pub fn pipes(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group.ended();
        Ok(status)
    }
}

/// A process group that is killed when it is given up before its leader ended: `docker compose`
/// works in a child of its own, and that child must not go on.
#[derive(Debug)]
struct Group(Option<u32>);

impl Group {
    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_says_the_code_and_what_was_written() {
        let error = Program::new("sh").args(["-c", "echo no >&2; exit 3"]).run().await.unwrap_err();
        assert!(matches!(error, ProcessError::Failed { code: Some(3), .. }));
        assert!(error.to_string().ends_with("failed with exit code 3: no"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_program_is_told_from_a_missing_directory() {
        let missing = Program::new("dwell-no-such-program").run().await.unwrap_err();
        assert!(matches!(missing, ProcessError::Missing { .. }));
        let directory = Program::new("true").directory("/no/such").run().await.unwrap_err();
        assert!(matches!(directory, ProcessError::Io { .. }));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_its_children() {
        let limit = Duration::from_millis(200);
        let error = Program::new("sh").args(["-c", "sleep 60 & wait"]).limit(limit).run().await;
        assert!(matches!(error, Err(ProcessError::TimedOut { .. })));
    }

    #[tokio::test]
    async fn input_reaches_the_program() {
        let out = Program::new("cat").input("hello\n").run().await.unwrap();
        assert_eq!(out.text(), "hello");
    }
}
