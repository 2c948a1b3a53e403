//! Whole files on their way, and properties of the rewriter.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn raw(to: &str, text: &str) -> Raw {
    Raw {
        to: to.parse().unwrap(),
        kind: Kind::of(to),
        executable: false,
        content: text.as_bytes().to_vec(),
    }
}

fn text(prepared: &Prepared) -> &str {
    std::str::from_utf8(&prepared.file.content).unwrap()
}

#[test]
fn settings_of_claude_code_follow_from_every_system() {
    for (home, user, written) in [
        ("/Users/x", "x", "/Users/x"),
        ("/home/x", "x", "/home/x"),
        ("/root", "root", "/root"),
        ("/var/home/x", "x", "/var/home/x"),
        ("/home/x", "x", r"C:\\Users\\x"),
        ("/home/x", "x", "/mnt/c/Users/x"),
        // Written on a Mac, pushed from Linux.
        ("/home/x", "x", "/Users/x"),
    ] {
        let homes = Homes::of(home, user, &[]);
        let separator = if written.starts_with('C') { r"\\" } else { "/" };
        let script = format!("{written}{separator}.claude{separator}hooks{separator}stop.sh");
        let settings = format!(
            r#"{{
  "env": {{ "ANTHROPIC_API_KEY": "sk-ant-0123456789", "EDITOR": "vim" }},
  "statusLine": {{ "type": "command", "command": "bash {script}" }},
  "hooks": {{ "Stop": [{{ "hooks": [{{ "type": "command", "command": "afplay x.aiff" }}] }}] }},
  "permissions": {{ "allow": ["Read(/{written}/**)", "Bash(git:*)"] }},
  "model": "opus"
}}
"#
        );
        let prepared = prepare(&raw(".claude/settings.json", &settings), &homes, false);
        let value: Value = serde_json::from_slice(&prepared.file.content).unwrap();
        let command = value["statusLine"]["command"].as_str().unwrap();
        assert_eq!(command, "bash /home/dev/.claude/hooks/stop.sh", "{written}");
        if separator == "/" {
            assert_eq!(value["permissions"]["allow"][0], "Read(//home/dev/**)", "{written}");
        }
        assert_eq!(value["env"]["ANTHROPIC_API_KEY"], "");
        assert_eq!((&value["env"]["EDITOR"], &value["model"]), (&"vim".into(), &"opus".into()));
        assert_eq!(prepared.report.withheld, ["ANTHROPIC_API_KEY"]);
        let programs: Vec<_> = prepared.programs.iter().map(|it| it.program.as_str()).collect();
        assert_eq!(programs, ["/home/dev/.claude/hooks/stop.sh", "afplay"]);
        let asked = prepare(&raw(".claude/settings.json", &settings), &homes, true);
        assert!(text(&asked).contains("sk-ant-0123456789"));
    }
}

#[test]
fn settings_of_codex_follow() {
    let config = r#"# /Users/x in a comment stays
model = "gpt-5"
notify = ["python3", "/Users/x/.codex/notify.py"]
[projects."/Users/x/work"]
trust_level = "trusted"
[mcp_servers.gh]
command = '/opt/homebrew/bin/gh-mcp'
env = { GITHUB_TOKEN = "ghp_0123456789", DIR = '/Users/x/d' }
env_key = "OPENAI_API_KEY"
"#;
    let prepared =
        prepare(&raw(".codex/config.toml", config), &Homes::of("/Users/x", "x", &[]), false);
    insta::assert_snapshot!(text(&prepared), @r#"
    # /Users/x in a comment stays
    model = "gpt-5"
    notify = ["python3", "/home/dev/.codex/notify.py"]
    [projects."/home/dev/work"]
    trust_level = "trusted"
    [mcp_servers.gh]
    command = '/opt/homebrew/bin/gh-mcp'
    env = { GITHUB_TOKEN = "", DIR = '/home/dev/d' }
    env_key = "OPENAI_API_KEY"
    "#);
    assert_eq!(
        prepared.report.troubles,
        ["`/opt/homebrew/bin/gh-mcp` is a path of your own machine only"]
    );
}

#[test]
fn settings_of_aider_follow() {
    let config = "model: gpt-5\nopenai-api-key: sk-0123456789\nread: /home/x/rules.md\n\
                  set-env:\n  - OTHER_API_KEY=0123456789\n";
    let prepared = prepare(&raw(".aider.conf.yml", config), &Homes::of("/home/x", "x", &[]), false);
    assert_eq!(
        text(&prepared),
        "model: gpt-5\n# dwell left openai-api-key out: it is a secret\nread: /home/dev/rules.md\n\
         set-env:\n# dwell left a variable out: it is a secret\n"
    );
}

#[test]
fn a_file_that_is_not_what_its_name_says_stays_as_it_is() {
    let homes = Homes::of("/home/x", "x", &[]);
    let prepared = prepare(&raw(".claude/settings.json", "{ \"/home/x"), &homes, false);
    assert_eq!(text(&prepared), "{ \"/home/x");
    assert_eq!(prepared.report.troubles.len(), 1);
    let binary = Raw { content: vec![0xff, 0, 1], ..raw("a.png", "") };
    assert_eq!(prepare(&binary, &homes, false).file.content, binary.content);
}

/// JSON values whose strings are often paths.
fn values() -> impl Strategy<Value = Value> {
    let strings = prop_oneof![
        "[a-z /.:\"\\\\~x\n\té]{0,24}",
        "(/home/x|/Users/x|/home/xy|C:\\\\Users\\\\x|/mnt/c/Users/x)(/[a-z. ]{0,6}){0,3}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        strings.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((strings.clone(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// What the rewriter is to do with a value.
fn expected(value: &Value, homes: &Homes) -> Value {
    let string =
        |text: &str| homes.rewrite(text, &mut Vec::new()).unwrap_or_else(|| text.to_owned());
    match value {
        Value::String(text) => Value::from(string(text)),
        Value::Array(all) => all.iter().map(|value| expected(value, homes)).collect(),
        Value::Object(all) => {
            let pairs = all.iter().map(|(key, value)| (string(key), expected(value, homes)));
            Value::Object(pairs.collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn json_stays_json_and_only_paths_change(value in values(), pretty in any::<bool>()) {
        let homes = Homes::of("/home/x", "x", &[]);
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let raw = raw(".claude/settings.json", &text.unwrap());
        let prepared = prepare(&raw, &homes, true);
        let after: Value = serde_json::from_slice(&prepared.file.content).unwrap();
        prop_assert_eq!(&after, &expected(&value, &homes));
        // Without a path of the person's nothing changes, to the byte.
        if prepared.report.replaced.is_empty() {
            prop_assert_eq!(&prepared.file.content, &raw.content);
        }
        // And twice is once.
        let again = prepare(&Raw { content: prepared.file.content.clone(), ..raw }, &homes, true);
        prop_assert_eq!(again.file.content, prepared.file.content);
    }

    #[test]
    fn rewriting_changes_nothing_but_homes(text in "[ -~é\n]{0,60}") {
        let homes = Homes::of("/home/x", "x", &[]);
        let known = ["/home/x", "/Users/x", "/users/x"];
        let has = known.iter().any(|home| text.to_lowercase().contains(&home.to_lowercase()))
            || text.to_lowercase().contains("users");
        if !has {
            prop_assert_eq!(homes.rewrite(&text, &mut Vec::new()), None);
        }
    }

    #[test]
    fn no_text_makes_the_readers_fail(text in "[ -~\n\"'\\\\\\[\\]{}=#,.é]{0,80}") {
        let homes = Homes::of("/home/x", "x", &[]);
        for name in ["a.json", "a.toml", "a.yml", "a.txt"] {
            prepare(&raw(name, &text), &homes, false);
        }
        for kind in [Kind::Git, Kind::Ssh] {
            let raw = Raw { kind, ..raw("a", &text) };
            prepare(&raw, &homes, false);
            further(&raw, &homes);
        }
    }

    #[test]
    fn toml_stays_toml(path in "(/home/x|/home/xy|/srv)(/[a-z.]{0,5}){0,3}", other in "[a-z\"\\\\']{0,8}") {
        let homes = Homes::of("/home/x", "x", &[]);
        let table: toml::Table = [
            ("p".to_owned(), toml::Value::from(path.clone())),
            ("o".to_owned(), toml::Value::from(other.clone())),
            ("l".to_owned(), toml::Value::from(vec![path.clone(), other.clone()])),
        ]
        .into_iter()
        .collect();
        let prepared = prepare(&raw("a.toml", &table.to_string()), &homes, true);
        let after: toml::Table = text(&prepared).parse().unwrap();
        let new = homes.rewrite(&path, &mut Vec::new()).unwrap_or(path);
        prop_assert_eq!(after["p"].as_str(), Some(new.as_str()));
        prop_assert_eq!(after["o"].as_str(), Some(other.as_str()));
        prop_assert_eq!(after["l"][0].as_str(), Some(new.as_str()));
    }
}
