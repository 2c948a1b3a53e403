use super::*;

const HOME: &str = "/home/dev";

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn launch(offer: &str) -> Launch {
    let offer = Offer::of(offer).unwrap();
    offer.launch(&format!("{HOME}/{SERVERS}/{}", offer.name), HOME, &Options::default())
}

fn place(agent: &str) -> &'static Place {
    Place::all().iter().find(|place| place.agent == agent).unwrap()
}

fn added(agent: &str, text: &str, offer: &str) -> (String, bool) {
    let place = place(agent);
    match put(text, place, &name(offer), &place.entry(&launch(offer))).unwrap() {
        Put::Done { text, made_table } => (text, made_table),
        other => panic!("{other:?}"),
    }
}

fn removed(agent: &str, text: &str, offer: &str, table: bool) -> String {
    let place = place(agent);
    match take(text, place, &name(offer), &place.entry(&launch(offer)), table).unwrap() {
        Taken::Done(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_agent_is_told_in_its_own_words() {
    let all: String = Place::all()
        .iter()
        .map(|place| {
            let (text, _) = added(place.agent, "", "memory");
            format!("~/{}\n{text}\n", place.files[0])
        })
        .collect();
    insta::assert_snapshot!(all, @r#"
    ~/.claude.json
    {
      "mcpServers": {
        "memory": {
          "type": "stdio",
          "command": "/home/dev/.local/share/dwell/mcp/memory/node_modules/.bin/mcp-server-memory",
          "args": [],
          "env": {
            "MEMORY_FILE_PATH": "/home/dev/.local/share/dwell/memory.jsonl"
          }
        }
      }
    }

    ~/.codex/config.toml
    [mcp_servers.memory]
    command = "/home/dev/.local/share/dwell/mcp/memory/node_modules/.bin/mcp-server-memory"
    args = []
    startup_timeout_sec = 60
    env = { MEMORY_FILE_PATH = "/home/dev/.local/share/dwell/memory.jsonl" }

    ~/.config/opencode/opencode.json
    {
      "mcp": {
        "memory": {
          "type": "local",
          "command": [
            "/home/dev/.local/share/dwell/mcp/memory/node_modules/.bin/mcp-server-memory"
          ],
          "enabled": true,
          "environment": {
            "MEMORY_FILE_PATH": "/home/dev/.local/share/dwell/memory.jsonl"
          }
        }
      }
    }

    ~/.gemini/settings.json
    {
      "mcpServers": {
        "memory": {
          "command": "/home/dev/.local/share/dwell/mcp/memory/node_modules/.bin/mcp-server-memory",
          "args": [],
          "env": {
            "MEMORY_FILE_PATH": "/home/dev/.local/share/dwell/memory.jsonl"
          }
        }
      }
    }
    "#);
}

#[test]
fn what_else_is_there_stays_as_it_is() {
    let claude = "{\n  \"numStartups\": 3,\n  \"mcpServers\": {\n    \"mine\": {\n      \"command\": \"x\"\n    }\n  },\n  \"theme\": \"dark\"\n}\n";
    insta::assert_snapshot!(added("claude", claude, "filesystem").0, @r#"
    {
      "numStartups": 3,
      "mcpServers": {
        "mine": {
          "command": "x"
        },
        "filesystem": {
          "type": "stdio",
          "command": "/home/dev/.local/share/dwell/mcp/filesystem/node_modules/.bin/mcp-server-filesystem",
          "args": [
            "/home/dev"
          ]
        }
      },
      "theme": "dark"
    }
    "#);
    let opencode = "{\n\t// models\n\t\"model\": \"a/b\", /* why */\n}\n";
    insta::assert_snapshot!(added("opencode", opencode, "filesystem").0, @r#"
    {
    	// models
    	"model": "a/b",
    	"mcp": {
    	  "filesystem": {
    	    "type": "local",
    	    "command": [
    	      "/home/dev/.local/share/dwell/mcp/filesystem/node_modules/.bin/mcp-server-filesystem",
    	      "/home/dev"
    	    ],
    	    "enabled": true
    	  }
    	}, /* why */
    }
    "#);
    let codex = "model = \"x\" # why\n\n[mcp_servers.mine]\ncommand = \"y\"\n";
    insta::assert_snapshot!(added("codex", codex, "filesystem").0, @r#"
    model = "x" # why

    [mcp_servers.mine]
    command = "y"

    [mcp_servers.filesystem]
    command = "/home/dev/.local/share/dwell/mcp/filesystem/node_modules/.bin/mcp-server-filesystem"
    args = ["/home/dev"]
    startup_timeout_sec = 60
    "#);
}

#[test]
fn what_is_added_and_removed_leaves_no_trace() {
    let json = [
        "{}\n",
        "{\n  \"a\": 1\n}\n",
        "{\"a\": [1, {\"b\": 2}], \"c\": \"}\"}",
        "{\n  // one\n  \"a\": 1, // two\n  /* three */\n}\n",
        "{\n    \"mcp\": {\n        \"z\": {}\n    },\n    \"mcpServers\": {\n        \"z\": {}\n    }\n}",
        "{\"mcpServers\": {\"z\": {}}, \"mcp\": {\"z\": {}}}",
    ];
    let toml = [
        "a = 1",
        "a = 1\n",
        "a = 1\n\n",
        "# c\n[mcp_servers.z]\ncommand = \"q\"\n\n[b]\nc = 1979-05-27T07:32:00Z\n",
    ];
    for place in Place::all() {
        let texts = if place.syntax == Syntax::Json { &json[..] } else { &toml[..] };
        for before in texts {
            let (one, made) = added(place.agent, before, "memory");
            let (two, again) = added(place.agent, &one, "filesystem");
            assert!(!again, "{two}");
            for order in [["memory", "filesystem"], ["filesystem", "memory"]] {
                let first = removed(place.agent, &two, order[0], made);
                let second = removed(place.agent, &first, order[1], made);
                assert_eq!(&second, before, "{} {order:?}", place.agent);
            }
        }
    }
}

#[test]
fn what_a_person_wrote_is_neither_replaced_nor_removed() {
    let text = "{\"mcpServers\": {\"memory\": {\"command\": \"mine\"}}}";
    let place = place("claude");
    let entry = place.entry(&launch("memory"));
    assert_eq!(put(text, place, &name("memory"), &entry), Ok(Put::Other));
    assert_eq!(take(text, place, &name("memory"), &entry, true), Ok(Taken::Other));
    assert_eq!(take("{}", place, &name("memory"), &entry, true), Ok(Taken::Absent));
    let (text, _) = added("claude", "", "memory");
    assert_eq!(put(&text, place, &name("memory"), &entry), Ok(Put::Same));
}

#[test]
fn what_has_no_place_for_it_is_not_touched() {
    for (agent, text, why) in [
        ("claude", "{\"a\": 1", EditError::NotUnderstood),
        ("claude", "[1]", EditError::NotUnderstood),
        ("claude", "{\"mcpServers\": []}", EditError::NoPlace),
        ("codex", "a = ", EditError::NotUnderstood),
        ("codex", "mcp_servers = { z = { command = \"q\" } }\n", EditError::NoPlace),
        ("codex", "mcp_servers = 3\n", EditError::NoPlace),
    ] {
        let place = place(agent);
        let put = put(text, place, &name("memory"), &place.entry(&launch("memory")));
        assert_eq!(put, Err(why), "{text}");
    }
}

#[test]
fn no_secret_is_in_what_an_agent_is_told() {
    let github = launch("github");
    let line = github.arguments.join(" ");
    assert!(line.contains("${GITHUB_PERSONAL_ACCESS_TOKEN}"), "{line}");
    assert!(!line.contains("--allow-http"), "{line}");
    assert_eq!(format!("{:?}", Secret("s3cret".to_owned())), "Secret");
    let options = Options { url: Some("http://127.0.0.1:1/".to_owned()), ..Options::default() };
    assert_eq!(Offer::of("memory").unwrap().refuses(&options), Some("--url"));
    assert_eq!(Offer::of("github").unwrap().refuses(&options), None);
}

#[test]
fn settings_that_are_brought_and_entries_of_dwell_go_together() {
    let place = place("codex");
    let path = place.files[0];
    let mut record = Record::default();
    let servers = ["filesystem", "memory"].map(|it| (name(it), place.entry(&launch(it))));
    record.files.insert(path.to_owned(), Entries { made: Made::File, servers: servers.into() });
    let with = record.with(path, Some("a = 1\n")).unwrap();
    assert_eq!(record.files[path].made, Made::Table);
    assert_eq!(record.without(path, &with).unwrap(), "a = 1\n");
    // The person has a server of the name.
    let own = "[mcp_servers.memory]\ncommand = \"mine\"\n";
    let with = record.with(path, Some(own)).unwrap();
    assert!(!record.files[path].servers.contains_key(&name("memory")));
    assert_eq!(record.without(path, &with).unwrap(), own);
    // The settings are gone.
    let alone = record.with(path, None).unwrap();
    assert_eq!(record.files[path].made, Made::File);
    assert_eq!(record.without(path, &alone), None);
    assert_eq!(record.with("other", Some("x")).as_deref(), Some("x"));
}
