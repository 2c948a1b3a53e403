//! Arguments of `android`.

use clap::{Args, ValueEnum};
use dwell_core::WorkspaceName;

/// Run the Android emulator on the desktop of a workspace
#[derive(Debug, Args)]
#[command(after_help = "\
It takes a workspace that was made with --android, of an image that `dwell image build android` builds,
on a machine with hardware virtualization. `dwell vnc` shows it; inside, adb reaches it, and from here
`dwell forward box 5555` does for an adb of this machine.

Examples:
  dwell ws create box --android --image dwell-workspace:android --class cpu=4,mem=8g
  dwell android box && dwell vnc box
  dwell android box status
  dwell android box stop")]
pub(crate) struct Android {
    /// The workspace
    #[arg(value_name = "WORKSPACE")]
    pub(crate) name: WorkspaceName,
    /// What to do
    #[arg(
        value_enum,
        value_name = "start|stop|status",
        hide_possible_values = true,
        default_value = "start",
        hide_default_value = true
    )]
    pub(crate) action: AndroidAction,
    /// Do not wait until Android has booted
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// What to do with the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AndroidAction {
    /// Start it, and wait until Android has booted.
    Start,
    /// End it.
    Stop,
    /// Tell what it does.
    Status,
}
