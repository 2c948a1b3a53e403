//! Arguments of the commands about nodes other than this machine.

use std::net::IpAddr;

use clap::{Args, Subcommand, ValueEnum};
use dwell_core::NodeName;
use dwell_core::remote::{
    KeyPath, MeshAddress, Remote as Record, RemoteError, RemoteUser, SshAddress, SshPort, Transport,
};

/// Register other machines as nodes, and look after them
#[derive(Debug, Args)]
#[command(after_help = "\
A node takes an ssh server and Docker. dwell uses the system's ssh: its configuration, agent, jump
hosts and known hosts hold, and nothing listens on the node.

Examples:
  dwell remote add staging --host staging.example.com
  dwell remote ls
  dwell up red --remote staging")]
pub(crate) struct Remote {
    #[command(subcommand)]
    pub(crate) action: RemoteAction,
}

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteAction {
    Add(Add),
    /// List the nodes
    #[command(visible_alias = "list", after_help = "Examples:\n  dwell remote ls --json")]
    Ls,
    /// Measure the way to a node, connecting first where the link is down
    #[command(after_help = "Examples:\n  dwell remote ping staging")]
    Ping {
        /// The node
        #[arg(value_name = "NODE")]
        name: NodeName,
    },
    /// Show what nodes have left, and who uses them
    #[command(
        after_help = "Examples:\n  dwell remote status\n  dwell remote status staging --json"
    )]
    Status {
        /// The nodes; by default all, and this machine
        #[arg(value_name = "NODE")]
        names: Vec<NodeName>,
    },
    Init(Init),
    Remove(Remove),
    Upgrade(Upgrade),
}

/// Register a node, and put dwell there
#[derive(Debug, Args)]
#[command(after_help = "\
It puts the dwell binary into ~/.local/share/dwell/bin of the user there and starts its daemon; this
takes no root. A host key that is not known yet is shown by ssh itself, never accepted silently.
Repeating it changes how the node is reached.

Examples:
  dwell remote add staging --host staging.example.com
  dwell remote add build --host 10.0.0.7 --user ci --port 2222 --ssh-key ~/.ssh/ci
  dwell remote add box --host box --mesh-ip 100.64.0.5 --transport mesh")]
pub(crate) struct Add {
    /// What to call it
    #[arg(value_name = "NODE")]
    pub(crate) name: NodeName,
    /// Its name, its address, an alias of the ssh configuration, or USER@HOST:PORT
    #[arg(long, value_name = "HOST")]
    pub(crate) host: SshAddress,
    /// The user there; by default ssh's choice
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<RemoteUser>,
    /// The port of its ssh server; by default ssh's choice
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<SshPort>,
    /// The private key to log in with; by default ssh's choice
    #[arg(long, value_name = "FILE", value_parser = key)]
    pub(crate) ssh_key: Option<KeyPath>,
    /// Its address in a private network; by default what Tailscale or WireGuard tell
    #[arg(long, value_name = "IP")]
    pub(crate) mesh_ip: Option<IpAddr>,
    /// What carries the connection: the mesh where it answers, or always ssh
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) transport: TransportWord,
}

impl Add {
    /// The node as it is to be registered.
    pub(crate) fn record(&self) -> Result<Record, RemoteError> {
        let mut record = Record::new(self.name.clone(), self.host.clone())?;
        record.user = self.user.clone().or(record.user);
        record.port = self.port.or(record.port);
        record.key = self.ssh_key.clone();
        record.mesh_ip = self.mesh_ip.map(MeshAddress::try_from).transpose()?;
        record.transport = match self.transport {
            TransportWord::Auto => Transport::Auto,
            TransportWord::Ssh => Transport::Ssh,
            TransportWord::Mesh => Transport::Mesh,
        };
        Ok(record)
    }
}

/// A transport as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportWord {
    /// The mesh where it answers, else ssh.
    Auto,
    /// Always ssh.
    Ssh,
    /// The mesh; ssh while it is down.
    Mesh,
}

/// Prepare a bare Debian or Ubuntu machine
#[derive(Debug, Args)]
#[command(after_help = "\
Installs what is missing of Docker with compose, git, rsync and tmux, and lets dwell start with the
machine. It takes root there, or sudo. It shows every step before it does it, and doing it again
changes nothing.

Examples:
  dwell remote init staging --dry-run
  dwell remote init staging --ingress")]
pub(crate) struct Init {
    /// The node
    #[arg(value_name = "NODE")]
    pub(crate) name: NodeName,
    /// Only show the steps
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Install Caddy too, for environments that are reached from other machines of a mesh
    #[arg(long)]
    pub(crate) ingress: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Forget a node; what runs there goes on
#[derive(Debug, Args)]
#[command(
    visible_alias = "rm",
    after_help = "\
Its environments stay as they are and are seen again when it is added again.

Examples:
  dwell remote remove staging"
)]
pub(crate) struct Remove {
    /// The node
    #[arg(value_name = "NODE")]
    pub(crate) name: NodeName,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Put this version of dwell on nodes
#[derive(Debug, Args)]
#[command(after_help = "\
Environments and sessions there go on while the daemon is replaced. A newer dwell is left in place.

Examples:
  dwell remote upgrade staging
  dwell remote upgrade --all")]
pub(crate) struct Upgrade {
    /// The nodes
    #[arg(value_name = "NODE", required_unless_present = "all")]
    pub(crate) names: Vec<NodeName>,
    /// All nodes
    #[arg(short, long, conflicts_with = "names")]
    pub(crate) all: bool,
}

/// The path of a key, from where the user stands.
fn key(text: &str) -> Result<KeyPath, String> {
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    let path = path.to_str().ok_or("is not UTF-8")?;
    path.parse().map_err(|error: RemoteError| error.to_string())
}
