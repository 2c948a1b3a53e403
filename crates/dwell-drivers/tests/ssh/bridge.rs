//! Connections that stay.

use std::time::Duration;

use dwell_drivers::ssh::{Why, bridge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::Server;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn bytes_go_both_ways_after_the_mark() {
    let server = Server::start();
    let script = "echo welcome; echo mark; exec cat";
    let mut bridge = bridge(&server.destination(), script).unwrap();
    bridge.ready(b"mark\n", LIMIT).await.unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    let mut got = vec![0; sent.len()];
    let (mut reader, mut writer) = (bridge.reader, bridge.writer);
    let write = async {
        writer.write_all(&sent).await.unwrap();
        drop(writer);
    };
    tokio::join!(write, async { reader.read_exact(&mut got).await.unwrap() });
    assert!(got == sent);
    assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
    let error = bridge.link.ended().await;
    assert!(matches!(error.why, Why::Ended { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_fails_says_why() {
    let server = Server::start();
    server.know("nobody");
    let mut refused = bridge(&server.destination(), "echo mark").unwrap();
    let error = refused.ready(b"mark\n", LIMIT).await.unwrap_err();
    assert!(matches!(error.why, Why::HostKeyUnknown), "{error:?}");
    server.know("host");
    let mut missing = bridge(&server.destination(), "exec \"$HOME/none\"").unwrap();
    let error = missing.ready(b"mark\n", LIMIT).await.unwrap_err();
    assert!(matches!(error.why, Why::CommandNotFound { .. }), "{error:?}");
    let mut silent = bridge(&server.destination(), "cat").unwrap();
    let error = silent.ready(b"mark\n", Duration::from_millis(500)).await.unwrap_err();
    assert!(matches!(error.why, Why::TimedOut { .. }), "{error:?}");
    let mut noisy = bridge(&server.destination(), "yes").unwrap();
    let error = noisy.ready(b"mark\n", LIMIT).await.unwrap_err();
    assert!(matches!(error.why, Why::Unexpected { .. }), "{error:?}");
}

#[tokio::test]
async fn dropping_the_link_ends_the_far_side() {
    let server = Server::start();
    let script = "echo $$ > \"$HOME/pid\"; echo mark; cat; echo over > \"$HOME/over\"";
    let mut stays = bridge(&server.destination(), script).unwrap();
    stays.ready(b"mark\n", LIMIT).await.unwrap();
    drop(stays);
    let over = server.home().join("over");
    tokio::time::timeout(LIMIT, async {
        while !over.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_connection_that_is_cut_is_told() {
    let server = Server::start();
    // The parent of the login shell is the connection's sshd.
    let script = "echo $PPID > \"$HOME/parent\"; echo mark; exec cat";
    let mut cut = bridge(&server.destination(), script).unwrap();
    cut.ready(b"mark\n", LIMIT).await.unwrap();
    let parent = std::fs::read_to_string(server.home().join("parent")).unwrap();
    let pid = rustix::process::Pid::from_raw(parent.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(cut.reader.read(&mut [0]).await.unwrap(), 0);
    let error = cut.link.ended().await;
    assert!(error.to_string().contains("closed by remote host"), "{error}");
    assert!(!error.needs_somebody());
}
