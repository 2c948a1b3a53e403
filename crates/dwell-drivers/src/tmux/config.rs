//! The configuration of dwell's own tmux server. The user's `~/.tmux.conf` is never read; who
//! wants other keys or colours puts them into `$XDG_CONFIG_HOME/dwell/tmux.conf`, which is read
//! after the defaults and before the options on which dwell depends.

use std::path::Path;

const DEFAULTS: &str = r##"# Written by dwell at every start; changes belong into dwell/tmux.conf of your configuration.
set -g default-terminal "tmux-256color"
set -as terminal-overrides ",*:RGB"
set -as terminal-overrides ",*:Ms=\\E]52;%p1%s;%p2%s\\007"
set -sq extended-keys on
set -asq terminal-features ",xterm*:extkeys"
set -g set-clipboard on
set -gq allow-passthrough on
set -g mouse on
set -g focus-events on
set -g escape-time 10
set -g history-limit 50000
set -g window-size latest
set -g aggressive-resize on
set -g set-titles on
set -g set-titles-string "#S"
set -g status-left " #S "
set -g status-left-length 60
set -g status-right " %H:%M "
set -g status-style "bg=default,fg=default,reverse"
set -g visual-activity off
set -g update-environment "DISPLAY WAYLAND_DISPLAY XAUTHORITY KRB5CCNAME SSH_AGENT_PID SSH_ASKPASS SSH_AUTH_SOCK SSH_CONNECTION SSH_TTY WINDOWID COLORTERM TERM_PROGRAM LANG LC_ALL LC_CTYPE DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR"
"##;

const REQUIRED: &str = "\
set -g exit-empty off
set -g exit-unattached off
set -g destroy-unattached off
set -g remain-on-exit off
set -g base-index 0
";

/// The option of a session in a workspace that names the directory of its files there.
pub(super) const FILES: &str = "@dwell";

/// Has the files of every session tell how many windows it has.
const WINDOWS: &str = "\
#{S:#{?@dwell,cd #{q:@dwell} && echo #{session_windows} > windows.new && mv windows.new windows;,}}";

/// The configuration of a server in a workspace, which tells of windows by itself, one change after
/// the other, so that nobody has to ask.
pub fn inside(include: &Path) -> String {
    let changes = ["window-linked", "window-unlinked"];
    let hook = |change| format!("set-hook -g '{change}[900]' 'run-shell \"{WINDOWS}\"'\n");
    text(Some(include)) + &changes.map(hook).concat()
}

/// The whole configuration of a server of dwell's; `include` is read by tmux when it exists.
pub(super) fn text(include: Option<&Path>) -> String {
    let mut text = DEFAULTS.to_owned();
    if let Some(path) = include.and_then(Path::to_str).filter(|path| !path.contains('\n')) {
        text.push_str("source-file -q ");
        text.push_str(&quote(path));
        text.push('\n');
    }
    text.push_str(REQUIRED);
    text
}

/// A path as one word for tmux, which takes the argument of `source-file` as a pattern.
fn quote(path: &str) -> String {
    let mut quoted = String::from("'");
    for character in path.chars() {
        match character {
            '\'' => quoted.push_str("'\\''"),
            '*' | '?' | '[' | '\\' => quoted.extend(['\\', character]),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_include_stands_between_the_defaults_and_what_dwell_needs() {
        let text = text(Some(Path::new("/home/o'neil/a*b/tmux.conf")));
        let include = text.find(r"source-file -q '/home/o'\''neil/a\*b/tmux.conf'").unwrap();
        assert!(text.find("mouse on").unwrap() < include);
        assert!(include < text.find("exit-empty off").unwrap());
    }

    #[test]
    fn without_an_include_nothing_is_sourced() {
        assert!(!text(None).contains("source-file"));
    }
}
