//! Arguments of the commands that bring an editor to a workspace.

use clap::{Args, Subcommand, ValueEnum};
use dwell_core::WorkspaceName;
use dwell_core::editor::Editor;

/// Open a workspace in an editor of this machine, over ssh
#[derive(Debug, Args)]
#[command(after_help = "\
Editors: vscode, vscode-insiders, vscodium, cursor, windsurf, zed, gateway (JetBrains). They find the
workspace by the ssh configuration that `dwell config-ssh` writes; where that was not done yet, this
asks to.

Examples:
  dwell open box
  dwell open box --in cursor /home/dev/shop
  dwell open box --in zed --print")]
pub(crate) struct Open {
    /// The workspace
    #[arg(value_name = "WORKSPACE")]
    pub(crate) name: WorkspaceName,
    /// The directory there; by default the home
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<String>,
    /// The editor
    #[arg(
        long = "in",
        value_enum,
        env = "DWELL_EDITOR",
        hide_env_values = true,
        hide_possible_values = true,
        value_name = "EDITOR",
        default_value = "vscode"
    )]
    pub(crate) editor: EditorName,
    /// Only print the link
    #[arg(long)]
    pub(crate) print: bool,
}

/// An editor by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EditorName {
    /// Visual Studio Code.
    #[value(alias = "code")]
    Vscode,
    /// Its preview builds.
    VscodeInsiders,
    /// VSCodium.
    Vscodium,
    /// Cursor.
    Cursor,
    /// Windsurf.
    Windsurf,
    /// Zed.
    Zed,
    /// JetBrains Gateway.
    #[value(alias = "jetbrains")]
    Gateway,
}

impl EditorName {
    pub(crate) fn editor(self) -> Editor {
        match self {
            Self::Vscode => Editor::Vscode,
            Self::VscodeInsiders => Editor::VscodeInsiders,
            Self::Vscodium => Editor::Vscodium,
            Self::Cursor => Editor::Cursor,
            Self::Windsurf => Editor::Windsurf,
            Self::Zed => Editor::Zed,
            Self::Gateway => Editor::Gateway,
        }
    }
}

/// Reach a workspace through a tunnel of an editor's maker
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  dwell tunnel code box")]
pub(crate) struct Tunnel {
    #[command(subcommand)]
    pub(crate) action: TunnelAction,
}

/// Whose tunnel.
#[derive(Debug, Subcommand)]
pub(crate) enum TunnelAction {
    /// Run the tunnel of Visual Studio Code in a workspace, until Ctrl-C
    #[command(after_help = "\
It takes the `code` command in the workspace. The first time it shows an address at which to sign in;
then the workspace is in Visual Studio Code under Remote Explorer, Tunnels, and at vscode.dev.

Examples:
  dwell tunnel code box")]
    Code {
        /// The workspace
        #[arg(value_name = "WORKSPACE")]
        name: WorkspaceName,
    },
}
