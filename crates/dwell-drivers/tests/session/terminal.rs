//! The session as a terminal: size, keys, text, job control, and attaching.

use std::process::Command;

use dwell_drivers::session::{Ending, SessionState};
use dwell_drivers::tmux::{Key, Size, TmuxError};

use crate::support::{Node, eventually};

#[tokio::test]
async fn a_new_size_reaches_the_command() {
    let node = Node::new();
    let script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done";
    let name = node.start("size", &["sh", "-c", script]).await;
    node.shows("size", "30 100\r\n").await;
    node.tmux().resize(&name, Size { columns: 61, rows: 17 }).await.unwrap();
    node.shows("size", "17 61\r\n").await;
}

#[tokio::test]
async fn text_arrives_whole() {
    let node = Node::new();
    let text = "first line\n\tGrüße 日本 👩‍🚀 $(id) `x` \"'\\ #{pid} ;\n\n-last; line";
    let script = "cat > short; cat > long";
    let name = node.start("text", &["sh", "-c", script]).await;
    let file = |name: &str| std::fs::read_to_string(node.root.join(name)).unwrap_or_default();
    node.tmux().send_text(&name, text, true).await.unwrap();
    eventually("the text", || file("short") == format!("{text}\n")).await;
    node.tmux().send_key(&name, &Key::parse("C-d").unwrap()).await.unwrap();
    eventually("the second file", || node.root.join("long").exists()).await;
    let long: String = (0..20_000).map(|n| format!("line {n} of a long text\n")).collect();
    node.tmux().send_text(&name, &long, false).await.unwrap();
    eventually("the long text", || file("long").len() >= long.len()).await;
    assert!(file("long") == long);
    node.tmux().send_key(&name, &Key::parse("C-d").unwrap()).await.unwrap();
    let (exit, _) = node.finish(&node.directory("text"), &name).await;
    assert_eq!(exit.ending, Ending::Code(0));
}

#[tokio::test]
async fn a_paste_is_bracketed_for_programs_that_want_it() {
    let node = Node::new();
    let script = "stty raw -echo; printf '\\033[?2004h'; printf ready; cat -v";
    let name = node.start("paste", &["sh", "-c", script]).await;
    node.screen(&name, 1, "ready").await;
    node.tmux().send_text(&name, "two\nlines", true).await.unwrap();
    node.shows("paste", "^[[200~two^Mlines^[[201~^M").await;
    let error = node.tmux().send_text(&name, "a\u{1b}[201~b", true).await.unwrap_err();
    assert!(matches!(error, TmuxError::Control { .. }), "{error}");
}

#[tokio::test]
async fn keys_reach_a_pane_that_was_left_scrolled_back() {
    let node = Node::new();
    let name = node.start("keys", &["cat"]).await;
    let tmux = |arguments: &[&str]| {
        let socket = node.tmux().socket();
        assert!(
            Command::new("tmux").arg("-S").arg(socket).args(arguments).status().unwrap().success()
        );
    };
    for round in ["one", "two"] {
        tmux(&["copy-mode", "-t", "=keys:"]);
        node.tmux().send_text(&name, round, true).await.unwrap();
        node.shows("keys", &format!("{round}\r\n{round}\r\n")).await;
    }
    tmux(&["copy-mode", "-t", "=keys:"]);
    for key in ["x", ";", "Enter"] {
        node.tmux().send_key(&name, &Key::parse(key).unwrap()).await.unwrap();
    }
    node.shows("keys", "x;\r\nx;\r\n").await;
}

#[tokio::test]
async fn job_control_works() {
    let node = Node::new();
    let mut spec = node.spec("jobs", &["bash", "--norc", "--noprofile", "-i"]);
    spec.environment.push(("PS1".into(), "ready> ".into()));
    node.sessions.start(&spec).await.unwrap();
    node.shows("jobs", "ready> ").await;
    let key = async |key: &str| {
        node.tmux().send_key(&spec.name, &Key::parse(key).unwrap()).await.unwrap();
    };
    let text = async |text: &str| {
        node.tmux().send_text(&spec.name, text, true).await.unwrap();
    };
    text("sh -c 'echo job-$((1+1)); exec sleep 60'").await;
    node.shows("jobs", "job-2").await;
    key("C-z").await;
    node.shows("jobs", "Stopped").await;
    let SessionState::Running { pid, .. } = node.state(&spec.name).await else { panic!("ended") };
    let front = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields = stat.rsplit(')').next().unwrap();
        fields.split_whitespace().nth(5).unwrap().parse::<i32>().unwrap()
    };
    text("fg").await;
    eventually("the job in front", || front() != pid).await;
    key("C-c").await;
    eventually("the shell in front", || front() == pid).await;
    text("echo code-$?").await;
    node.shows("jobs", "code-130\r\n").await;
    text("tty").await;
    node.shows("jobs", "/dev/pts/").await;
    text("exit 3").await;
    let (exit, _) = node.finish(&spec.directory, &spec.name).await;
    assert_eq!(exit.ending, Ending::Code(3));
}

#[tokio::test]
async fn an_interrupt_reaches_a_command_without_a_terminal() {
    let node = Node::new();
    let mut spec = node.spec("pipes", &["sh", "-c", "echo up; sleep 60"]);
    spec.pty = false;
    node.sessions.start(&spec).await.unwrap();
    node.shows("pipes", "up").await;
    node.tmux().send_key(&spec.name, &Key::parse("C-c").unwrap()).await.unwrap();
    let (exit, _) = node.finish(&spec.directory, &spec.name).await;
    assert_eq!(exit.ending, Ending::Signal(2));
}

#[tokio::test]
async fn the_screen_is_captured() {
    let node = Node::new();
    let name = node.start("screen", &["sh", "-c", "seq 1 100; printf '\\033[31mred'; cat"]).await;
    node.screen(&name, 3, "99\n100\nred").await;
    assert_eq!(node.tmux().capture(&name, 1000).await.unwrap().lines().count(), 101);
}

#[tokio::test]
async fn attaching_shows_the_screen_and_types_into_it() {
    let node = Node::new();
    let name = node
        .start("inner", &["sh", "-c", "echo welcome; while read -r line; do cat copy; done"])
        .await;
    node.shows("inner", "welcome").await;
    // A second tmux is the terminal of a person, which makes this nested use as well.
    let person = Node::new();
    let attach = node.tmux().attach_command(&name, false, true);
    let attach: Vec<&str> = attach.iter().map(|word| word.to_str().unwrap()).collect();
    let mut spec = person.spec("outer", &attach);
    spec.environment.push(("LANG".into(), "C.UTF-8".into()));
    person.sessions.start(&spec).await.unwrap();
    person.shows("outer", "welcome").await;
    person.tmux().send_text(&spec.name, "grüße", true).await.unwrap();
    node.shows("inner", "grüße\r\n").await;
    node.attached(&name, 1).await;
    // The window follows the terminal (whose last line is the status line), also after a resize.
    person.tmux().resize(&spec.name, Size { columns: 77, rows: 21 }).await.unwrap();
    let size = || {
        let socket = node.tmux().socket();
        let format = ["display-message", "-p", "-t", "=inner:", "#{pane_width}x#{pane_height}"];
        let output = Command::new("tmux").arg("-S").arg(socket).args(format).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    eventually("the new size", || size().trim() == "77x20").await;
    // What the command copies reaches the clipboard of the person's terminal.
    std::fs::write(node.root.join("copy"), "\u{1b}]52;c;aGVsbG8=\u{7}").unwrap();
    node.tmux().send_text(&name, "copy", true).await.unwrap();
    person.shows("outer", ";aGVsbG8=\u{7}").await;
    assert!(person.output("outer").contains("\u{1b}]52;"));
    // The terminal is closed; the session stays.
    person.sessions.end(&spec.directory, &spec.name).await.unwrap();
    node.attached(&name, 0).await;
}

#[tokio::test]
async fn the_server_has_the_options_that_agents_need() {
    let node = Node::new();
    let include = node.root.join("it's mine.conf");
    std::fs::write(&include, "set -g status-left mine\nset -g exit-empty on\n").unwrap();
    let tmux = dwell_drivers::tmux::Tmux::new(node.tmux().socket()).with_include(&include);
    let sessions = dwell_drivers::session::Sessions::new(tmux.into(), crate::support::shim());
    sessions.start(&node.spec("a", &["cat"])).await.unwrap();
    let options = Command::new("tmux")
        .arg("-S")
        .arg(node.tmux().socket())
        .args(["show-options", "-g", ";", "show-options", "-gs", ";", "show-options", "-gw"])
        .output()
        .unwrap();
    let options = String::from_utf8(options.stdout).unwrap();
    for line in [
        "set-clipboard on",
        "allow-passthrough on",
        "mouse on",
        "history-limit 50000",
        "focus-events on",
        "escape-time 10",
        "default-terminal tmux-256color",
        "destroy-unattached off",
        "exit-empty off",
        "status-left mine",
        "window-size latest",
    ] {
        assert!(options.lines().any(|option| option == line), "{line}\n{options}");
    }
    assert!(options.contains(r"Ms=\\E]52;%p1%s;%p2%s\\007"), "{options}");
    assert!(options.contains("*:RGB"));
    use std::os::unix::fs::PermissionsExt;
    let mode =
        |name: &str| std::fs::metadata(node.root.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("run"), mode("run/tmux.sock") & 0o077), (0o700, 0));
}

#[tokio::test]
async fn a_broken_include_does_not_keep_sessions_from_starting() {
    let node = Node::new();
    let include = node.root.join("broken.conf");
    std::fs::write(&include, "no-such-command\nset -g mouse off\n").unwrap();
    let tmux = dwell_drivers::tmux::Tmux::new(node.tmux().socket()).with_include(&include);
    let sessions = dwell_drivers::session::Sessions::new(tmux.into(), crate::support::shim());
    let spec = node.spec("a", &["echo", "hello"]);
    sessions.start(&spec).await.unwrap();
    let (exit, output) = node.finish(&spec.directory, &spec.name).await;
    assert_eq!((exit.ending, output.as_slice()), (Ending::Code(0), &b"hello\r\n"[..]));
    // The server stays, as dwell needs it.
    node.empty().await;
    assert!(node.tmux().socket().exists());
}
