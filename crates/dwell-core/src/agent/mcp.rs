//! Servers of the Model Context Protocol (MCP) for the agents of a workspace: which are offered, how
//! each is started, and how each agent is told of them.

mod edit;
mod json;
mod name;
mod record;
mod toml_text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use edit::{EditError, Put, Syntax, Taken, put, take};
pub use name::{SecretName, ServerName, ServerNameError};
pub use record::{Entries, Made, RECORD, Record, Server};

/// Where servers are, below the home.
pub const SERVERS: &str = ".local/share/dwell/mcp";
/// What the memory server keeps, which stays when it is removed.
const MEMORY: &str = ".local/share/dwell/memory.jsonl";
/// The browser that Playwright is told of. A setup step of the workspace sees to it.
const BROWSER: &str = "/opt/dwell/chromium";
/// What brings Playwright's own Chromium, of the version that the server is of.
const BROWSER_PACKAGE: &str = "playwright-core@1.64.0-alpha-1790635538000";
/// How long Codex waits for a server to begin, in seconds.
const CODEX_LIMIT: u32 = 60;
/// GitHub's own server.
const GITHUB: &str = "https://api.githubcopilot.com/mcp/";

/// A server that dwell offers.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it is called.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Its package of npm, with the version that dwell was tested with.
    pub package: &'static str,
    /// The package's program.
    program: &'static str,
    /// The variable that holds the secret that it needs.
    pub secret: Option<&'static str>,
    /// Other variables that may hold it where the person works.
    pub also: &'static [&'static str],
    /// Whether it takes directories.
    takes_directories: bool,
    /// Whether it takes the address of what it speaks to.
    takes_url: bool,
    /// Whether it drives a browser.
    pub browser: bool,
}

const OFFERS: &[Offer] = &[
    Offer {
        name: "filesystem",
        about: "files of the workspace",
        package: "@modelcontextprotocol/server-filesystem@2026.8.31",
        program: "mcp-server-filesystem",
        secret: None,
        also: &[],
        takes_directories: true,
        takes_url: false,
        browser: false,
    },
    Offer {
        name: "memory",
        about: "a graph of facts that is kept in the home",
        package: "@modelcontextprotocol/server-memory@2026.8.31",
        program: "mcp-server-memory",
        secret: None,
        also: &[],
        takes_directories: false,
        takes_url: false,
        browser: false,
    },
    Offer {
        name: "github",
        about: "GitHub's own server, by a token of yours",
        package: "mcp-remote@0.15.1",
        program: "mcp-remote",
        secret: Some("GITHUB_PERSONAL_ACCESS_TOKEN"),
        also: &["GITHUB_TOKEN", "GH_TOKEN"],
        takes_directories: false,
        takes_url: true,
        browser: false,
    },
    Offer {
        name: "playwright",
        about: "a browser without a window: Playwright with Chromium",
        package: "@playwright/mcp@0.0.83",
        program: "playwright-mcp",
        secret: None,
        also: &[],
        takes_directories: false,
        takes_url: false,
        browser: true,
    },
];

/// What a person chooses of a server that is offered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = McpOptions))]
pub struct Options {
    /// The directories that it may use; the home when empty.
    #[serde(default)]
    pub directories: Vec<String>,
    /// The address that it speaks to.
    #[serde(default)]
    pub url: Option<String>,
}

impl Offer {
    /// All of them.
    pub fn all() -> &'static [Self] {
        OFFERS
    }

    /// The one of a name.
    pub fn of(name: &str) -> Option<&'static Self> {
        OFFERS.iter().find(|offer| offer.name == name)
    }

    /// The options that it does not take.
    pub fn refuses(&self, options: &Options) -> Option<&'static str> {
        let directories = !self.takes_directories && !options.directories.is_empty();
        let url = !self.takes_url && options.url.is_some();
        directories.then_some("--dir").or(url.then_some("--url"))
    }

    /// What a trouble of it means, where that is known.
    pub fn explain(&self, trouble: &str) -> Option<&'static str> {
        // Without a token that is taken it tries to sign in by itself, for which GitHub has no way.
        let signs_in = self.name == "github" && trouble.contains("Registration");
        signs_in.then_some("the token is refused: add it again with another one")
    }

    /// How it is started, by its directory and the workspace's home.
    pub fn launch(&self, directory: &str, home: &str, options: &Options) -> Launch {
        let mut arguments = Vec::new();
        match self.name {
            "filesystem" if options.directories.is_empty() => arguments.push(home.to_owned()),
            "filesystem" => arguments.extend(options.directories.iter().cloned()),
            "github" => {
                arguments.push(options.url.clone().unwrap_or_else(|| GITHUB.to_owned()));
                let token = self.secret.unwrap_or_default();
                arguments.extend(["--transport", "http-only"].map(str::to_owned));
                // The program puts the variable's value there itself.
                arguments
                    .extend(["--header".to_owned(), format!("Authorization:Bearer ${{{token}}}")]);
                if options.url.as_deref().is_some_and(|url| url.starts_with("http://")) {
                    arguments.push("--allow-http".to_owned());
                }
            }
            // Chromium's own sandbox takes what a container does not have.
            "playwright" => arguments.extend(
                ["--headless", "--isolated", "--no-sandbox", "--executable-path", BROWSER]
                    .map(str::to_owned),
            ),
            _ => {}
        }
        let command = format!("{directory}/node_modules/.bin/{}", self.program);
        let mut variables = BTreeMap::new();
        if self.name == "memory" {
            variables.insert("MEMORY_FILE_PATH".to_owned(), format!("{home}/{MEMORY}"));
        }
        Launch { command, arguments, variables }
    }
}

/// The setup step that gives a workspace Chromium, by the binary of the workspace.
pub fn browser_step(binary: &str) -> Vec<String> {
    [binary, "workspace-browser"].map(str::to_owned).to_vec()
}

/// A script of the plain shell that sees to Chromium, as root: of the distribution where that has it,
/// else Playwright's own.
pub fn browser_script() -> String {
    format!(
        "set -e\nexport PLAYWRIGHT_BROWSERS_PATH=/opt/dwell/browsers\nmkdir -p /opt/dwell\n\
         if ! command -v chromium >/dev/null; then\n\
         apt-get update -q\n\
         if apt-cache show chromium >/dev/null 2>&1; then\n\
         apt-get install -qy --no-install-recommends chromium fonts-liberation\n\
         else\n\
         npx -y {BROWSER_PACKAGE} install --with-deps chromium\n\
         ln -sfn \"$(find /opt/dwell/browsers -type f -name chrome | head -n 1)\" /usr/local/bin/chromium\n\
         fi\nfi\n\
         ln -sfn \"$(command -v chromium)\" {BROWSER}\n{BROWSER} --version\n"
    )
}

/// How a server is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The program.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Variables that it gets, none of them secret.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// Where an agent has its servers.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// The agent.
    pub agent: &'static str,
    /// Its files of settings below the home, the one that is made where none is there first.
    pub files: &'static [&'static str],
    /// The table in them.
    pub table: &'static str,
    /// What they are written in.
    pub syntax: Syntax,
}

const PLACES: &[Place] = &[
    Place { agent: "claude", files: &[".claude.json"], table: "mcpServers", syntax: Syntax::Json },
    Place {
        agent: "codex",
        files: &[".codex/config.toml"],
        table: "mcp_servers",
        syntax: Syntax::Toml,
    },
    Place {
        agent: "opencode",
        files: &[".config/opencode/opencode.json", ".config/opencode/opencode.jsonc"],
        table: "mcp",
        syntax: Syntax::Json,
    },
    Place {
        agent: "gemini",
        files: &[".gemini/settings.json"],
        table: "mcpServers",
        syntax: Syntax::Json,
    },
];

impl Place {
    /// Of all agents that take servers. Aider takes none.
    pub fn all() -> &'static [Self] {
        PLACES
    }

    /// The one that a file belongs to.
    pub fn of_file(path: &str) -> Option<&'static Self> {
        PLACES.iter().find(|place| place.files.contains(&path))
    }

    /// What tells the agent of a server.
    pub fn entry(&self, launch: &Launch) -> Value {
        let Launch { command, arguments, variables } = launch;
        let mut entry = match self.agent {
            "claude" => json!({ "type": "stdio", "command": command, "args": arguments }),
            "opencode" => {
                let line: Vec<&String> = std::iter::once(command).chain(arguments).collect();
                json!({ "type": "local", "command": line, "enabled": true })
            }
            // Its own limit of ten seconds is short for a server that a busy machine starts.
            "codex" => json!({
                "command": command, "args": arguments, "startup_timeout_sec": CODEX_LIMIT,
            }),
            _ => json!({ "command": command, "args": arguments }),
        };
        let key = if self.agent == "opencode" { "environment" } else { "env" };
        if let Value::Object(fields) = &mut entry
            && !variables.is_empty()
        {
            fields.insert(key.to_owned(), json!(variables));
        }
        entry
    }
}

/// A secret, which is shown to nobody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = McpSecret))]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What is asked about the servers of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = McpRequest))]
pub enum Request {
    /// Lists them, and asks each for its tools.
    List,
    /// Adds one: one that is offered, or a command.
    Add(Add),
    /// Removes one.
    Remove {
        /// Which.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        name: ServerName,
        /// Also where its settings were changed.
        #[serde(default)]
        force: bool,
    },
}

/// Asks for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = McpAdd))]
pub struct Add {
    /// What it is called.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub name: ServerName,
    /// The command that it is; one that is offered when empty.
    #[serde(default)]
    pub command: Vec<String>,
    /// What is chosen of one that is offered.
    #[serde(default)]
    pub options: Options,
    /// Variables with secrets that it gets.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub secrets: BTreeMap<SecretName, Secret>,
    /// In place of another one of the name.
    #[serde(default)]
    pub force: bool,
}

/// A server of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = McpServer))]
pub struct Shown {
    /// What it is called.
    pub name: String,
    /// Its package with its version; absent where it is a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The command that it is.
    pub command: Vec<String>,
    /// The names of the secrets that it gets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// The agents that know it.
    pub agents: Vec<String>,
    /// The tools that it has; absent where it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Why it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// The servers of a workspace, or the one that was added or removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = McpServers))]
pub struct Answer {
    /// The servers.
    pub servers: Vec<Shown>,
    /// What there is to know.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A text between quotes of the plain shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
