//! `completion`: a script that completes dwell's command line in a shell.

use clap::CommandFactory;
use clap_complete::{Shell as Generator, generate};

use crate::arguments::Arguments;
use crate::arguments::setup::{Completion, Shell};
use crate::failure::Ended;
use crate::output::Output;

/// Prints the script.
pub(crate) fn run(it: &Completion, output: &Output) -> Ended {
    let generator = match it.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = Vec::new();
    generate(generator, &mut Arguments::command(), "dwell", &mut script);
    output.bytes(&script)?;
    Ok(0)
}
