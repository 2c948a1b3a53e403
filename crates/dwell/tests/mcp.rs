//! Servers of the Model Context Protocol in workspaces: real ones, from the registry, that real
//! agents use.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dwell_testkit::{ModelServer, Ran, TestHome, has_image, sh, show};

/// Has Claude Code, Codex and OpenCode.
const IMAGE: &str = "dwell-test-workspace-agents";
const NAME: &str = "box";

struct Bench {
    home: TestHome,
    /// The machine's own address in the workspace's network.
    machine: IpAddr,
}

impl Bench {
    /// `None` where the image is not there.
    fn start() -> Option<Self> {
        if !has_image(IMAGE) {
            eprintln!("skipped: this takes the image {IMAGE}");
            return None;
        }
        let home = TestHome::new(env!("CARGO_BIN_EXE_dwell")).limit(Duration::from_secs(180));
        home.dwell(["ws", "create", NAME, "--image", IMAGE]).ok();
        let shown = show(&home, NAME);
        let own: Ipv4Addr = shown["address"].as_str().unwrap().parse().unwrap();
        Some(Self { home, machine: IpAddr::from(Ipv4Addr::from_bits(own.to_bits() - 1)) })
    }

    fn sh(&self, line: &str) -> Ran {
        sh(&self.home, NAME, line)
    }

    fn write(&self, path: &str, text: &str) {
        let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
        self.sh(&format!("mkdir -p {directory} && printf '%s' '{text}' > {path}")).ok();
    }

    fn read(&self, path: &str) -> String {
        self.sh(&format!("cat {path}")).stdout
    }

    fn mcp(&self, words: &[&str]) -> Ran {
        self.home.dwell(["agent", "mcp"].iter().chain(words))
    }
}

#[test]
fn real_agents_use_servers_that_were_added() {
    let Some(bench) = Bench::start() else { return };
    let model = ModelServer::at(bench.machine);
    let config = format!(
        "# mine\nmodel = \"test\"\nmodel_provider = \"test\"\n\n[model_providers.test]\nname = \"test\"\n\
         base_url = \"{}/v1\"\nwire_api = \"responses\"\nenv_key = \"TEST_KEY\"\n",
        model.url()
    );
    bench.write("~/.codex/config.toml", &config);
    let added = bench.home.dwell(["agents", "mcp", "add", NAME, "filesystem", "memory", "--json"]);
    let added = added.json();
    for (number, tool) in [(0, "write_file"), (1, "create_entities")] {
        let server = &added["servers"][number];
        assert_eq!(server["agents"].to_string(), r#"["claude","codex","opencode"]"#);
        assert!(server["tools"].to_string().contains(tool), "{server}");
    }
    let listed = bench.sh("claude mcp list");
    assert_eq!(listed.ok().matches("Connected").count(), 2, "{listed:?}");
    assert!(bench.sh("codex mcp list").ok().contains("memory"));
    assert!(bench.sh("OPENCODE_DISABLE_MODELS_FETCH=1 opencode mcp list").ok().contains("memory"));

    let claude = format!(
        "cd ~ && ANTHROPIC_BASE_URL={} ANTHROPIC_API_KEY=none \
         CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 claude --permission-mode bypassPermissions -p",
        model.url()
    );
    let write = r#"MODEL tool mcp__filesystem__write_file {"path": "/home/dev/by-claude", "content": "a tool was here"}"#;
    let ran = bench.sh(&format!("{claude} '{write}'"));
    assert_eq!(bench.sh("cat ~/by-claude").stdout, "a tool was here", "{ran:?}");
    let codex = "cd ~ && TEST_KEY=none codex exec --dangerously-bypass-approvals-and-sandbox \
                 --skip-git-repo-check";
    let entity = r#"MODEL tool mcp__memory__create_entities {"entities": [{"name": "dwell", "entityType": "tool", "observations": ["said by codex"]}]}"#;
    let ran = bench.sh(&format!("{codex} '{entity}'"));
    let kept = bench.sh("cat ~/.local/share/dwell/memory.jsonl");
    assert!(kept.stdout.contains("said by codex"), "{ran:?}");
    let ran = bench.sh(&format!("{claude} 'MODEL tool mcp__memory__read_graph {{}}'"));
    assert!(ran.ok().contains("said by codex"), "what one keeps the other reads: {ran:?}");

    bench.mcp(&["rm", NAME, "filesystem", "memory"]).ok();
    assert_eq!(bench.read("~/.codex/config.toml"), config, "it is as the person wrote it");
    assert_eq!(bench.sh("ls ~/.local/share/dwell/mcp").stdout, "");
    assert!(bench.sh("cat ~/.local/share/dwell/memory.jsonl").stdout.contains("said by codex"));
}

#[test]
fn what_a_person_wrote_stays_and_settings_that_follow_do_not_fight_with_it() {
    let Some(bench) = Bench::start() else { return };
    let own = r#"{"mcpServers": {"memory": {"command": "mine"}}, "theme": "dark"}"#;
    bench.write("~/.claude.json", own);
    let refused = bench.mcp(&["add", NAME, "memory"]);
    assert!(refused.fails_with(5).contains("another `memory`"), "{refused:?}");
    assert_eq!(bench.read("~/.claude.json"), own);

    let codex = bench.home.path().join(".codex");
    std::fs::create_dir_all(&codex).unwrap();
    std::fs::write(codex.join("config.toml"), "model = \"one\"\n").unwrap();
    bench.home.dwell(["config", "push"]).ok();
    bench.mcp(&["add", NAME, "mine", "--", "no-such-program", "--flag"]).fails_with(1);
    bench.mcp(&["add", NAME, "mine", "--", "no-such-program", "--flag"]).fails_with(1);
    let has_both = |model: &str| {
        let text = bench.read("~/.codex/config.toml");
        let both = text.starts_with(&format!("model = \"{model}\"\n"))
            && text.contains("[mcp_servers.mine]");
        assert!(both, "{text}");
    };
    has_both("one");
    std::fs::write(codex.join("config.toml"), "model = \"two\"\n").unwrap();
    let pushed = bench.home.dwell(["config", "push", "--json"]);
    assert!(pushed.ok().contains("\"updated\""), "{pushed:?}");
    has_both("two");
    let listed = bench.mcp(&["ls", NAME]);
    assert!(listed.ok().contains("`no-such-program` is not installed"), "{listed:?}");
    // An entry that was changed is the person's.
    bench.sh("sed -i s/--flag/--other/ ~/.codex/config.toml").ok();
    let gone = bench.mcp(&["rm", NAME, "mine"]);
    gone.ok();
    assert!(gone.stderr.contains("it was changed in ~/.codex/config.toml and stays"), "{gone:?}");
    assert!(bench.read("~/.codex/config.toml").contains("--other"));
    assert_eq!(bench.read("~/.claude.json"), own);
}

/// A server over HTTP that lets in who has the token, until the test ends; gives the
/// `authorization` headers that it saw.
fn remote(at: IpAddr, token: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((at, 0)).unwrap();
    let url = format!("http://{}/mcp/", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = log.clone();
            std::thread::spawn(move || answered(&stream, token, &log));
        }
    });
    (url, seen)
}

fn answered(mut stream: &TcpStream, token: &str, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length, mut given) = (String::new(), 0, String::new());
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                given = value.to_owned();
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let message: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, body) = if !first.starts_with("POST /mcp/ ") {
        ("404 Not Found", String::new())
    } else if given != format!("Bearer {token}") {
        ("401 Unauthorized", String::new())
    } else {
        log.lock().unwrap().push(given);
        let result = match message["method"].as_str() {
            Some("initialize") => serde_json::json!({
                "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                "serverInfo": { "name": "test", "version": "1" },
            }),
            Some("tools/list") => serde_json::json!({
                "tools": [{ "name": "get_me", "inputSchema": { "type": "object" } }],
            }),
            _ => serde_json::json!({}),
        };
        match &message["id"] {
            serde_json::Value::Null => ("202 Accepted", String::new()),
            id => {
                let answer = serde_json::json!({ "jsonrpc": "2.0", "id": id, "result": result });
                ("200 OK", answer.to_string())
            }
        }
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()
}

#[test]
fn githubs_server_gets_a_token_that_nobody_else_sees() {
    let Some(bench) = Bench::start() else { return };
    let (url, seen) = remote(bench.machine, "s3cret'\"$token");
    let add = ["agent", "mcp", "add", NAME, "github", "--url", &url];
    let refused = bench.home.dwell(add);
    assert!(refused.fails_with(2).contains("GITHUB_PERSONAL_ACCESS_TOKEN"), "{refused:?}");
    let given = |token: &str| {
        let mut command = bench.home.dwell_command();
        command.args(add).arg("--json").env("GITHUB_TOKEN", token);
        let ran = command.output().unwrap();
        assert!(!String::from_utf8_lossy(&ran.stdout).contains("s3cret"));
        serde_json::from_slice::<serde_json::Value>(&ran.stdout).unwrap()
    };
    let wrong = given("wrong");
    assert!(wrong["servers"][0]["trouble"].to_string().contains("token is refused"), "{wrong}");
    let right = given("s3cret'\"$token");
    assert_eq!(right["servers"][0]["tools"].to_string(), r#"["get_me"]"#, "{right}");
    assert!(!seen.lock().unwrap().is_empty());
    // Adding it again keeps the token.
    bench.home.dwell(add).ok();
    let listed = bench.sh("claude mcp list");
    assert!(listed.ok().contains("Connected"), "{listed:?}");

    let holders = bench.sh("cd ~ && grep -rl s3cret . --exclude-dir=node_modules");
    assert_eq!(holders.ok(), "./.local/share/dwell/mcp/github/secrets");
    let mode = bench.sh("stat -c %a ~/.local/share/dwell/mcp/github/secrets");
    assert_eq!(mode.ok(), "600");
    let told =
        bench.mcp(&["ls", NAME, "--json"]).stdout + &bench.home.dwell(["node", "logs"]).stdout;
    assert!(!told.contains("s3cret"));
    bench.mcp(&["rm", NAME, "github"]).ok();
    let left = bench.sh("grep -rl s3cret ~; ls ~/.config/opencode");
    assert_eq!(left.stdout, "", "{left:?}");
}
