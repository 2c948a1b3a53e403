//! Writes docs/cli.md from the definition of the command line; a test keeps the two equal.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use super::Arguments;

const HEAD: &str = "\
# The command line

Written from the program by `UPDATE=1 cargo test -p dwell cli_reference`; do not edit.

Every command also takes `--json` (or `-o json`), `-q`/`--quiet` and `--no-input`. Results go to
stdout, everything else to stderr. With `--json` a problem is one line on stdout:
`{\"outcome\":\"error\",\"error\":{\"code\":…,\"message\":…,\"hint\":…,\"retryable\":…}}`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it failed |
| 2 | the command line is wrong, or the user cancelled |
| 3 | it does not exist |
| 5 | it exists already, is busy, is ambiguous, or work would be lost |
| 6 | it waits for the user's trust |
| 7 | no addresses or no disk space are left |
| 8 | the engine or the daemon does not answer |
| 124 | it took too long |
| 130 | it was interrupted |

`run`, `exec` and `compose` end with their command's exit code; `exec` ends with 255 when the
connection is lost.
";

#[test]
fn cli_reference_is_up_to_date() {
    let mut root = Arguments::command();
    root.build();
    let mut text = HEAD.to_owned();
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(command, "dwell", &mut text);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/cli.md is old: UPDATE=1 cargo test -p dwell cli_reference");
}

fn section(command: &Command, parent: &str, out: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    write!(out, "\n## {name}\n\n{about}.\n").unwrap();
    let aliases: Vec<_> = command.get_visible_aliases().map(|a| format!("`{a}`")).collect();
    if !aliases.is_empty() {
        write!(out, "\nAlso {}.\n", aliases.join(", ")).unwrap();
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n");
    write!(out, "\n```\n{}\n```\n", usage.trim_end()).unwrap();
    let listed = |arg: &&Arg| !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help";
    let arguments: Vec<&Arg> = command.get_arguments().filter(listed).collect();
    if !arguments.is_empty() {
        out.push_str("\n| argument | meaning |\n|---|---|\n");
    }
    for arg in arguments {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "| `{}` | {}{} |", spelling(arg), cell(&help), extras(arg)).unwrap();
    }
    if let Some(after) = command.get_after_help() {
        let text = after.to_string();
        let (before, examples) = text.split_once("Examples:\n").unwrap_or((&text, ""));
        if !before.trim().is_empty() {
            write!(out, "\n{}\n", before.trim()).unwrap();
        }
        if !examples.is_empty() {
            let lines: Vec<&str> = examples.lines().map(str::trim).collect();
            write!(out, "\n```sh\n{}\n```\n", lines.join("\n")).unwrap();
        }
    }
    for inner in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        section(inner, &name, out);
    }
}

fn spelling(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let value = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let takes = arg.get_action().takes_values();
    let value = if takes { value } else { String::new() };
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    cell(format!("{} {value}", flags.join(", ")).trim())
}

fn extras(arg: &Arg) -> String {
    let mut text = String::new();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        write!(text, "; by default `{}`", defaults.join(" ")).unwrap();
    }
    if let Some(env) = arg.get_env() {
        write!(text, "; from `{}`", env.to_string_lossy()).unwrap();
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
