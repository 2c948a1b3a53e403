//! Every verb on an environment whose home is a node does what it does on one that is here.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dwell_testkit::{HostPlan, Ran, Terminal, http, resolve, run, wait_until};
use serde_json::Value;

use crate::bench::Bench;

const LIMIT: Duration = Duration::from_secs(30);

const COMPOSE: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sh", "-c", "echo web is up; exec httpd -f -p 80 -h /www"]
    volumes: ["./web:/www:ro"]
    labels: { dwell.ingress: "true" }
    expose: ["80"]
    init: true
    stop_grace_period: 1s
    healthcheck: { test: "netstat -ltn | grep -q :80", interval: 500ms, retries: 60 }
  store:
    image: busybox:latest
    command: ["sh", "-c", "echo store is up; exec sleep 1d"]
    expose: ["9000"]
    init: true
    stop_grace_period: 1s
"#;

/// An environment to do things with.
struct Place<'a> {
    bench: &'a Bench,
    project: &'a Path,
    name: &'static str,
    /// Where its commands run.
    host: &'a str,
}

impl Place<'_> {
    fn dwell(&self, arguments: &[&str]) -> Ran {
        self.bench.home.dwell_in(self.project, arguments)
    }

    /// Runs with something on its input.
    fn fed(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.bench.home.dwell_command();
        command.current_dir(self.project).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let mut echo = self.bench.home.command("cat");
        let mut ran = run(echo.arg("/dev/null"), LIMIT);
        ran.code = output.status.code();
        ran.stdout = String::from_utf8(output.stdout).unwrap();
        ran.stderr = String::from_utf8(output.stderr).unwrap();
        ran
    }

    fn session(&self, name: &str) -> (String, Option<i64>) {
        let all = self.dwell(&["sessions", self.name, "--json"]).json();
        let found = all.as_array().unwrap().iter().find(|session| session["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not listed: {all}"));
        (found["status"].as_str().unwrap().to_owned(), found["exit_code"].as_i64())
    }

    fn transcript(&self, name: &str) -> String {
        self.dwell(&["logs", self.name, "--session", name]).ok().to_owned()
    }
}

#[test]
fn every_verb_does_there_what_it_does_here() {
    let plan = HostPlan::new("one").images(["busybox:latest"]);
    let Some(bench) = Bench::start([plan]) else { return };
    let project =
        bench.home.project("shop").compose(COMPOSE).file("web/index.html", "page\n").git();
    let project = project.path();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let here = Place { bench: &bench, project, name: "blue", host: host.trim() };
    let there = Place { bench: &bench, project, name: "red", host: "one" };
    let up = there.dwell(&["up", "red", "--remote", "one", "--wait"]);
    assert!(up.ok().contains("`shop/red` is up"), "{up:?}");
    here.dwell(&["up", "blue", "--wait"]).ok();
    for place in [&here, &there] {
        println!("--- {}", place.name);
        addresses(place);
        services(place);
        work(place);
        sessions(place);
        terminals(place);
        waiting(place);
    }
}

/// `path`, `url`, `env`.
fn addresses(place: &Place<'_>) {
    let name = place.name;
    let path = place.dwell(&["path", name]);
    let path = path.ok();
    assert!(path.ends_with(&format!("/shop/{name}")), "{path}");
    assert_eq!(place.dwell(&["run", "--no-session", "pwd", name]).ok(), path);

    let url = place.dwell(&["url", name, "web"]);
    assert_eq!(url.ok(), format!("http://shop.{name}.test"));
    assert_eq!(place.dwell(&["url", name]).ok(), format!("http://shop.{name}.test"));
    assert_eq!(place.dwell(&["url", name, "store"]).ok(), format!("http://store.{name}.test:9000"));
    assert!(place.dwell(&["url", name, "none"]).fails_with(3).contains("no service `none`"));
    let at = resolve(place.bench.home.dns_port(), &format!("web.{name}.test"));
    let stream = TcpStream::connect((at[0], 80)).unwrap();
    let (code, page) = http(stream, &format!("GET / HTTP/1.0\nhost: web.{name}.test"), "");
    assert!(code == 200 && page.contains("page"), "{page}");

    // They lead there from here.
    let shown = place.dwell(&["env", name, "--format", "json"]).json();
    assert_eq!(shown["DWELL_ENV"], name);
    assert_eq!(shown["WEB_HOST"], at[0].to_string(), "{shown}");
    assert_eq!(shown["STORE_PORT"], "9000", "{shown}");
    assert_eq!(shown["DWELL_WORKSPACE"], path, "{shown}");
    // And there from there.
    let script =
        "exec 3<>/dev/tcp/$WEB_HOST/$WEB_PORT && echo $DWELL_ENV $STORE_PORT $DWELL_PROJECT";
    let ran = place.dwell(&["run", "--no-session", "bash", name, "-c", script]);
    assert_eq!(ran.ok(), format!("{name} 9000 shop"));
}

/// `exec`, `logs`, `compose`.
fn services(place: &Place<'_>) {
    let name = place.name;
    assert_eq!(place.fed(&["exec", name, "web", "cat"], "in and out\n").stdout, "in and out\n");
    let ran = place.dwell(&["exec", name, "web", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(7), "out\n", "err\n"));
    let ran =
        place.dwell(&["exec", "-w", "/www", "-e", "A=b", name, "web", "sh", "-c", "pwd; echo $A"]);
    assert_eq!(ran.ok(), "/www\nb");
    assert!(place.dwell(&["exec", name, "none", "true"]).fails_with(3).contains("none"));

    let logs = place.dwell(&["logs", name]);
    assert!(logs.ok().contains("web is up") && logs.stdout.contains("store is up"), "{logs:?}");
    let logs = place.dwell(&["logs", name, "store", "--tail", "1"]);
    assert!(logs.ok().contains("store is up") && !logs.stdout.contains("web is up"), "{logs:?}");
    let mut command = place.bench.home.dwell_command();
    command.current_dir(place.project).args(["logs", "--follow", name, "web"]);
    let mut following = command.stdout(Stdio::null()).spawn().unwrap();
    assert!(following.try_wait().unwrap().is_none());
    following.kill().unwrap();
    following.wait().unwrap();

    let ran = place.dwell(&["compose", name, "ps", "--services"]);
    let mut services: Vec<&str> = ran.ok().lines().collect();
    services.sort_unstable();
    assert_eq!(services, ["store", "web"]);
    assert_ne!(place.dwell(&["compose", name, "no-such-verb"]).code, Some(0));
}

/// `run --no-session`, `diff`, `status`.
fn work(place: &Place<'_>) {
    let name = place.name;
    let script = "cat > made; hostname; echo oh >&2; exit 3";
    let ran = place.fed(&["run", "--no-session", "sh", name, "-c", script], "fed\n");
    let told = ran.stderr.lines().last();
    assert_eq!((ran.code, ran.stdout.trim(), told), (Some(3), place.host, Some("oh")));
    let diff = place.dwell(&["diff", name]);
    assert!(diff.ok().contains("+++ b/made") && diff.stdout.contains("+fed"), "{diff:?}");
    assert_eq!(place.dwell(&["diff", name, "--name-only"]).ok(), "made");
    assert!(place.dwell(&["diff", name, "--stat"]).ok().contains("1 file changed"));
    let diff = place.dwell(&["diff", name, "--json"]).json();
    assert!(diff["text"].as_str().unwrap().contains("+fed"), "{diff}");

    let status = place.dwell(&["status", name, "--json"]).json();
    assert_eq!(status["branch"], format!("dwell/{name}"), "{status}");
    assert_eq!((&status["status"], &status["desired"]), (&"running".into(), &"running".into()));
    let missing = place.dwell(&["run", "--no-session", "no-such-program", name]);
    assert!(missing.code.is_some_and(|code| code != 0), "{missing:?}");
}

/// `run`, `send`, `sessions`, `sessions kill`, `run --resume`.
fn sessions(place: &Place<'_>) {
    let name = place.name;
    let ran = place.fed(&["run", "--name", "piped", "sh", name, "-c", "hostname; exit 4"], "");
    assert_eq!((ran.code, ran.stdout.trim()), (Some(4), place.host), "{ran:?}");
    assert_eq!(place.session("piped"), ("ended".to_owned(), Some(4)));

    let script = "echo begun; read a; echo got-$a; read b; exit 5";
    let run = ["run", "--detach", "--name", "talk", "--env", "GIVEN=x", "sh", name, "-c", script];
    let ran = place.dwell(&run);
    assert!(ran.ok() == "talk" && ran.stderr.contains("dwell attach"), "{ran:?}");
    wait_until(LIMIT, "it speaks", || place.transcript("talk").contains("begun"));
    place.dwell(&["send", name, "--session", "talk", "hello", "you"]).ok();
    wait_until(LIMIT, "it heard", || place.transcript("talk").contains("got-hello you"));
    let again = place.dwell(&["run", "--resume=talk", name]);
    assert!(again.fails_with(5).contains("still runs"), "{again:?}");
    let idle = place.dwell(&["wait", name, "--for", "idle", "--timeout", "1s"]);
    assert!(idle.fails_with(124).contains("was not idle within 1 s"), "{idle:?}");
    let killed = place.dwell(&["sessions", "kill", name, "talk"]);
    killed.ok();
    assert!(killed.stderr.contains("session talk is ended"), "{killed:?}");
    assert_eq!(place.session("talk").0, "ended");
    place.dwell(&["wait", name, "--for", "idle", "--timeout", "10s"]).ok();

    let ran = place.dwell(&["run", "--resume=talk", "--detach", name]);
    assert_eq!(ran.ok(), "talk");
    assert_eq!(place.session("talk").0, "running");
    wait_until(LIMIT, "it speaks anew", || place.transcript("talk").contains("begun"));
    for text in ["a", "b"] {
        place.dwell(&["send", name, "--session", "talk", text]).ok();
    }
    wait_until(LIMIT, "it ends", || place.session("talk") == ("ended".to_owned(), Some(5)));
    let listed = place.dwell(&["sessions", name]);
    assert!(listed.ok().contains("ended (5)") && listed.stdout.contains("ended (4)"), "{listed:?}");
}

/// `attach`, and `run` in a terminal.
fn terminals(place: &Place<'_>) {
    let name = place.name;
    let ran = place.fed(&["attach", name], "");
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let terminal = Terminal::shell(&place.bench.home, place.project);
    let script = "\"tty >/dev/null && echo at-a-terminal; read a; echo got-\\$a; read b; exit 6\"";
    terminal.runs(&format!("run --name seen sh {name} -c {script}"), "at-a-terminal");
    terminal.keys(&["one", "Enter"]);
    terminal.says("got-one");
    // Detached, it goes on.
    terminal.keys(&["C-b", "d"]);
    terminal.says("left 0");
    assert_eq!(place.session("seen").0, "running");
    terminal.runs(&format!("attach {name} seen"), "got-one");
    terminal.keys(&["two", "Enter"]);
    terminal.says("left 6");
    assert_eq!(place.session("seen"), ("ended".to_owned(), Some(6)));
    let attached = place.dwell(&["attach", name, "seen"]);
    assert!(attached.fails_with(1).contains("does not run any more"), "{attached:?}");
}

/// `wait`, `down`, `up`.
fn waiting(place: &Place<'_>) {
    let name = place.name;
    let ready = place.dwell(&["wait", name, "--for", "ready", "--timeout", "20s"]);
    assert!(ready.ok().contains("is running"), "{ready:?}");
    let late = place.dwell(&["wait", name, "--for", "stopped", "--timeout", "1s"]);
    assert!(late.fails_with(124).contains("was not stopped within 1 s"), "{late:?}");
    assert!(place.dwell(&["down", name]).ok().contains("is down"));
    place.dwell(&["wait", name, "--for", "stopped", "--timeout", "10s"]).ok();
    let ran = place.dwell(&["exec", name, "web", "true"]);
    assert!(ran.fails_with(1).contains("does not run"), "{ran:?}");
    assert!(place.dwell(&["url", name, "web"]).fails_with(1).contains("does not run"));
    assert!(place.dwell(&["up", name]).ok().contains("is up"));
    let again = place.dwell(&["up", name, "--json"]);
    let last: Value = serde_json::from_str(again.ok().lines().last().unwrap()).unwrap();
    assert_eq!(last["changed"], false, "{last}");
}

#[test]
fn a_key_that_stays_here_is_told_and_one_that_is_given_goes() {
    let plan = HostPlan::new("one").images(["busybox:latest"]);
    let Some(bench) = Bench::start([plan]) else { return };
    let project =
        bench.home.project("shop").compose(COMPOSE).file("web/index.html", "page\n").git();
    bench.hosts.host("one").tool("claude", "#!/bin/sh\necho \"key: ${ANTHROPIC_API_KEY:-none}\"\n");
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let claude = |more: &[&str]| {
        let mut command = bench.home.dwell_command();
        command.current_dir(project.path()).env("ANTHROPIC_API_KEY", "secret");
        run(command.args([&["run"], more, &["claude", "red"]].concat()), Duration::from_secs(60))
    };
    for more in [&["--no-create"][..], &["--no-create", "--no-session"]] {
        let ran = claude(more);
        assert!(ran.ok().contains("key: none"), "{ran:?}");
        let told = "ANTHROPIC_API_KEY is set here and not on one";
        assert!(ran.stderr.contains(told) && ran.stderr.contains("--env ANTHROPIC_API_KEY"));
        assert!(!ran.stderr.contains("secret"), "{ran:?}");
        let ran = claude(&[more, &["--env", "ANTHROPIC_API_KEY"]].concat());
        assert!(ran.ok().contains("key: secret") && !ran.stderr.contains("is set here"), "{ran:?}");
    }
}

#[test]
fn output_is_followed_over_a_link_that_was_lost() {
    let plan = HostPlan::new("one").images(["busybox:latest"]);
    let Some(bench) = Bench::start([plan]) else { return };
    let project =
        bench.home.project("shop").compose(COMPOSE).file("web/index.html", "page\n").git();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let host = bench.hosts.host("one");
    let gate = host.path("/root/gate");
    let script = "echo before; while [ ! -e ~/gate ]; do sleep 0.2; done; echo after; exit 9";
    let mut command = bench.home.dwell_command();
    command.current_dir(project.path()).args(["run", "--name", "s", "sh", "red", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let transcript = || bench.home.dwell_in(&project, ["logs", "red", "--session", "s"]);
    wait_until(LIMIT, "it began", || transcript().stdout.contains("before"));
    host.partition();
    assert!(told.any(|line| line.unwrap().contains("the node is away")), "it was told");
    fs::write(gate, "").unwrap();
    host.heal();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(9));
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "before\nafter\n");
}
