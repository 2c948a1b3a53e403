//! Commands in running containers.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bollard::query_parameters::ResizeExecOptionsBuilder;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWrite;

use super::{Engine, EngineError, QUICK};

/// What to run in a container.
#[derive(Debug, Clone, Default)]
pub struct ExecSpec {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub stdin: bool,
    /// Further environment variables, as `NAME=value`.
    pub variables: Vec<String>,
    /// The user to run it as.
    pub user: Option<String>,
    /// The directory to run it in.
    pub directory: Option<String>,
}

/// A piece of a command's output.
#[derive(Debug, Clone)]
pub struct ExecOutput {
    /// Whether it was written to stderr.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// A command that runs in a container.
pub struct Exec {
    /// The engine's id of it.
    pub id: String,
    /// Its output; ends when the command does.
    pub output: Pin<Box<dyn Stream<Item = Result<ExecOutput, EngineError>> + Send>>,
    /// Its standard input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl Engine {
    /// Starts a command in a container.
    pub async fn exec(&self, container: &str, spec: ExecSpec) -> Result<Exec, EngineError> {
        let config = ExecConfig {
            attach_stdin: Some(spec.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(spec.tty),
            env: Some(spec.variables),
            cmd: Some(spec.command),
            user: spec.user,
            working_dir: spec.directory,
            ..ExecConfig::default()
        };
        let created =
            self.call("create exec", QUICK, self.docker()?.create_exec(container, config)).await?;
        let options =
            StartExecOptions { detach: false, tty: spec.tty, output_capacity: Some(64 * 1024) };
        let begins = self.gates.begin(container).await;
        let started = self
            .call("start exec", QUICK, self.docker()?.start_exec(&created.id, Some(options)))
            .await?;
        tokio::spawn(self.clone().until_begun(created.id.clone(), begins));
        let StartExecResults::Attached { output, input } = started else {
            return Err(EngineError::Other("the engine did not attach to the command".to_owned()));
        };
        let engine = self.clone();
        let output = output.map(move |piece| match piece {
            Ok(piece) => {
                let stderr = matches!(piece, LogOutput::StdErr { .. });
                Ok(ExecOutput { stderr, bytes: piece.into_bytes() })
            }
            Err(error) => Err(engine.error(error)),
        });
        Ok(Exec { id: created.id, output: Box::pin(output), input })
    }

    /// The exit code of a command whose output has ended.
    pub async fn exec_exit_code(&self, id: &str) -> Result<i32, EngineError> {
        // The engine may answer that it still runs for a moment after its output ended.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let seen = self.call("inspect exec", QUICK, self.docker()?.inspect_exec(id)).await?;
            if seen.running != Some(true) || tokio::time::Instant::now() > deadline {
                let code = seen.exit_code.unwrap_or(-1);
                return Ok(i32::try_from(code).unwrap_or(-1));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Tells a command its terminal's size.
    pub async fn resize_exec(&self, id: &str, columns: u16, rows: u16) -> Result<(), EngineError> {
        let options =
            ResizeExecOptionsBuilder::new().w(i32::from(columns)).h(i32::from(rows)).build();
        self.call("resize exec", QUICK, self.docker()?.resize_exec(id, options)).await
    }
}
