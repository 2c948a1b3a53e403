//! The last words of a program that may write for hours.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

/// How much is kept, in bytes.
const KEPT: usize = 8 * 1024;

/// How long the rest of the output may take after the program has ended. A child of its may hold
/// the pipe open for ever.
const REST: Duration = Duration::from_secs(1);

/// Collects what a program writes to its standard error.
#[derive(Debug)]
pub(super) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    task: JoinHandle<()>,
}

impl Tail {
    /// Reads the pipe until its end, in a task of its own.
    pub(super) fn of(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let shared = Arc::clone(&kept);
        let task = tokio::spawn(async move {
            let Some(mut pipe) = pipe else { return };
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(buffer.iter().take(count));
                let excess = kept.len().saturating_sub(KEPT);
                kept.drain(..excess);
            }
        });
        Self { kept, task }
    }

    /// What was written so far, the newest 8 KiB.
    pub(super) fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What was written when the program has ended.
    pub(super) async fn rest(&mut self) -> String {
        let _ = tokio::time::timeout(REST, &mut self.task).await;
        self.text()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn only_the_newest_is_kept() {
        let (mut write, read) = tokio::io::duplex(64);
        let mut tail = Tail::of(Some(read));
        write.write_all(&vec![b'a'; 20_000]).await.unwrap();
        write.write_all(b"end").await.unwrap();
        drop(write);
        let text = tail.rest().await;
        assert_eq!(text.len(), KEPT);
        assert!(text.ends_with("aend"));
    }
}
