//! Servers of the Model Context Protocol in a workspace, from inside and as its user: installed below
//! the home, told to the agents that are there, asked whether they answer.

mod ask;
mod beside;
mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dwell_core::agent::mcp::{
    Add, Answer, Launch, Offer, RECORD, Record, Request, SERVERS, Secret, SecretName, Server,
    ServerName, Shown, quoted,
};
use dwell_core::settings::HomePath;

pub(crate) use beside::Beside;

use crate::process::{ProcessError, Program};
use crate::settings::home::{Found, Home};

/// How long fetching a package may take.
const FETCH: Duration = Duration::from_secs(480);
/// The file with a server's secrets, in its directory.
const SECRETS: &str = "secrets";
/// What starts a server that has some.
const RUN: &str = "run";

/// Why a server was not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// It is not offered.
    #[error("`{0}` is not offered; give its command after --")]
    NotOffered(ServerName),
    /// It takes no such option.
    #[error("`{name}` takes no {option}")]
    Option {
        /// Which.
        name: ServerName,
        /// What it does not take.
        option: &'static str,
    },
    /// It needs a secret.
    #[error("`{name}` needs the secret {secret}")]
    Secret {
        /// Which.
        name: ServerName,
        /// The variable that holds it.
        secret: &'static str,
    },
    /// Another one of the name is there.
    #[error("another `{name}` is among the servers of {agents}")]
    Taken {
        /// Which.
        name: ServerName,
        /// Who knows the other one.
        agents: String,
    },
    /// It is not there.
    #[error("there is no server `{0}`")]
    Unknown(ServerName),
    /// Its package could not be installed.
    #[error("{0}")]
    Install(#[from] ProcessError),
    /// A file could not be read or written.
    #[error("~/{path}: {source}")]
    File {
        /// Which, below the home.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

fn failed(path: &str) -> impl FnOnce(std::io::Error) -> McpError + '_ {
    move |source| McpError::File { path: path.to_owned(), source }
}

/// The home that servers are in, and what is known of them.
pub(crate) struct Servers {
    path: PathBuf,
    home: Home,
    record: Record,
}

/// Does what is asked.
///
/// # Errors
/// When it cannot be done; what was done until then is recorded.
pub async fn serve(home: &Path, request: Request) -> Result<Answer, McpError> {
    let mut servers = Servers::open(home)?;
    match request {
        Request::List => Ok(servers.list().await),
        Request::Add(add) => servers.add(add).await,
        Request::Remove { name, force } => servers.remove(&name, force),
    }
}

impl Servers {
    fn open(path: &Path) -> Result<Self, McpError> {
        let home = Home::open(path).map_err(failed(""))?;
        let record = read_record(&home).map_err(failed(RECORD))?;
        Ok(Self { path: path.to_owned(), home, record })
    }

    fn save(&self) -> Result<(), McpError> {
        write_record(&self.home, &self.record).map_err(failed(RECORD))
    }

    /// The directory of a server, below the home.
    fn directory(name: &ServerName) -> String {
        format!("{SERVERS}/{name}")
    }

    fn full(&self, below: &str) -> String {
        self.path.join(below).to_string_lossy().into_owned()
    }

    async fn list(&self) -> Answer {
        let tell = self.record.servers.iter().map(|(name, server)| self.shown(name, server));
        Answer { servers: futures_util::future::join_all(tell).await, notes: Vec::new() }
    }

    async fn shown(&self, name: &ServerName, server: &Server) -> Shown {
        let answered = ask::tools(&server.launch, &self.path).await;
        let (tools, trouble) = match answered {
            Ok(tools) => (Some(tools), None),
            Err(trouble) => {
                let offer = server.package.as_ref().and_then(|_| Offer::of(name.as_str()));
                let meaning = offer.and_then(|offer| offer.explain(&trouble));
                (None, Some(meaning.map_or(trouble, str::to_owned)))
            }
        };
        Shown {
            name: name.to_string(),
            package: server.package.clone(),
            command: server.command.clone(),
            secrets: server.secrets.clone(),
            agents: self.known_to(name),
            tools,
            trouble,
        }
    }

    async fn add(&mut self, add: Add) -> Result<Answer, McpError> {
        let offer = match add.command.is_empty() {
            true => Some(
                Offer::of(add.name.as_str())
                    .ok_or_else(|| McpError::NotOffered(add.name.clone()))?,
            ),
            false => None,
        };
        if let Some(offer) = offer {
            if let Some(option) = offer.refuses(&add.options) {
                return Err(McpError::Option { name: add.name, option });
            }
            let known = self.record.servers.get(&add.name);
            let has = |secret: &str| {
                add.secrets.keys().any(|name| name.as_str() == secret)
                    || known.is_some_and(|known| known.secrets.iter().any(|name| name == secret))
            };
            if let Some(secret) = offer.secret.filter(|secret| !has(secret)) {
                return Err(McpError::Secret { name: add.name, secret });
            }
        }
        let others = self.others(&add.name);
        if !others.is_empty() && !add.force {
            return Err(McpError::Taken { name: add.name, agents: others.join(", ") });
        }
        let server = self.put_there(&add, offer).await?;
        self.record.servers.insert(add.name.clone(), server.clone());
        self.save()?;
        let notes = self.tell_agents(&add.name, &server.launch)?;
        let shown = self.shown(&add.name, &server).await;
        Ok(Answer { servers: vec![shown], notes })
    }

    /// Installs it, and keeps its secrets.
    async fn put_there(&self, add: &Add, offer: Option<&Offer>) -> Result<Server, McpError> {
        let directory = self.full(&Self::directory(&add.name));
        let home = self.path.to_string_lossy();
        let (package, plain) = match (offer, add.command.split_first()) {
            (Some(offer), _) => {
                install(&directory, offer.package).await?;
                let launch = offer.launch(&directory, &home, &add.options);
                (Some(offer.package.to_owned()), launch)
            }
            (None, Some((program, arguments))) => {
                let launch = Launch {
                    command: program.clone(),
                    arguments: arguments.to_vec(),
                    variables: BTreeMap::new(),
                };
                (None, launch)
            }
            (None, None) => return Err(McpError::NotOffered(add.name.clone())),
        };
        let before = self.record.servers.get(&add.name);
        let kept = before.map(|before| before.secrets.clone()).unwrap_or_default();
        let secrets = match add.secrets.is_empty() {
            true => kept,
            false => add.secrets.keys().map(ToString::to_string).collect(),
        };
        let command: Vec<String> =
            std::iter::once(plain.command.clone()).chain(plain.arguments.iter().cloned()).collect();
        let launch = if secrets.is_empty() {
            plain
        } else {
            self.wrap(&add.name, &command, &add.secrets, plain.variables)?
        };
        Ok(Server { package, command, launch, secrets })
    }

    /// A program that gives a server its secrets, which stand in a file that only the user reads.
    fn wrap(
        &self,
        name: &ServerName,
        command: &[String],
        secrets: &BTreeMap<SecretName, Secret>,
        variables: BTreeMap<String, String>,
    ) -> Result<Launch, McpError> {
        let directory = Self::directory(name);
        let write = |file: &str, text: &str, executable: bool| {
            let path = format!("{directory}/{file}");
            let written =
                below(&path).and_then(|place| self.home.write(&place, text.as_bytes(), executable));
            written.map_err(failed(&path))
        };
        if !secrets.is_empty() {
            let line = |(name, Secret(value)): (&SecretName, &Secret)| {
                format!("export {name}={}\n", quoted(value))
            };
            write(SECRETS, &secrets.iter().map(line).collect::<String>(), false)?;
        }
        let file = quoted(&self.full(&format!("{directory}/{SECRETS}")));
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        write(RUN, &format!("#!/bin/sh\n. {file}\nexec {}\n", words.join(" ")), true)?;
        let command = self.full(&format!("{directory}/{RUN}"));
        Ok(Launch { command, arguments: Vec::new(), variables })
    }

    fn remove(&mut self, name: &ServerName, force: bool) -> Result<Answer, McpError> {
        let Some(server) = self.record.servers.get(name).cloned() else {
            return Err(McpError::Unknown(name.clone()));
        };
        let notes = self.forget(name, force)?;
        self.record.servers.remove(name);
        self.save()?;
        let directory = self.path.join(Self::directory(name));
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(&Self::directory(name))(error));
            }
            _ => {}
        }
        let gone = Shown {
            name: name.to_string(),
            package: server.package,
            command: server.command,
            secrets: server.secrets,
            agents: Vec::new(),
            tools: None,
            trouble: None,
        };
        Ok(Answer { servers: vec![gone], notes })
    }
}

async fn install(directory: &str, package: &str) -> Result<(), McpError> {
    let npm = Program::new("npm")
        .args(["install", "--no-fund", "--no-audit", "--no-save", "--loglevel=error", "--prefix"])
        .args([directory, package])
        .limit(FETCH);
    std::fs::create_dir_all(directory).map_err(failed(directory))?;
    npm.run().await?;
    Ok(())
}

fn below(path: &str) -> std::io::Result<HomePath> {
    path.parse().map_err(|error| std::io::Error::other(format!("{error}")))
}

/// What is known of the servers of a home.
pub(crate) fn read_record(home: &Home) -> std::io::Result<Record> {
    match home.look(&below(RECORD)?)? {
        Found::File { content, .. } => {
            serde_json::from_slice(&content).map_err(std::io::Error::other)
        }
        Found::Nothing => Ok(Record::default()),
        Found::Other => Err(std::io::Error::other("it is no plain file")),
    }
}

/// Keeps what is known of them.
pub(crate) fn write_record(home: &Home, record: &Record) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(record).map_err(std::io::Error::other)?;
    home.write(&below(RECORD)?, &text, false)
}
