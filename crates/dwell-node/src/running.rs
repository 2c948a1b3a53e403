//! A command that runs in a container, whoever started it: the engine, or a process of ours inside.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dwell_drivers::docker::{Engine, EngineError, Exec, ExecSpec};
use dwell_drivers::process::Finished;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How much a command of our own may say.
const SAID_MAX: usize = 64 << 20;
/// The code of one whose end nobody told: what is around it was ended by force, and so it was.
const KILLED: i32 = 137;

/// A piece of what it wrote: whether to standard error, and the bytes.
pub(crate) type Piece = Result<(bool, Bytes), EngineError>;

/// The command.
pub(crate) struct Running {
    /// What it writes; ends when it does.
    pub(crate) output: BoxStream<'static, Piece>,
    /// What it reads.
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
    /// What else is to be had of it.
    pub(crate) control: Arc<Control>,
}

/// How it is told its terminal's size, and how its end is known.
pub(crate) enum Control {
    /// By the engine, which leaves it alone when nobody is at the other end.
    Engine {
        /// The engine.
        engine: Engine,
        /// Its id there.
        id: String,
    },
    /// By a process inside, which ends it when this is dropped.
    Inside {
        /// Columns and rows.
        size: watch::Sender<(u16, u16)>,
        /// Its exit code.
        code: Arc<OnceLock<i32>>,
        /// What sends its input.
        sending: JoinHandle<()>,
    },
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Self::Inside { sending, .. } = self {
            sending.abort();
        }
    }
}

impl Control {
    /// Tells its terminal's size.
    pub(crate) async fn resize(&self, columns: u16, rows: u16) {
        match self {
            // A command that has ended has no terminal any more.
            Self::Engine { engine, id } => drop(engine.resize_exec(id, columns, rows).await),
            Self::Inside { size, .. } => drop(size.send_replace((columns, rows))),
        }
    }

    /// Its exit code, once its output has ended.
    pub(crate) async fn code(&self) -> Result<i32, EngineError> {
        match self {
            Self::Engine { engine, id } => engine.exec_exit_code(id).await,
            Self::Inside { code, .. } => Ok(code.get().copied().unwrap_or(KILLED)),
        }
    }

    /// Whether it ends when it is not awaited any more.
    pub(crate) fn hangs_up(&self) -> bool {
        matches!(self, Self::Inside { .. })
    }
}

impl Running {
    /// Has the engine start it.
    pub(crate) async fn by_engine(
        engine: &Engine,
        container: &str,
        spec: ExecSpec,
        size: Option<(u16, u16)>,
    ) -> Result<Self, EngineError> {
        let Exec { id, output, input } = engine.exec(container, spec).await?;
        let control = Control::Engine { engine: engine.clone(), id };
        if let Some((columns, rows)) = size {
            control.resize(columns, rows).await;
        }
        let output = output.map(|piece| piece.map(|piece| (piece.stderr, piece.bytes)));
        Ok(Self { output: output.boxed(), input, control: Arc::new(control) })
    }

    /// Sees it to its end, with this as its whole input.
    pub(crate) async fn finish(
        mut self,
        input: Option<&[u8]>,
        limit: Duration,
    ) -> Result<Finished, EngineError> {
        let finish = async {
            if let Some(bytes) = input {
                // A command may end before it has read everything; its exit code tells.
                let _ = self.input.write_all(bytes).await;
                let _ = self.input.shutdown().await;
            }
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            while let Some(piece) = self.output.next().await {
                let (is_error, bytes) = piece?;
                if stdout.len() + stderr.len() + bytes.len() > SAID_MAX {
                    return Err(EngineError::Other("a command says too much".to_owned()));
                }
                if is_error { &mut stderr } else { &mut stdout }.extend_from_slice(&bytes);
            }
            Ok(Finished { code: Some(self.control.code().await?), stdout, stderr })
        };
        let finished = tokio::time::timeout(limit, finish).await;
        finished.unwrap_or(Err(EngineError::TimedOut { call: "exec", limit }))
    }

    /// What it writes to standard output, and what it reads; what it writes to stderr is handed
    /// to `told`.
    pub(crate) fn streams(
        self,
        mut told: impl FnMut(Bytes) + Send + 'static,
    ) -> (DuplexStream, Pin<Box<dyn AsyncWrite + Send>>) {
        let (mut near, far) = tokio::io::duplex(256 * 1024);
        let Self { mut output, input, control } = self;
        tokio::spawn(async move {
            while let Some(Ok((is_error, bytes))) = output.next().await {
                if is_error {
                    told(bytes);
                } else if near.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            drop(control);
        });
        (far, input)
    }
}
