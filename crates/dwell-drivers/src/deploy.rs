//! dwell on a node that is reached by ssh: what is there, putting the matching binary there and
//! replacing it. It takes an ssh server and a shell over there, and no rights beyond the user's.

mod binary;
mod facts;
mod plan;
mod prepare;

use std::path::PathBuf;
use std::time::Duration;

use crate::ssh::{self, Destination, SshError, Why, quoted};

pub use binary::Binary;
pub use facts::{Facts, Installed};
pub use plan::{Plan, plan};
pub use prepare::{apply, apply_in_terminal};

/// The version of this dwell, which is what it puts on nodes.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a node may take to tell its facts; each of its programs has 10 s at most.
const FACTS_LIMIT: Duration = Duration::from_secs(60);
/// How long a daemon may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// How long a node's systemd may take to learn of a unit.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Has the user's systemd run without a login; as root where the user alone may not.
const LINGER: &str = r#"
set -eu
me=$(id -un)
[ -e "/var/lib/systemd/linger/$me" ] || timeout 10 loginctl enable-linger "$me" </dev/null ||
    timeout 10 sudo -n loginctl enable-linger "$me" </dev/null
"#;

/// Sets `bin` to where dwell belongs on a node.
const PLACE: &str = r#"
case "${XDG_DATA_HOME-}" in /*) data=$XDG_DATA_HOME ;; *) data=$HOME/.local/share ;; esac
bin=$data/dwell/bin/dwell
"#;

/// Takes the binary on standard input. Everything happens beside its place until it is known to
/// be whole and to run; two at once do not meet. What a killed one left is removed after a day.
const INSTALL: &str = r#"
set -eu
umask 077
folder=$(dirname "$bin")
mkdir -p "$folder"
find "$folder" -name '.dwell.*' -mtime +0 -exec rm -f {} +
new=$(mktemp "$folder/.dwell.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM PIPE
cat > "$new"
sum=$(sha256sum < "$new")
[ "${sum%% *}" = "$want" ] || { echo "${sum%% *}" >&2; exit 65; }
chmod 755 "$new"
said=$("$new" --version 2>&1) || { echo "$said" >&2; exit 66; }
[ "$said" = "dwell $version" ] || { echo "$said" >&2; exit 67; }
mv -f "$new" "$bin"
"#;

/// Why dwell was not brought to a node.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The connection failed.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// What the node told is not what was asked for.
    #[error("{destination} did not tell about itself: {reason}")]
    Facts {
        /// The node.
        destination: String,
        /// What is wrong with its answer.
        reason: String,
    },
    /// The node's system is not one that dwell runs on.
    #[error("the node's system is {system}, and dwell nodes are Linux")]
    System {
        /// What `uname -s` says there.
        system: String,
    },
    /// There is no binary for the node's processors.
    #[error("the node's processors are {architecture}, and there is no dwell for them here: `{}`", path.display())]
    NoBinary {
        /// What `uname -m` says there.
        architecture: String,
        /// Where it would be.
        path: PathBuf,
    },
    /// The node has a newer dwell.
    #[error("the node has dwell {found}, which is newer than this one, {VERSION}")]
    Newer {
        /// Its version.
        found: String,
    },
    /// The disk of the node's user has no room for it.
    #[error("the node's disk has no room for dwell, which takes {needed} bytes")]
    DiskFull {
        /// Bytes that it takes.
        needed: u64,
    },
    /// The binary here cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    Unreadable {
        /// The binary.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What arrived is not what was sent.
    #[error("the binary did not arrive whole")]
    Damaged,
    /// The binary does not run there.
    #[error("the binary does not run there: {reason}")]
    DoesNotRun {
        /// What the node said.
        reason: String,
    },
    /// The binary is of another version than this one.
    #[error("`{}` is `{found}`, and this is dwell {VERSION}", path.display())]
    OtherVersion {
        /// The binary here.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
}

impl DeployError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ssh(error) => Some(error.hint()),
            Self::Facts { .. } | Self::System { .. } => None,
            Self::NoBinary { architecture, path } => Some(format!(
                "build dwell for {architecture}-unknown-linux-gnu or take it from a release, and \
                 put it at `{}`",
                path.display()
            )),
            Self::Newer { .. } => Some("upgrade dwell here".into()),
            Self::DiskFull { .. } => Some("make room in the user's home directory there".into()),
            Self::Unreadable { .. } => None,
            Self::Damaged => Some("try again".into()),
            Self::DoesNotRun { .. } => Some(
                "the file system of its home may forbid programs (noexec); XDG_DATA_HOME there \
                 chooses another place"
                    .into(),
            ),
            Self::OtherVersion { path, .. } => {
                Some(format!("replace `{}` by one of this version", path.display()))
            }
        }
    }
}

/// The script with which a node's dwell is run with these words, in place of the shell.
pub fn script(words: &str) -> String {
    format!("{PLACE}exec \"$bin\" {words}")
}

/// Asks a node about itself over one connection.
///
/// # Errors
/// When the connection fails or the answer is not understood.
pub async fn facts(destination: &Destination) -> Result<Facts, DeployError> {
    let script = format!("{PLACE}{}", facts::script());
    let answer = ssh::run(destination, &script, b"", FACTS_LIMIT).await?;
    facts::parse(&answer.text())
        .map_err(|reason| DeployError::Facts { destination: destination.to_string(), reason })
}

/// Puts a binary in its place on a node, or in the place of the one that is there, in one step:
/// whoever starts dwell there gets the old one or the new one, whole. `progress` is told how many
/// bytes have been sent, now and then.
///
/// # Errors
/// When the connection fails, or the binary does not arrive whole, does not run there, or is of
/// another version than this dwell. The node is left as it was then.
pub async fn install(
    destination: &Destination,
    binary: &Binary,
    progress: impl FnMut(u64),
) -> Result<(), DeployError> {
    let script =
        format!("{PLACE}want={}\nversion={}\n{INSTALL}", quoted(&binary.hash), quoted(VERSION));
    match ssh::upload(destination, &binary.path, &script, progress).await {
        Ok(_) => Ok(()),
        Err(error) => Err(explained(error, binary)),
    }
}

/// The reason that the script on the node gave, by its exit code.
fn explained(error: SshError, binary: &Binary) -> DeployError {
    let Why::Failed { code, stderr } = &error.why else { return error.into() };
    let said = stderr.trim().to_owned();
    match code {
        _ if stderr.contains("No space left on device") => {
            DeployError::DiskFull { needed: binary.size }
        }
        Some(65) => DeployError::Damaged,
        Some(66 | 126) => DeployError::DoesNotRun { reason: said },
        Some(67) => DeployError::OtherVersion { path: binary.path.clone(), found: said },
        _ => error.into(),
    }
}

/// Lets a node's daemon start with the machine and stay when nobody is logged in, by a unit of
/// the user's own systemd.
///
/// # Errors
/// When the connection fails, or the node's systemd does not let the user.
pub async fn start_with_machine(destination: &Destination) -> Result<(), DeployError> {
    let script = format!("{PLACE}{LINGER}exec \"$bin\" setup --no-resolver --yes");
    Ok(ssh::run(destination, &script, b"", START_LIMIT).await.map(drop)?)
}

/// Tells a node's daemon to stop, whatever its version; the next connection starts the one that
/// is installed then. What runs on the node goes on. Nothing happens where none runs.
///
/// # Errors
/// When the connection fails, or the daemon does not stop.
pub async fn stop(destination: &Destination) -> Result<(), DeployError> {
    let script = script("node stop");
    Ok(ssh::run(destination, &script, b"", STOP_LIMIT).await.map(drop)?)
}
