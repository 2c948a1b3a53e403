//! Commands in workspaces through the real binary: by the process that waits for them inside, and
//! by the engine where that does not answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dwell_testkit::{Ran, Terminal, TestHome, docker, show, wait_until};
use rustix::process::{Pid, Signal, kill_process};

const IMAGE: &str = "debian:bookworm";
const LIMIT: Duration = Duration::from_secs(20);

/// A home with a running workspace `box`.
fn begin() -> TestHome {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    home.dwell(["ws", "create", "box", "--image", IMAGE, "--class", "cpu=2,mem=1g"]).ok();
    home
}

#[track_caller]
fn sh(home: &TestHome, line: &str) -> Ran {
    dwell_testkit::sh(home, "box", line)
}

fn container(home: &TestHome) -> String {
    show(home, "box")["container"].as_str().unwrap().to_owned()
}

/// The socket at which commands are started.
fn socket(home: &TestHome) -> PathBuf {
    let id = show(home, "box")["id"].as_str().unwrap().to_owned();
    home.state().join("workspaces").join(id).join("sessions/commands.sock")
}

/// The processes with these words in their command line, as the engine has them.
fn running(home: &TestHome, words: &str) -> usize {
    let top = docker(["top", &container(home), "-eo", "pid,args"]);
    let lines = top.ok().lines().filter_map(|line| line.trim_start().split_once(' '));
    lines.filter(|(_, line)| line.contains(words)).count()
}

/// How many commands the engine was asked to start meanwhile.
fn by_engine(home: &TestHome, during: impl FnOnce()) -> usize {
    let name = container(home);
    let since = docker(["info", "--format", "{{.SystemTime}}"]).ok().to_owned();
    let mut events = Command::new("docker");
    events.args(["events", "--since", &since, "--filter", &format!("container={name}")]);
    events.args(["--filter", "event=exec_start"]).stdout(Stdio::piped());
    let mut events = Events(events.spawn().unwrap());
    during();
    docker(["exec", &name, "true", "that-was-it"]).ok();
    let lines = BufReader::new(events.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.take_while(|line| !line.contains("that-was-it")).count()
}

/// The engine's events; watched no longer once dropped.
struct Events(Child);

impl Drop for Events {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

fn spawn(home: &TestHome, words: &[&str]) -> Child {
    let mut command = home.dwell_command();
    command.args(["ws", "exec", "box", "--"]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_command_is_who_where_and_with_what_it_was_asked_for() {
    let home = begin();
    let asked = by_engine(&home, || {
        assert_eq!(
            sh(&home, "id -un; id -gn; pwd; echo $HOME").ok(),
            "dev\ndev\n/home/dev\n/home/dev"
        );
        let root = home.dwell([
            "ws",
            "exec",
            "-u",
            "root",
            "-w",
            "/etc",
            "box",
            "sh",
            "-c",
            "id -u; id -G; pwd; echo $HOME",
        ]);
        assert_eq!(root.ok(), "0\n0\n/etc\n/root");
        let other = home.dwell(["ws", "exec", "-u", "dev:daemon", "box", "id"]);
        assert_eq!(other.ok(), "uid=1000(dev) gid=1(daemon) groups=1(daemon)");
        let given = home.dwell([
            "ws",
            "exec",
            "-e",
            "A=b c",
            "box",
            "sh",
            "-c",
            "echo $A,$DWELL_WORKSPACE_NAME,$HOSTNAME,$PATH",
        ]);
        assert!(given.ok().starts_with("b c,box,box,/usr"), "{given:?}");
        sh(&home, "exit 7").fails_with(7);
        sh(&home, "kill -9 $$").fails_with(137);
        sh(&home, "kill -TERM $$").fails_with(143);
        let both = sh(&home, "echo out; echo err >&2");
        assert_eq!((both.ok(), both.stderr.trim()), ("out", "err"));
        sh(&home, "echo again > /dev/stderr; cat /proc/self/status | grep CapEff").ok();
    });
    assert_eq!(asked, 0, "the engine was not asked");
    let caps = |way: Ran| {
        way.ok().lines().filter(|line| line.starts_with("Cap")).collect::<Vec<_>>().join(" ")
    };
    let status = ["cat", "/proc/self/status"];
    let own = caps(home.dwell(["ws", "exec", "box", "--"].iter().chain(&status)));
    let engine = caps(docker(["exec", "-u", "dev", &container(&home)].iter().chain(&status)));
    assert_eq!(own, engine, "it may do what it may by the engine");
}

#[test]
fn what_cannot_be_started_says_why() {
    let home = begin();
    let missing = home.dwell(["ws", "exec", "box", "--", "no-such"]);
    assert!(missing.fails_with(127).contains("no program `no-such`"), "{missing:?}");
    let denied = home.dwell(["ws", "exec", "box", "--", "/etc/passwd"]);
    assert!(denied.fails_with(126).contains("/etc/passwd"), "{denied:?}");
    let nowhere = home.dwell(["ws", "exec", "-w", "/no-such", "box", "--", "true"]);
    assert!(nowhere.fails_with(126).contains("no directory `/no-such`"), "{nowhere:?}");
    let nobody = home.dwell(["ws", "exec", "-u", "no-such", "box", "--", "true"]);
    assert!(nobody.fails_with(126).contains("no user `no-such`"), "{nobody:?}");
}

#[test]
fn input_ends_and_output_is_whole() {
    let home = begin();
    let mut child = spawn(&home, &["sh", "-c", "cat; echo over"]);
    let text: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut stdin, sent) = (child.stdin.take().unwrap(), text.clone());
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut back = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut back).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(back.len(), text.len() + 5);
    assert!(back.starts_with(&text) && back.ends_with(b"over\n"));

    // What stays behind neither holds it up for long nor is ended with it.
    let begun = Instant::now();
    assert_eq!(sh(&home, "sleep 1000 & echo left").ok(), "left");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(running(&home, "sleep 1000"), 1);
}

#[test]
fn a_hundred_commands_at_a_time_keep_their_codes() {
    let home = begin();
    // Those that others leave behind are reaped, and take nobody's code.
    sh(&home, "for i in $(seq 100); do (sleep 0.0$i &); done").ok();
    std::thread::scope(|scope| {
        for n in 0..100 {
            let home = &home;
            scope.spawn(move || {
                let ran = sh(home, &format!("(sleep 0.1 &); echo {n}; exit {n}"));
                assert_eq!((ran.code, ran.stdout.trim()), (Some(n), n.to_string().as_str()));
            });
        }
    });
    wait_until(LIMIT, "nothing is left", || running(&home, "sleep") == 0);
    let top = docker(["top", &container(&home), "-eo", "pid,stat,args"]);
    assert!(!top.ok().contains("<defunct>"), "{top:?}");
}

#[test]
fn a_terminal_has_its_size_and_ends_with_its_client() {
    let home = begin();
    let terminal = Terminal::shell(&home, home.path());
    let binary = home.binary().display();
    let line = format!("sh -c 'echo $$ > client; exec {binary} ws exec box'");
    terminal.keys(&[&line, "Enter"]);
    terminal.shows("dev@box");
    let has_size = |rows: [u16; 2], columns: u16| {
        terminal.keys(&["clear; stty size", "Enter"]);
        let screen = terminal.screen();
        rows.iter().any(|rows| screen.contains(&format!("{rows} {columns}")))
    };
    // The last row may be its own.
    wait_until(LIMIT, "it knows its size", || has_size([29, 30], 100));
    terminal.keys(&["clear; test -w $(tty) && echo \"m\"ine $TERM", "Enter"]);
    terminal.shows("mine ");
    terminal.resize(90, 20);
    wait_until(LIMIT, "it knows its new size", || has_size([19, 20], 90));
    terminal.keys(&["clear; sleep 4567", "Enter"]);
    wait_until(LIMIT, "it sleeps", || running(&home, "sleep 4567") == 1);
    terminal.keys(&["C-c"]);
    wait_until(LIMIT, "it is interrupted", || running(&home, "sleep 4567") == 0);

    // Whoever is killed says no farewell.
    terminal.keys(&["clear; sleep 4568", "Enter"]);
    wait_until(LIMIT, "it sleeps", || running(&home, "sleep 4568") == 1);
    let client = std::fs::read_to_string(home.path().join("client")).unwrap();
    let client = Pid::from_raw(client.trim().parse().unwrap()).unwrap();
    kill_process(client, Signal::KILL).unwrap();
    wait_until(LIMIT, "nothing of it is left", || {
        running(&home, "sleep 4568") == 0 && running(&home, "bash") == 0
    });
    assert_eq!(sh(&home, "ls /dev/pts").ok(), "ptmx");
}

#[test]
fn a_command_whose_client_was_killed_is_ended() {
    let home = begin();
    let scripts = [
        "sleep 7001",
        // One that does not care is killed.
        "trap '' TERM HUP; while :; do sleep 7001; done",
        "sleep 7001 & sleep 7001; wait",
    ];
    for script in scripts {
        let mut child = spawn(&home, &["sh", "-c", script]);
        wait_until(LIMIT, "it runs", || running(&home, "sleep 7001") > 0);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        wait_until(LIMIT, &format!("`{script}` is gone"), || running(&home, "7001") == 0);
    }
}

#[test]
fn freezing_a_command_loses_nothing_of_it() {
    let home = begin();
    let mut child = spawn(&home, &["sh", "-c", "echo begun; cat; exit 9"]);
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 6];
    stdout.read_exact(&mut first).unwrap();
    home.dwell(["ws", "suspend", "box"]).ok();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"while frozen\n").unwrap();
    drop(stdin);
    assert!(child.try_wait().unwrap().is_none());
    home.dwell(["ws", "resume", "box"]).ok();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("while frozen\n", Some(9)));

    // One whose workspace is stopped ends with it.
    let mut child = spawn(&home, &["sh", "-c", "echo begun; sleep 1000"]);
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    home.dwell(["ws", "stop", "box"]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn the_engine_starts_commands_where_the_socket_does_not_answer() {
    let home = begin();
    let place = socket(&home);
    let aside = place.with_extension("aside");
    let once = || {
        let mut child = spawn(&home, &["sh", "-c", "read line; echo got $line; exit 5"]);
        child.stdin.take().unwrap().write_all(b"it\n").unwrap();
        let out = child.wait_with_output().unwrap();
        assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(5), &b"got it\n"[..]));
    };
    assert_eq!(by_engine(&home, once), 0);
    std::fs::rename(&place, &aside).unwrap();
    assert_eq!(by_engine(&home, once), 1, "without a socket");
    std::fs::write(&place, "no socket").unwrap();
    assert_eq!(by_engine(&home, once), 1, "with a file in its place");
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&aside, &place).unwrap();
    assert_eq!(by_engine(&home, once), 0);

    // What starts commands comes back when it was killed.
    let kill = "kill -9 $(grep -al 'workspace-comm[a]nds' /proc/[0-9]*/cmdline | cut -d/ -f3)";
    home.dwell(["ws", "exec", "-u", "root", "box", "--", "sh", "-c", kill]);
    assert_eq!(by_engine(&home, once), 0);
    home.dwell(["ws", "stop", "box"]).ok();
    home.dwell(["ws", "start", "box"]).ok();
    assert_eq!(by_engine(&home, once), 0, "after another start");
}

#[test]
fn nobody_inside_is_answered_and_nobody_inside_answers_for_it() {
    let home = begin();
    // Whoever connects from inside is hung up on without a word.
    let ask = "perl -MIO::Socket::UNIX -e '$s=IO::Socket::UNIX->new(Peer=>\
               \"/run/dwell-sessions/commands.sock\") or die; $n=sysread($s,$b,99); print \"<$n>\"'";
    let asked = home.dwell(["ws", "exec", "-u", "root", "box", "--", "sh", "-c", ask]);
    assert_eq!(asked.ok(), "<0>");
    sh(&home, ask).fails_with(13);

    // Another process that listens in its place is not asked, whatever it would say.
    let lie = "perl -MIO::Socket::UNIX -e '$SIG{PIPE}=\"IGNORE\"; $p=\"/run/dwell-sessions/commands.sock\"; unlink $p; \
               $s=IO::Socket::UNIX->new(Local=>$p,Listen=>9) or die; print \"up\\n\"; close STDOUT; \
               while($c=$s->accept){print $c \"dwell commands 1\\n\"; if(sysread($c,$b,9999)){ \
               open F,\">/tmp/taken\"; print F $b; close F} print $c \"\\4\\0\\0\\0\\4\\0\\0\\0\\0\"}' & sleep 0.5";
    let told = home.dwell(["ws", "exec", "-u", "root", "box", "--", "sh", "-c", lie]);
    assert_eq!(told.ok(), "up");
    let asked = by_engine(&home, || {
        sh(&home, "exit 3").fails_with(3);
        assert_eq!(sh(&home, "ls /tmp").ok(), "");
    });
    assert_eq!(asked, 2);
}
