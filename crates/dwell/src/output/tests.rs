//! What people see, word for word.

use dwell_api::environment::{Environment, Losses, Status, TrustState};
use dwell_api::node::{Finding, Node, Part};
use dwell_api::session::{Session, SessionStatus};
use dwell_api::{Code, Problem};
use dwell_core::NodeId;
use insta::assert_snapshot;

use super::samples::{environment, session};
use super::{Style, show};

const HOUR: i64 = 3_600_000_000;

#[test]
fn the_list_leaves_out_columns_that_say_nothing() {
    let stopped = Environment {
        status: Status::Stopped,
        services: Vec::new(),
        url: None,
        branch: None,
        sessions: 0,
        created: -HOUR * 100,
        ..environment("review", "blog")
    };
    let all = [environment("a1", "shop"), stopped.clone()];
    assert_snapshot!(show::environments(&all, HOUR, Style::PLAIN), @r#"
    NAME    PROJECT  STATUS   SERVICES  SESSIONS  URL                  BRANCH    AGE
    a1      shop     running  2/2       1         http://shop.a1.test  dwell/a1  1h
    review  blog     stopped  -         -         -                    -         4d
    "#);
    assert_snapshot!(show::environments(&[stopped], HOUR, Style::PLAIN), @r#"
    NAME    PROJECT  STATUS   AGE
    review  blog     stopped  4d
    "#);
    assert_snapshot!(show::environments(&[], HOUR, Style::PLAIN), @"no environments yet: `dwell up <name>` in a project makes one");
}

#[test]
fn one_environment_shows_its_services_and_notes() {
    let notes = vec!["volume `assets` is shared with other environments".to_owned()];
    let it = Environment { notes, ..environment("a1", "shop") };
    assert_snapshot!(show::environment(&it, HOUR, Style::PLAIN), @r#"
    environment: a1 of project shop
    status:      running
    url:         http://shop.a1.test
    tree:        /trees/shop/a1
    source:      /src/shop
    branch:      dwell/a1
    subnets:     10.224.0.0/28
    sessions:    1
    created:     1h ago
    id:          hyboqd4ahy, generation 2

    SERVICE      STATE    HEALTH   NAME         ADDRESS     PORTS     URL
    web          running  -        web.a1.test  10.224.0.3  80/tcp    http://web.a1.test
    db (shared)  running  healthy  db.a1.test   10.224.0.3  5432/tcp  -

    note: volume `assets` is shared with other environments
    "#);
}

#[test]
fn an_up_ends_with_services_and_where_to_look() {
    let it = environment("a1", "shop");
    assert_snapshot!(show::brought_up(&it, "", Style::PLAIN), @r#"
    SERVICE      STATE    HEALTH   NAME         ADDRESS     PORTS     URL
    web          running  -        web.a1.test  10.224.0.3  80/tcp    http://web.a1.test
    db (shared)  running  healthy  db.a1.test   10.224.0.3  5432/tcp  -

    a1 of shop is running: http://shop.a1.test
    "#);
}

#[test]
fn sessions_show_how_they_ended() {
    let ended = Session {
        status: SessionStatus::Ended,
        exit_code: Some(2),
        attached: 0,
        ..session("npm", "a1")
    };
    let lost = Session { status: SessionStatus::Lost, attached: 0, ..session("aider", "a1") };
    let all = [session("claude", "a1"), ended, lost];
    assert_snapshot!(show::sessions(&all, 90_000_000, Style::PLAIN), @r#"
    SESSION  ENV  PROJECT  STATUS     ATTACHED  AGE  COMMAND
    claude   a1   shop     running    1         1m   claude -p 'fix the tests'
    npm      a1   shop     ended (2)  -         1m   npm -p 'fix the tests'
    aider    a1   shop     lost       -         1m   aider -p 'fix the tests'
    "#);
}

#[test]
fn a_problem_says_what_and_why_and_what_to_do() {
    let problem = Problem::new(Code::UnsavedWork, "environment `a1` has uncommitted work")
        .details(["src/cart.rs", "src/main.rs"])
        .hint("`dwell merge a1` keeps it; --force loses it");
    assert_snapshot!(show::problem(&problem, Style::PLAIN), @r#"
    error: environment `a1` has uncommitted work
      src/cart.rs
      src/main.rs
    hint: `dwell merge a1` keeps it; --force loses it
    (unsaved_work)
    "#);
}

#[test]
fn losses_are_named_and_long_lists_are_cut() {
    let losses = Losses {
        uncommitted: (1..=8).map(|n| format!("f{n}")).collect(),
        unmerged_commits: 1,
        submodules: Vec::new(),
        sessions: vec!["claude".to_owned()],
        volumes: vec!["data".to_owned()],
    };
    assert_snapshot!(show::losses(&losses).join("\n"), @r#"
    uncommitted work: f1, f2, f3, f4, f5 and 3 more
    1 commit that is nowhere else
    running sessions: claude
    volumes: data
    "#);
    assert!(show::losses(&Losses::default()).is_empty());
}

#[test]
fn the_daemon_shows_its_parts_and_what_to_do() {
    let part = |name: &str, ok, detail: &str| Part {
        name: name.to_owned(),
        ok,
        detail: detail.to_owned(),
        fix: Some("free the port".to_owned()),
    };
    let node = Node {
        id: NodeId::from_random([1; 8]),
        version: "0.1.0".to_owned(),
        pid: 7,
        started: 0,
        environments: 3,
        parts: vec![
            part("engine", true, "unix:///var/run/docker.sock"),
            part("dns", false, "127.0.0.1:5354 is taken"),
        ],
        dns: None,
        proxy: None,
        suffixes: vec!["test".to_owned()],
    };
    assert_snapshot!(show::node(&node, HOUR, Style::PLAIN), @r#"
    node biacqaeabi runs dwell 0.1.0 (process 7) for 1h, 3 environments

    ✓ engine: unix:///var/run/docker.sock
    ✗ dns: 127.0.0.1:5354 is taken
      fix: free the port
    "#);
    let finding =
        Finding { what: "engine".to_owned(), ok: true, detail: "20.10".to_owned(), fix: None };
    assert_snapshot!(show::findings(&[finding], Style::PLAIN), @"✓ engine: 20.10");
}

#[test]
fn trust_names_the_commands() {
    let state = TrustState {
        source: "/src/shop".into(),
        hash: Some("x".to_owned()),
        commands: vec!["setup: npm ci".to_owned()],
        trusted: false,
    };
    assert_snapshot!(show::trust(&state, Style::PLAIN), @r#"
    /src/shop wants to run:
      setup: npm ci
    not trusted
    "#);
}

#[test]
fn words_are_quoted_for_a_shell_where_they_need_it() {
    for (word, want) in
        [("plain-1", "plain-1"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")]
    {
        assert_eq!(show::quote(word), want);
    }
}

#[test]
fn ages_have_one_unit() {
    for (micros, want) in [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (172_800, "2d")] {
        assert_eq!(show::age(0, micros * 1_000_000), want);
    }
    assert_eq!(show::age(5, 0), "0s");
}
