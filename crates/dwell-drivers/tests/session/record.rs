//! What is kept of a session: its output to the last byte, and its end.

use std::sync::Arc;

use dwell_drivers::session::{Ending, Event, SessionError, SessionState};
use dwell_drivers::tmux::TmuxError;
use tokio::task::JoinSet;

use crate::support::Node;

/// Runs one job per number, a few at a time.
async fn each<F: Future<Output = ()> + Send + 'static>(
    numbers: std::ops::Range<i32>,
    job: impl Fn(i32) -> F,
) {
    let mut running = JoinSet::new();
    for number in numbers {
        if running.len() == 4 {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(job(number));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn commands_that_end_at_once_keep_their_last_byte() {
    let node = Arc::new(Node::new());
    each(0..200, |n| {
        let node = Arc::clone(&node);
        async move {
            let spec = node.spec(&format!("s{n}"), &["echo", "hello"]);
            let (exit, output) = node.run(&spec).await;
            assert_eq!((exit.ending, output.as_slice()), (Ending::Code(0), &b"hello\r\n"[..]));
        }
    })
    .await;
    node.empty().await;
}

#[tokio::test]
async fn every_exit_code_is_kept() {
    let node = Arc::new(Node::new());
    each(0..256, |code| {
        let node = Arc::clone(&node);
        async move {
            let spec = node.spec(&format!("s{code}"), &["sh", "-c", &format!("exit {code}")]);
            assert_eq!(node.run(&spec).await.0.ending, Ending::Code(code));
        }
    })
    .await;
}

#[tokio::test]
async fn the_signal_that_ended_it_is_kept() {
    let node = Node::new();
    for (name, number) in [("INT", 2), ("KILL", 9), ("TERM", 15), ("SEGV", 11), ("USR1", 10)] {
        let script = format!("kill -{name} $$; sleep 60");
        let spec = node.spec(&name.to_lowercase(), &["sh", "-c", &script]);
        let (exit, _) = node.run(&spec).await;
        assert_eq!(exit.ending, Ending::Signal(number));
        assert_eq!(exit.ending.exit_code(), 128 + number);
    }
}

#[tokio::test]
async fn a_hundred_megabytes_are_complete() {
    let node = Node::new();
    let spec = node.spec("big", &["seq", "-s", " ", "1", "13000000"]);
    node.sessions.start(&spec).await.unwrap();
    let mut follow = node.sessions.follow(&spec.directory, &spec.name, 0).unwrap();
    let (mut seen, mut length) = (blake3::Hasher::new(), 0);
    while let Some(Event::Output(part)) = follow.next().await.unwrap() {
        seen.update(&part.bytes);
        length += part.bytes.len();
    }
    let mut expected = blake3::Hasher::new();
    for number in 1..=13_000_000_u32 {
        let end = if number == 13_000_000 { "\r\n" } else { " " };
        expected.update(format!("{number}{end}").as_bytes());
    }
    assert!(length > 100_000_000, "{length}");
    assert_eq!(seen.finalize(), expected.finalize());
}

#[tokio::test]
async fn a_follower_sees_every_byte_across_segments() {
    let node = Node::new();
    let script = "i=0; while [ $i -lt 100 ]; do seq -f '%07g' -s ' ' $((i*1000)) $((i*1000+999)); \
                  i=$((i+1)); sleep 0.01; done";
    let mut spec = node.spec("rotate", &["sh", "-c", script]);
    spec.transcript_limit = 200_000;
    let (exit, output) = node.run(&spec).await;
    assert_eq!(exit.ending, Ending::Code(0));
    let numbers: Vec<u32> = String::from_utf8(output)
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..100_000).collect::<Vec<_>>());
    let kept = std::fs::read_dir(&spec.directory).unwrap().filter_map(Result::ok);
    let kept: u64 = kept.map(|entry| entry.metadata().unwrap().len()).sum();
    assert!(kept < 202_000, "{kept} bytes on disk");
    let late = node.sessions.transcript(&spec.directory, 0).unwrap();
    assert_eq!(late.start % 100_000, 0);
    assert!(late.start > 0);
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let node = Node::new();
    let odd = ["two\nlines", "'\"`$(id)${HOME}", ";", "a;", "#{pid}", "", "-x", "ä 日", "\\;", "*"];
    let script = r#"for a in "$@"; do printf '<%s>' "$a"; done"#;
    let argv: Vec<&str> = ["sh", "-c", script, "sh"].into_iter().chain(odd).collect();
    let mut spec = node.spec("odd", &argv);
    spec.pty = false;
    let (_, output) = node.run(&spec).await;
    let expected: String = odd.iter().map(|a| format!("<{a}>")).collect();
    assert_eq!(String::from_utf8(output).unwrap(), expected);
}

#[tokio::test]
async fn it_runs_in_its_directory_whatever_that_is_called() {
    let node = Node::new();
    let mark = node.root.join("mark");
    let odd = node.root.join(format!("a #(touch {}) $x;", mark.display()).replace('/', "_"));
    std::fs::create_dir(&odd).unwrap();
    let mut spec = node.spec("where", &["sh", "-c", "pwd -P; echo \"$PWD\""]);
    spec.cwd = odd.clone();
    spec.pty = false;
    let (_, output) = node.run(&spec).await;
    assert_eq!(String::from_utf8(output).unwrap(), format!("{0}\n{0}\n", odd.display()));
    assert!(!mark.exists());
}

#[tokio::test]
async fn what_cannot_run_says_so_with_the_usual_code() {
    let node = Node::new();
    let plain = node.root.join("plain");
    std::fs::write(&plain, "not a program").unwrap();
    let plain = plain.to_str().unwrap();
    let table = [
        ("a", "no-such-program", 127, "`no-such-program` was not found on PATH"),
        ("b", "/no/such", 127, "`/no/such` was not found\r\n"),
        ("c", plain, 126, "cannot be executed"),
    ];
    for (name, program, code, text) in table {
        let (exit, output) = node.run(&node.spec(name, &[program])).await;
        assert_eq!(exit.ending, Ending::Code(code), "{program}");
        assert!(String::from_utf8(output).unwrap().contains(text), "{program}");
    }
    let mut spec = node.spec("d", &["true"]);
    spec.cwd = "/no/such".into();
    let (exit, output) = node.run(&spec).await;
    assert_eq!(exit.ending, Ending::Code(126));
    assert!(String::from_utf8(output).unwrap().contains("the directory `/no/such` does not exist"));
}

#[tokio::test]
async fn without_a_terminal_output_is_plain_and_input_empty() {
    let node = Node::new();
    let script = "test -t 0 || test -t 1 || test -t 2 || echo pipes; cat; echo error >&2; echo out; \
                  (read line < /dev/tty) 2>/dev/null || echo none; echo \"${DWELL_SHIM_STAGE-clean}\"";
    let mut spec = node.spec("pipes", &["sh", "-c", script]);
    spec.pty = false;
    let (exit, output) = node.run(&spec).await;
    assert_eq!(exit.ending, Ending::Code(0));
    assert_eq!(String::from_utf8(output).unwrap(), "pipes\nerror\nout\nnone\nclean\n");

    let mut spec = node.spec("missing", &["no-such-program"]);
    spec.pty = false;
    let (exit, output) = node.run(&spec).await;
    assert_eq!(exit.ending, Ending::Code(127));
    let text = String::from_utf8(output).unwrap();
    assert_eq!(text, "dwell: `no-such-program` was not found on PATH\n");
}

#[tokio::test]
async fn a_process_left_behind_does_not_keep_the_session() {
    let node = Node::new();
    let spec = node.spec("left", &["sh", "-c", "trap '' HUP; sleep 30 & echo done"]);
    let begin = std::time::Instant::now();
    let (exit, output) = node.run(&spec).await;
    assert_eq!((exit.ending, output.as_slice()), (Ending::Code(0), &b"done\r\n"[..]));
    assert!(begin.elapsed().as_secs() < 5);
}

#[tokio::test]
async fn variables_reach_the_command_and_nobody_else() {
    let node = Node::new();
    let canary = format!("canary-{}", std::process::id());
    let script = "printf '%s|%s|%s' \"$SECRET\" \"$TERM\" \"${TMUX:+tmux}\"; sleep 60";
    let mut spec = node.spec("env", &["sh", "-c", script]);
    spec.environment.push(("SECRET".into(), format!("{canary}\nline").into()));
    spec.environment.push(("TMUX".into(), "".into()));
    node.sessions.start(&spec).await.unwrap();
    node.shows("env", &format!("{canary}\r\nline|tmux-256color|tmux")).await;
    assert!(!spec.directory.join("environment").exists());
    for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(&canary), "{:?}", process.path());
    }
    for file in std::fs::read_dir(&spec.directory).unwrap().filter_map(Result::ok) {
        let name = file.file_name().to_str().unwrap().to_owned();
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        let text = std::fs::read(file.path()).unwrap();
        let there = String::from_utf8_lossy(&text).contains(&canary);
        assert_eq!(there, name.starts_with("transcript"), "{name}");
    }
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_and_touches_nobody() {
    let node = Node::new();
    let name = node.start("one", &["sleep", "60"]).await;
    let mut again = node.spec("one", &["true"]);
    again.directory = node.directory("again");
    let error = node.sessions.start(&again).await.unwrap_err();
    assert!(matches!(error, SessionError::Tmux(TmuxError::Duplicate { .. })), "{error}");
    assert!(!again.directory.exists());
    assert!(matches!(node.state(&name).await, SessionState::Running { .. }));

    let taken = node.spec("one", &["true"]);
    let error = node.sessions.start(&taken).await.unwrap_err();
    assert!(matches!(error, SessionError::File { .. }), "{error}");
    assert!(matches!(node.state(&name).await, SessionState::Running { .. }));

    let broken = dwell_drivers::session::Sessions::new(
        Arc::new(dwell_drivers::tmux::Tmux::new(node.tmux().socket())),
        vec!["false".into(), "x".into()],
    );
    let mut spec = node.spec("two", &["true"]);
    spec.directory = node.directory("two");
    let error = broken.start(&spec).await.unwrap_err();
    assert!(matches!(error, SessionError::NotStarted { .. }), "{error}");
    assert!(!spec.directory.exists());
}

#[tokio::test]
async fn a_name_is_free_again_as_soon_as_the_end_is_known() {
    let node = Node::new();
    for round in 0..20 {
        let mut spec = node.spec("again", &["true"]);
        spec.directory = node.directory(&format!("again-{round}"));
        let (exit, _) = node.run(&spec).await;
        assert_eq!(exit.ending, Ending::Code(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_first_starts_at_once_all_succeed() {
    let node = Arc::new(Node::new());
    let mut running = JoinSet::new();
    for n in 0..10 {
        let node = Arc::clone(&node);
        running.spawn(async move {
            let spec = node.spec(&format!("s{n}"), &["sh", "-c", &format!("echo {n}")]);
            let (exit, output) = node.run(&spec).await;
            assert_eq!(exit.ending, Ending::Code(0));
            assert_eq!(output, format!("{n}\r\n").as_bytes());
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_socket_path_that_cannot_work_is_told_before_anything_is_made() {
    let node = Node::new();
    let socket = node.root.join("x".repeat(100)).join("tmux.sock");
    let tmux = dwell_drivers::tmux::Tmux::new(socket);
    let sessions = dwell_drivers::session::Sessions::new(Arc::new(tmux), crate::support::shim());
    let spec = node.spec("a", &["true"]);
    let error = sessions.start(&spec).await.unwrap_err();
    assert!(matches!(error, SessionError::Tmux(TmuxError::SocketPath { .. })), "{error}");
    assert!(!spec.directory.exists());
}

#[tokio::test]
async fn one_list_tells_the_state_of_many() {
    let node = Node::new();
    let running = node.start("running", &["sleep", "60"]).await;
    let ended = node.spec("ended", &["true"]);
    node.run(&ended).await;
    let list = node.tmux().list().await.unwrap();
    let state = |name: &dwell_drivers::tmux::TmuxName| {
        node.sessions.state_among(&node.directory(name.as_str()), name, &list).unwrap()
    };
    assert!(matches!(state(&running), SessionState::Running { attached: 0, pid, .. } if pid > 0));
    assert!(matches!(state(&ended.name), SessionState::Ended(_)));
}
