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
    assert_snapshot!(show::environments(&all, HOUR, Style::PLAIN), @"");
    assert_snapshot!(show::environments(&[stopped], HOUR, Style::PLAIN), @"");
    assert_snapshot!(show::environments(&[], HOUR, Style::PLAIN), @"");
}

#[test]
fn one_environment_shows_its_services_and_notes() {
    let notes = vec!["volume `assets` is shared with other environments".to_owned()];
    let it = Environment { notes, ..environment("a1", "shop") };
    assert_snapshot!(show::environment(&it, HOUR, Style::PLAIN), @"");
}

#[test]
fn an_up_ends_with_services_and_where_to_look() {
    let it = environment("a1", "shop");
    assert_snapshot!(show::brought_up(&it, "", Style::PLAIN), @"");
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
    assert_snapshot!(show::sessions(&all, 90_000_000, Style::PLAIN), @"");
}

#[test]
fn a_problem_says_what_and_why_and_what_to_do() {
    let problem = Problem::new(Code::UnsavedWork, "environment `a1` has uncommitted work")
        .details(["src/cart.rs", "src/main.rs"])
        .hint("`dwell merge a1` keeps it; --force loses it");
    assert_snapshot!(show::problem(&problem, Style::PLAIN), @"");
}

#[test]
fn losses_are_named_and_long_lists_are_cut() {
    let losses = Losses {
        uncommitted: (1..=8).map(|n| format!("f{n}")).collect(),
        unmerged_commits: 1,
        sessions: vec!["claude".to_owned()],
        volumes: vec!["data".to_owned()],
    };
    assert_snapshot!(show::losses(&losses).join("\n"), @"");
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
    assert_snapshot!(show::node(&node, HOUR, Style::PLAIN), @"");
    let finding = Finding {
        what: "engine".to_owned(),
        ok: true,
        detail: "20.10".to_owned(),
        fix: None,
    };
    assert_snapshot!(show::findings(&[finding], Style::PLAIN), @"");
}

#[test]
fn trust_names_the_commands() {
    let state = TrustState {
        source: "/src/shop".into(),
        hash: Some("x".to_owned()),
        commands: vec!["setup: npm ci".to_owned()],
        trusted: false,
    };
    assert_snapshot!(show::trust(&state, Style::PLAIN), @"");
}

#[test]
fn words_are_quoted_for_a_shell_where_they_need_it() {
    for (word, want) in [("plain-1", "plain-1"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")]
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
