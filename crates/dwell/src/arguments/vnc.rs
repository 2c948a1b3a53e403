//! Arguments of `vnc`.

use clap::{Args, ValueEnum};
use dwell_core::WorkspaceName;

/// See the desktop of a workspace in a browser
#[derive(Debug, Args)]
#[command(after_help = "\
It takes an image with a desktop, which `dwell image build desktop` builds. The desktop is started
where it does not run, and goes on until `stop` or the end of the workspace. The address is on this
machine's loopback address and good for one browser, within a minute.

Examples:
  dwell vnc box
  dwell vnc box --print --size 1920x1080
  dwell vnc box stop")]
pub(crate) struct Vnc {
    /// The workspace
    #[arg(value_name = "WORKSPACE")]
    pub(crate) name: WorkspaceName,
    /// End the desktop, with all that is open on it
    #[arg(value_enum, value_name = "stop", hide_possible_values = true)]
    pub(crate) action: Option<VncAction>,
    /// Only print the address
    #[arg(long, conflicts_with = "action")]
    pub(crate) print: bool,
    /// The size of a desktop that is started
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size, conflicts_with = "action")]
    pub(crate) size: Option<(u16, u16)>,
}

/// What to do instead of showing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VncAction {
    /// End it.
    Stop,
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let pixels = |text: &str| text.parse().ok().filter(|pixels| (64..=16_384).contains(pixels));
    let parts = text.split_once('x').map(|(width, height)| (pixels(width), pixels(height)));
    match parts {
        Some((Some(width), Some(height))) => Ok((width, height)),
        _ => Err(format!("`{text}` is no size such as 1440x900")),
    }
}
