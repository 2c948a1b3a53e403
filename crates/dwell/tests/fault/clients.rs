//! Clients killed in the middle: what they had open in a workspace ends or stays as it should, and
//! nothing of them is left with the daemon or in the workspace.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dwell_testkit::{Terminal, TestHome, docker, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::pid;

const IMAGE: &str = "dwell-test-workspace";
const LIMIT: Duration = Duration::from_secs(40);
const ROUNDS: usize = 5;
/// Files that the daemon opens for itself now and then; one a killed client would be more.
const OWN: usize = 4;
const FILES: &str = "files of the daemon";
/// What connects in the workspace for those outside; one of it stays for a while.
const INSIDE: &str = "/run/dwell/dwell workspace-inside";

/// The processes of the home with these words in their command line.
fn clients(home: &TestHome, words: &str) -> Vec<Pid> {
    let variable = format!("XDG_STATE_HOME={}", home.path().join("state").display());
    let holds = |path: &Path, text: &str| {
        let read = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&read).replace('\0', " ").contains(text)
    };
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let found =
        all.filter(|it| holds(&it.join("cmdline"), words) && holds(&it.join("environ"), &variable));
    let number = |path: std::path::PathBuf| path.file_name()?.to_str()?.parse().ok();
    found.filter_map(number).filter_map(Pid::from_raw).collect()
}

/// Waits for a client and kills it.
#[track_caller]
fn kill(home: &TestHome, words: &str) {
    wait_until(LIMIT, &format!("`{words}` runs"), || !clients(home, words).is_empty());
    for client in clients(home, words) {
        let _ = kill_process(client, Signal::KILL);
    }
    wait_until(LIMIT, &format!("`{words}` is gone"), || clients(home, words).is_empty());
}

/// What there is of the daemon and of the workspace, by kind: files that are open, processes inside.
fn picture(home: &TestHome, container: &str) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    let files = fs::read_dir(format!("/proc/{}/fd", pid(home))).unwrap().flatten();
    let is_open = |path: &Path| fs::read_link(path).is_ok();
    all.insert(FILES.to_owned(), files.filter(|it| is_open(&it.path())).count());
    let inside = docker(["top", container, "-eo", "pid,args"]).ok().to_owned();
    for line in inside.lines().skip(1) {
        let words = line.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" ");
        *all.entry(words).or_default() += 1;
    }
    all
}

/// Everything that there was before, and nothing else.
#[track_caller]
fn nothing_is_left(home: &TestHome, container: &str, before: &BTreeMap<String, usize>, told: &str) {
    let mut now = BTreeMap::new();
    let comes_back = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(LIMIT, "nothing to be left", || {
            now = picture(home, container);
            now.iter().all(|(what, count)| {
                let most = match what.as_str() {
                    FILES => before[what] + OWN,
                    INSIDE => 1,
                    _ => before.get(what).copied().unwrap_or_default(),
                };
                *count <= most
            })
        });
    }));
    assert!(comes_back.is_ok(), "{told}: {now:#?}, before: {before:#?}");
}

fn quiet(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A port that nothing listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn killed_clients_leave_nothing_behind() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    home.dwell(["ws", "create", "box", "--image", IMAGE, "--class", "cpu=1,mem=512m"]).ok();
    let container = home.dwell(["ws", "show", "box", "--json"]).json()["container"].clone();
    let container = container.as_str().unwrap();
    home.dwell(["run", "--in", "box", "-d", "--name", "talk"]).ok();
    home.dwell(["ssh", "box", "--", "true"]).ok();
    let serve = "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(LocalAddr=>\"127.0.0.1\",\
                 LocalPort=>7000,Listen=>9) or die; $SIG{CHLD}=\"IGNORE\"; while($c=$s->accept){\
                 if(!fork){1 while sysread($c,$b,9); exit} close $c}' >/dev/null 2>&1 &";
    home.dwell(["ws", "exec", "box", "--", "sh", "-c", serve]).ok();

    let mut before = BTreeMap::new();
    for round in 0..=ROUNDS {
        let terminal = Terminal::open(&home, home.path(), "attach box talk");
        wait_until(LIMIT, "it is attached", || {
            home.dwell(["sessions", "box", "--json"]).json()[0]["attached"] == 1
        });
        kill(&home, "attach box talk");
        terminal.shows("left 137");
        drop(terminal);

        let terminal = Terminal::open(&home, home.path(), "ssh box");
        terminal.shows("dev@box");
        terminal.keys(&["sleep 4321", "Enter"]);
        let sleeps = || picture(&home, container).contains_key("sleep 4321");
        wait_until(LIMIT, "something runs there", sleeps);
        kill(&home, "box.dwell");
        wait_until(LIMIT, "what ran on that terminal has ended", || !sleeps());
        drop(terminal);

        let port = free_port();
        let ports = format!("{port}:7000");
        let mut forward = quiet(home.dwell_command().args(["forward", "box", &ports]));
        let connect = || TcpStream::connect(("127.0.0.1", port));
        wait_until(LIMIT, "it forwards", || connect().is_ok());
        let open: Vec<TcpStream> = (0..5).map(|_| connect().unwrap()).collect();
        forward.kill().unwrap();
        forward.wait().unwrap();
        wait_until(LIMIT, "nobody listens", || connect().is_err());
        drop(open);

        // The first round warms up what stays.
        if round == 0 {
            wait_until(LIMIT, "the forks are gone", || {
                picture(&home, container)
                    .iter()
                    .all(|(what, n)| !what.starts_with("perl") || *n == 1)
            });
            before = picture(&home, container);
        } else {
            nothing_is_left(&home, container, &before, &format!("round {round}"));
        }
    }
    let session = home.dwell(["sessions", "box", "--json"]).json();
    assert_eq!(session[0]["status"], "running", "what they looked at goes on: {session}");
}
