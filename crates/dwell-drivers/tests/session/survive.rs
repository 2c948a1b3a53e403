//! What sessions outlive, and what ends them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dwell_drivers::session::{Ending, SessionState};
use dwell_drivers::tmux::{Size, TmuxName};

use crate::support::{Node, eventually};

const ROOT: &str = "DWELL_TEST_STARTER_ROOT";

/// Not a test: the process that [`the_starter_may_be_killed`] kills. It holds what a daemon holds
/// and starts a session.
#[test]
#[ignore = "run by another test"]
fn starter() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _database = std::fs::File::create(Path::new(&root).join("database")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = Node::at(Path::new(&root));
        let spec = node.spec("kept", &["sh", "-c", "while :; do echo tick; sleep 0.05; done"]);
        node.sessions.start(&spec).await.unwrap();
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn the_starter_may_be_killed() {
    let node = Node::new();
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "survive::starter", "--ignored"])
        .env(ROOT, &node.root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let name = TmuxName::parse("kept").unwrap();
    eventually("the session", || node.directory("kept").join("started.json").exists()).await;
    starter.kill().unwrap();
    starter.wait().unwrap();
    let before = node.output("kept").len();
    eventually("more output", || node.output("kept").len() > before + 20).await;
    assert!(matches!(node.state(&name).await, SessionState::Running { .. }));
    assert_eq!(node.tmux().list().await.unwrap().len(), 1);

    // Neither the server nor the shim nor the command holds what the starter held.
    let pids = Command::new("tmux")
        .arg("-S")
        .arg(node.tmux().socket())
        .args(["list-panes", "-a", "-F", "#{pid} #{pane_pid}"])
        .output()
        .unwrap();
    let SessionState::Running { pid, .. } = node.state(&name).await else { panic!("not running") };
    let mut pids: Vec<String> =
        String::from_utf8(pids.stdout).unwrap().split_whitespace().map(str::to_owned).collect();
    pids.push(pid.to_string());
    assert_eq!(pids.len(), 3);
    let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
    for pid in pids {
        for fd in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(Result::ok) {
            let target = std::fs::read_link(fd.path()).unwrap_or_default();
            let target = target.to_str().unwrap().to_owned();
            assert!(!target.contains("database"), "{pid} holds {target}");
            let inode = target.strip_prefix("socket:[").map(|rest| rest.trim_end_matches(']'));
            let listens = inode.is_some_and(|inode| tcp.contains(&format!(" {inode} ")));
            assert!(!listens, "{pid} holds {target}");
        }
    }
    let ended = node.sessions.end(&node.directory("kept"), &name).await.unwrap();
    assert!(matches!(ended, SessionState::Ended(_)));
}

#[tokio::test]
async fn a_killed_tmux_server_ends_sessions_on_record() {
    let node = Node::new();
    let name = node.start("a", &["sh", "-c", "echo before; sleep 60"]).await;
    node.shows("a", "before").await;
    node.tmux().kill_server().await.unwrap();
    let (exit, output) = node.finish(&node.directory("a"), &name).await;
    assert_eq!((exit.ending, output.as_slice()), (Ending::Signal(1), &b"before\r\n"[..]));
}

#[tokio::test]
async fn without_an_end_and_without_a_shim_it_is_lost() {
    let node = Node::new();
    let name = node.start("a", &["sleep", "60"]).await;
    let pane = node.tmux().list().await.unwrap()[0].pid;
    let pane = rustix::process::Pid::from_raw(pane).unwrap();
    rustix::process::kill_process(pane, rustix::process::Signal::KILL).unwrap();
    let mut follow = node.sessions.follow(&node.directory("a"), &name, 0).unwrap();
    assert_eq!(follow.next().await.unwrap(), Some(dwell_drivers::session::Event::Lost));
    assert_eq!(follow.next().await.unwrap(), None);
    assert_eq!(node.state(&name).await, SessionState::Lost);

    // Another session of the same name is not the lost one.
    let mut other = node.spec("a", &["sleep", "60"]);
    other.directory = node.directory("other");
    node.sessions.start(&other).await.unwrap();
    assert_eq!(node.state(&name).await, SessionState::Lost);
}

#[tokio::test]
async fn ending_asks_before_it_kills() {
    let node = Node::new();
    let polite = "trap 'echo bye; exit 7' HUP; echo up; while :; do sleep 0.05; done";
    let name = node.start("polite", &["sh", "-c", polite]).await;
    node.shows("polite", "up").await;
    let ended = node.sessions.end(&node.directory("polite"), &name).await.unwrap();
    assert!(matches!(ended, SessionState::Ended(exit) if exit.ending == Ending::Code(7)));
    assert!(node.output("polite").contains("bye"));

    let stubborn = "trap '' HUP TERM; echo up; while :; do sleep 0.05; done";
    let name = node.start("stubborn", &["sh", "-c", stubborn]).await;
    node.shows("stubborn", "up").await;
    let begin = Instant::now();
    let ended = node.sessions.end(&node.directory("stubborn"), &name).await.unwrap();
    assert!(matches!(ended, SessionState::Ended(exit) if exit.ending == Ending::Signal(9)));
    assert!(begin.elapsed() < Duration::from_secs(9));
    let again = node.sessions.end(&node.directory("stubborn"), &name).await.unwrap();
    assert!(matches!(again, SessionState::Ended(_)));
}

#[tokio::test]
async fn a_session_that_is_gone_is_told_from_an_error() {
    let node = Node::new();
    let name = TmuxName::parse("none").unwrap();
    let size = Size::default();
    for _ in 0..2 {
        assert!(!node.tmux().has(&name).await.unwrap());
        assert!(node.tmux().kill(&name).await.is_ok());
        for result in [
            node.tmux().send_text(&name, "x", true).await,
            node.tmux().resize(&name, size).await,
            node.tmux().capture(&name, 1).await.map(drop),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.to_string(), "tmux has no session `none`");
        }
        // Once without a server, once with one.
        node.start("some", &["sleep", "60"]).await;
        node.sessions
            .end(&node.directory("some"), &TmuxName::parse("some").unwrap())
            .await
            .unwrap();
        std::fs::remove_dir_all(node.directory("some")).unwrap();
    }
}
