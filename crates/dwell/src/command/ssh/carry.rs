//! Carrying an ssh connection. What a person types at it wakes a workspace that stands still; what
//! programs send by themselves, as editors do that nobody uses, does not.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use rustix::fs::fstat;
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::failure::Ended;

/// How long the other side may be silent after something was sent before that is looked into.
const SILENT: Duration = Duration::from_secs(1);
/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(250);
/// How long ago a key may have been pressed. Systems note that every 8 s only.
const TYPED: Duration = Duration::from_secs(10);
/// How much is carried at once.
const PIECE: usize = 64 << 10;

/// Joins standard input and output to a stream until the far end closes it. Where what was typed is
/// not answered, `wake` is run.
pub(super) async fn carry<W: Future<Output = ()>>(
    far: impl AsyncRead + AsyncWrite,
    wake: impl Fn() -> W,
) -> Ended {
    let (read, write) = tokio::io::split(far);
    let unanswered = Cell::new(None);
    tokio::select! {
        down = down(read, &unanswered) => down.map(|()| 0).map_err(Into::into),
        () = up(write, &unanswered) => Ok(0),
        () = watch(&unanswered, wake) => Ok(0),
    }
}

async fn down(
    mut far: impl AsyncRead + Unpin,
    unanswered: &Cell<Option<Instant>>,
) -> std::io::Result<()> {
    let (mut output, mut piece) = (tokio::io::stdout(), vec![0; PIECE]);
    loop {
        let count = far.read(&mut piece).await.unwrap_or_default();
        unanswered.set(None);
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        output.write_all(bytes).await?;
        output.flush().await?;
    }
}

/// Ends never: what is still on its way down comes after the end of what goes up.
async fn up(mut far: impl AsyncWrite + Unpin, unanswered: &Cell<Option<Instant>>) {
    let (mut input, mut piece) = (tokio::io::stdin(), vec![0; PIECE]);
    loop {
        let count = input.read(&mut piece).await.unwrap_or_default();
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        if unanswered.get().is_none() {
            unanswered.set(Some(Instant::now()));
        }
        if far.write_all(bytes).await.is_err() || far.flush().await.is_err() {
            break;
        }
    }
    let _ = far.shutdown().await;
    std::future::pending::<()>().await;
}

async fn watch<W: Future<Output = ()>>(unanswered: &Cell<Option<Instant>>, wake: impl Fn() -> W) {
    loop {
        sleep(LOOK).await;
        if unanswered.get().is_some_and(|since| since.elapsed() >= SILENT) {
            unanswered.set(None);
            if is_typed_at() {
                wake().await;
            }
        }
    }
}

/// Whether somebody pressed a key lately at the terminal of the ssh that runs this, and for it: ssh
/// is in the terminal's foreground. One that an editor started has no terminal, or not that.
fn is_typed_at() -> bool {
    let terminal = std::io::stderr();
    if !terminal.is_terminal() || tcgetpgrp(&terminal).ok() != Some(getpgrp()) {
        return false;
    }
    let read = fstat(&terminal).ok().and_then(|seen| u64::try_from(seen.st_atime).ok());
    let read = read.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    read.and_then(|read| SystemTime::now().duration_since(read).ok())
        .is_some_and(|ago| ago <= TYPED)
}
