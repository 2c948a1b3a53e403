//! Sessions in a workspace while the engine, the daemon or both are killed: each is there, or
//! restored and marked so, or lost and told as such; and none is told to run that does not.

use std::fs;
use std::time::{Duration, Instant};

use dwell_testkit::{Engine, Terminal, TestHome, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::pid;

const IMAGE: &str = "dwell-test-workspace";
const LIMIT: Duration = Duration::from_secs(60);
/// How long a listing may be behind what just died.
const BEHIND: Duration = Duration::from_secs(2);
const NAMES: [&str; 4] = ["claude", "shell", "job", "over"];

/// A workspace with an agent, a shell, a task and what is over, on an engine to be killed.
struct Bench {
    // The home goes first: its containers are the engine's.
    home: TestHome,
    engine: Engine,
    id: String,
}

impl Bench {
    fn start() -> Option<Self> {
        let engine = Engine::private()?;
        engine.load(IMAGE);
        let home = TestHome::on_engine(env!("CARGO_BIN_EXE_dwell"), Some(engine.host()));
        home.dwell(["ws", "create", "box", "--image", IMAGE, "--class", "cpu=1,mem=512m"]).ok();
        let id = home.dwell(["ws", "show", "box", "--json"]).json()["id"].clone();
        let bench = Self { engine, home, id: id.as_str().unwrap().to_owned() };
        // What dwell adds to a command line of Claude Code is not its business.
        let agent = "mkdir -p ~/.local/bin; cd ~/.local/bin; printf '#!/bin/sh\\n\
                     [ \"$1\" != --settings ] || shift 2\\necho \"agent $*\"\\n\
                     exec sleep 1000\\n' > claude; chmod +x claude";
        bench.home.dwell(["ws", "exec", "box", "--", "sh", "-c", agent]).ok();
        let run = ["run", "--in", "box", "-d"];
        for more in [
            &["--", "claude", "--model", "opus", "fix it"][..],
            &["--name", "shell"],
            &["--name", "job", "--", "sh", "-c", "echo begun; exec sleep 1000"],
        ] {
            bench.home.dwell([&run, more].concat()).ok();
        }
        bench.home.dwell(["run", "--in", "box", "--name", "over", "--", "true"]).ok();
        bench.says("claude", "agent --model opus fix it");
        bench.says("job", "begun");
        Some(bench)
    }

    fn sessions(&self) -> Vec<Value> {
        let list = || self.home.dwell(["sessions", "box", "--json"]);
        // A daemon that is just dying may close the connection; the next one answers.
        let listed = Some(list()).filter(|ran| ran.code == Some(0)).unwrap_or_else(list);
        listed.json().as_array().unwrap().clone()
    }

    fn session(&self, name: &str) -> Value {
        let all = self.sessions();
        all.into_iter().find(|it| it["name"] == name).expect("it is listed")
    }

    fn says(&self, name: &str, text: &str) {
        wait_until(LIMIT, &format!("{name} says {text}"), || {
            self.home.dwell(["logs", "box", "--session", name]).stdout.contains(text)
        });
    }

    /// Whether a process of a session lives, as the machine's kernel tells.
    fn lives(&self, name: &str) -> bool {
        let wanted = [format!("DWELL_WORKSPACE={}", self.id), format!("DWELL_SESSION={name}")];
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let read = fs::read(entry.path().join("environ")).unwrap_or_default();
            let variables: Vec<&[u8]> = read.split(|byte| *byte == 0).collect();
            wanted.iter().all(|it| variables.contains(&it.as_bytes()))
        })
    }

    /// None is told to run that has not run for a while.
    fn told_true(&self) {
        let deadline = Instant::now() + BEHIND;
        loop {
            let all = self.sessions();
            assert_eq!(all.len(), NAMES.len(), "all are listed: {all:?}");
            let runs = all.iter().filter(|it| it["status"] == "running");
            let wrong: Vec<&Value> =
                runs.filter(|it| !self.lives(it["name"].as_str().unwrap())).collect();
            if wrong.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "told to run and do not: {wrong:?}");
        }
    }

    fn kill_daemon(&self) {
        let daemon = i32::try_from(pid(&self.home)).unwrap();
        kill_process(Pid::from_raw(daemon).unwrap(), Signal::KILL).unwrap();
    }

    /// The first process of the workspace, as this machine knows it.
    fn first(&self) -> Pid {
        let filter = format!("label=dwell.workspace={}", self.id);
        let list = ["ps", "-q", "--filter", &filter];
        let container = self.engine.docker(list).ok().to_owned();
        let inspect = ["inspect", "-f", "{{.State.Pid}}", &container];
        let inner = self.engine.docker(inspect).ok().to_owned();
        let is_it = |path: &std::path::Path| {
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let spaces = status.lines().find(|line| line.starts_with("NSpid:")).unwrap_or_default();
            spaces.split_whitespace().any(|word| word == inner) && spaces.ends_with("\t1")
        };
        let mut all = fs::read_dir("/proc").unwrap().flatten();
        let found = all.find(|entry| is_it(&entry.path())).expect("its first process is there");
        found.file_name().to_str().unwrap().parse().ok().and_then(Pid::from_raw).unwrap()
    }

    /// Those that can go on were restored and say so, the task is lost, what was over still is.
    fn restored(&self, why: &str) {
        let is_restored = |name: &str| {
            let it = self.session(name);
            it["status"] == "running" && it["restored"] == true
        };
        wait_until(LIMIT, &format!("they are restored after {why}"), || {
            self.told_true();
            is_restored("claude") && is_restored("shell")
        });
        self.says("claude", "agent --continue --model opus");
        for name in ["claude", "shell"] {
            assert!(self.lives(name), "{name} after {why}");
        }
        assert_eq!(self.session("job")["status"], "lost", "after {why}");
        assert!(!self.lives("job"), "after {why}");
        assert_eq!(self.session("over")["status"], "ended", "after {why}");
        self.says("job", "begun");
        let listed = self.home.dwell(["sessions", "box"]);
        assert!(listed.ok().contains("(restored)") && listed.ok().contains("lost"), "{listed:?}");
        // The task can be begun anew, by whoever wants that.
        self.home.dwell(["run", "--in", "box", "-d", "--resume=job"]).ok();
        assert!(self.session("job")["status"] == "running" && self.lives("job"));
    }
}

#[test]
fn sessions_outlive_the_daemon_and_are_restored_after_the_engine() {
    let Some(mut bench) = Bench::start() else { return };
    bench.told_true();

    bench.kill_daemon();
    bench.told_true();
    for name in ["claude", "shell", "job"] {
        let it = bench.session(name);
        assert!(it["status"] == "running" && it["restored"].is_null(), "{it}");
    }

    let terminal = Terminal::open(&bench.home, bench.home.path(), "attach box shell");
    wait_until(LIMIT, "it is shown", || bench.session("shell")["attached"] == 1);
    bench.engine.kill();
    let begun = Instant::now();
    bench.told_true();
    assert!(begun.elapsed() < Duration::from_secs(10), "a listing waits for no engine");
    bench.engine.restart();
    bench.restored("the engine");
    // The terminal shows the session again, or has said how it ended.
    wait_until(LIMIT, "the terminal is of use", || {
        terminal.keys(&["echo up-$((1+1))", "Enter"]);
        let screen = terminal.screen();
        screen.contains("up-2") || screen.contains("left ")
    });
    drop(terminal);

    bench.engine.kill();
    bench.kill_daemon();
    bench.told_true();
    bench.engine.restart();
    bench.restored("both");

    // As a machine that lost its power.
    let first = bench.first();
    bench.engine.kill();
    bench.kill_daemon();
    kill_process(first, Signal::KILL).unwrap();
    bench.told_true();
    assert!(bench.sessions().iter().all(|it| it["status"] != "running"), "nothing runs");
    bench.engine.restart();
    bench.restored("a loss of power");
}
