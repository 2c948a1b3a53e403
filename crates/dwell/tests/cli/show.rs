//! Listing, showing, problems, formats.

use serde_json::{Value, json};

use crate::node::{Node, Reply, environment};

fn two() -> Node {
    let work = std::path::PathBuf::from("/src/shop");
    Node::new(move |request| match request.path.as_str() {
        "/v1/environments" if request.query.contains("name=none") => Reply::ok(json!([])),
        "/v1/environments" if request.query.contains("name=a1") => {
            Reply::ok(json!([environment("a1", "shop", &work)]))
        }
        "/v1/environments" if request.query.contains("path=") => Reply::ok(json!([])),
        "/v1/environments" => {
            Reply::ok(json!([environment("a1", "shop", &work), environment("a2", "shop", &work)]))
        }
        "/v1/environments/aaaaaaaaaa/logs" => Reply::Lines(vec![
            json!({ "source": "web-1", "line": "hello" }),
            json!({ "source": "web-1", "stderr": true, "line": "oh" }),
        ]),
        "/v1/environments/aaaaaaaaaa/variables" => {
            Reply::ok(json!({ "variables": [["WEB_HOST", "web.a1.test"], ["X", "it's"]] }))
        }
        "/v1/environments/aaaaaaaaaa/compose" => {
            Reply::ok(json!({ "arguments": ["echo", "-p", "x"], "directory": "/" }))
        }
        "/v1/environments/aaaaaaaaaa/diff" => Reply::ok(json!({ "text": "+new\n" })),
        "/v1/environments/aaaaaaaaaa/merge" => {
            Reply::problem(409, "conflict", "both sides changed `a`")
        }
        path => Reply::problem(404, "not_found", path),
    })
}

#[test]
fn ls_lists_as_a_table_as_json_and_as_names() {
    let node = two();
    let table = node.run("ls");
    assert!(table.out.starts_with("NAME  PROJECT  STATUS"), "{table:?}");
    assert_eq!((table.code, table.out.lines().count()), (0, 3));
    assert_eq!(node.run("ls -q").out, "a1\na2\n");
    let json: Value = serde_json::from_str(&node.run("ls --json").out).unwrap();
    assert_eq!(json[1]["name"], "a2");
    assert_eq!(json[1]["project"], "shop");
    let by_variable = node.command("ls").env("DWELL_OUTPUT", "json").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&by_variable.stdout).unwrap(), json);
}

#[test]
fn a_missing_environment_is_a_problem_with_its_own_exit_code() {
    let node = two();
    let human = node.run("status none");
    assert_eq!((human.code, human.out.as_str()), (3, ""));
    assert!(human.err.starts_with("error: there is no environment `none`\nhint: "), "{human:?}");
    assert!(human.err.ends_with("(not_found)\n"), "{human:?}");
    let json = node.run("status none --json");
    assert_eq!((json.code, json.err.as_str()), (3, ""));
    let body: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(body["outcome"], "error");
    assert_eq!(body["error"]["code"], "not_found");
    assert_eq!(node.run("down none --ignore-not-found").code, 0);
}

#[test]
fn a_wrong_command_line_is_a_usage_problem_also_in_json() {
    let node = Node::absent();
    let human = node.run("create ../../victim");
    assert_eq!(human.code, 2);
    assert!(human.err.contains("../../victim"), "{human:?}");
    let json = node.run("create ../../victim --json");
    assert_eq!((json.code, json.err.as_str()), (2, ""));
    let body: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(body["error"]["code"], "usage");
    let run = node.run("run sh ../../victim");
    assert_eq!(run.code, 2);
    assert!(run.err.ends_with("(invalid_name)\n"), "{run:?}");
}

#[test]
fn help_and_version_touch_nothing() {
    let node = Node::absent();
    for words in ["--help", "--version", "up --help", "completion bash"] {
        let ran = node.run(words);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{words}");
        assert!(!ran.out.is_empty(), "{words}");
    }
    let left: Vec<_> = std::fs::read_dir(node.home()).unwrap().collect();
    assert_eq!(left.len(), 1, "only the working directory is there: {left:?}");
}

#[test]
fn the_session_around_us_names_the_environment() {
    let node = two();
    let shown = node.command("path").env("DWELL_ENV", "a1").output().unwrap();
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "/src/shop\n");
    let nowhere = node.run("path");
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.err.contains("which environment?"), "{nowhere:?}");
}

#[test]
fn logs_variables_and_urls_are_plain_results() {
    let node = two();
    assert_eq!(node.run("logs a1 -n 5").out, "web-1 | hello\nweb-1 | oh\n");
    assert!(node.asked("/logs")[0].query.contains("tail=5"));
    assert_eq!(node.run("env a1").out, "export WEB_HOST=web.a1.test\nexport X='it'\\''s'\n");
    assert_eq!(node.run("env a1 --json").out, "{\"WEB_HOST\":\"web.a1.test\",\"X\":\"it's\"}\n");
    assert_eq!(node.run("url a1").out, "http://shop.a1.test\n");
    assert_eq!(node.run("url a1 web --print").out, "http://web.a1.test\n");
    assert_eq!(node.run("diff a1").out, "+new\n");
}

#[test]
fn compose_gets_everything_after_the_environment() {
    let node = two();
    assert_eq!(node.run("compose a1").out, "-p x ps\n");
    assert_eq!(node.run("compose a1 logs -f --json").out, "-p x logs -f --json\n");
}

#[test]
fn a_conflict_is_not_a_success() {
    let ran = two().run("merge a1");
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("both sides changed `a`"), "{ran:?}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let node = two();
    let script = format!("{} ls | true; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_dwell"));
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &script]).env("DWELL_HOME", node.home()).current_dir(node.work());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(matches!(output.status.code(), Some(0 | 141)), "{:?}", output.status);
}
