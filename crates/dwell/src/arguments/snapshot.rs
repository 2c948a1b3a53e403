//! Arguments of the commands about snapshots, copies, setup steps and upgrades of workspaces.

use clap::{Args, Subcommand};
use dwell_core::workspace::ImageRef;
use dwell_core::{SnapshotName, WorkspaceName};

use super::workspace::Named;

/// Make snapshots of a workspace, and go back to one
#[derive(Debug, Args)]
#[command(after_help = "\
A snapshot is a copy of the file system and of the home, both of one moment: nothing moves in the
workspace while they are made. They are on the workspace's node, and go when it is gone for good.

Examples:
  dwell ws snapshot create box before-upgrade
  dwell ws snapshot ls box
  dwell ws snapshot restore box before-upgrade")]
pub(crate) struct Snapshot {
    #[command(subcommand)]
    pub(crate) action: SnapshotAction,
}

/// What to do with snapshots.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotAction {
    /// Make a snapshot
    #[command(
        after_help = "Examples:\n  dwell ws snapshot create box\n  dwell ws snapshot create box clean"
    )]
    Create {
        #[command(flatten)]
        it: Named,
        /// What to call it; by default s1, s2, ...
        #[arg(value_name = "NAME")]
        snapshot: Option<SnapshotName>,
    },
    /// List the snapshots of a workspace
    #[command(visible_alias = "list", after_help = "Examples:\n  dwell ws snapshot ls box --json")]
    Ls(Named),
    /// Have a workspace be what it was at a snapshot; what it is now is lost
    #[command(after_help = "Examples:\n  dwell ws snapshot restore box clean --yes")]
    Restore {
        #[command(flatten)]
        it: Named,
        /// The snapshot
        #[arg(value_name = "NAME")]
        snapshot: SnapshotName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Remove a snapshot
    #[command(visible_alias = "remove", after_help = "Examples:\n  dwell ws snapshot rm box clean")]
    Rm {
        #[command(flatten)]
        it: Named,
        /// The snapshot
        #[arg(value_name = "NAME")]
        snapshot: SnapshotName,
    },
}

/// Make a workspace that begins as a copy of another one
#[derive(Debug, Args)]
#[command(after_help = "\
The copy has the file system and the home of the other one, and an identity, an ssh host key and a
network of its own. Processes are not copied.

Examples:
  dwell ws fork box box-2
  dwell ws fork box try --from clean")]
pub(crate) struct Fork {
    #[command(flatten)]
    pub(crate) it: Named,
    /// What to call the copy
    #[arg(value_name = "NEW")]
    pub(crate) to: WorkspaceName,
    /// The snapshot that it begins as; by default the workspace as it is
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) from: Option<SnapshotName>,
    /// Join none of the environments that the other one has joined
    #[arg(long)]
    pub(crate) alone: bool,
}

/// Record commands that are run again when a workspace's file system begins anew
#[derive(Debug, Args)]
#[command(after_help = "\
`dwell ws upgrade` runs them in their order. They run as root, in /.

Examples:
  dwell ws setup add box -- apt-get install -y ripgrep
  dwell ws setup ls box
  dwell ws setup rm box 1")]
pub(crate) struct Setup {
    #[command(subcommand)]
    pub(crate) action: SetupAction,
}

/// What to do with setup steps.
#[derive(Debug, Subcommand)]
pub(crate) enum SetupAction {
    /// Run a command and record it once it ended well
    #[command(
        after_help = "Examples:\n  dwell ws setup add box -- sh -c 'apt-get update && apt-get install -y jq'"
    )]
    Add {
        #[command(flatten)]
        it: Named,
        /// Only record it
        #[arg(long)]
        no_run: bool,
        /// The user to run it as
        #[arg(short, long, default_value = "root")]
        user: String,
        /// The command
        #[arg(
            value_name = "COMMAND",
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        words: Vec<String>,
    },
    /// List what is recorded
    #[command(visible_alias = "list", after_help = "Examples:\n  dwell ws setup ls box")]
    Ls(Named),
    /// Forget a command
    #[command(visible_alias = "remove", after_help = "Examples:\n  dwell ws setup rm box 1")]
    Rm {
        #[command(flatten)]
        it: Named,
        /// Its number in the list
        #[arg(value_name = "NUMBER")]
        number: usize,
    },
}

/// Have a workspace begin anew as another image, with its home
#[derive(Debug, Args)]
#[command(after_help = "\
It shows the plan first: the images, what is run again (`dwell ws setup`), and which packages
differ. The home, the ssh host key and snapshots stay; everything else is the image's. Where
anything fails the old container comes back.

Examples:
  dwell ws upgrade box --dry-run
  dwell ws upgrade box
  dwell ws upgrade box --image debian:trixie --yes")]
pub(crate) struct Upgrade {
    #[command(flatten)]
    pub(crate) it: Named,
    /// The image; by default the one it has, as that is now
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<ImageRef>,
    /// Only show the plan
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}
