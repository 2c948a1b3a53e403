//! What a workspace shows from inside, and what that says about its use. Only what changed since
//! the last look counts as new, so that a clock that was set makes nothing look used or idle.

use serde::{Deserialize, Serialize};

use super::{Ledger, Source};

/// Which share of one processor is work, in hundredths, and what a look itself may take besides,
/// in microseconds.
const WORK: (i64, i64) = (5, 150_000);
/// Looks that are further apart than this say nothing about the processor now, in microseconds.
const TOGETHER: i64 = 600 * 1_000_000;
/// Kernels note the use of a terminal only once in this time, in microseconds.
const GRAIN: i64 = 8_000_000;
/// Shells, which wait for a person.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "fish", "ash", "ksh", "login"];
/// Programs that show other terminals, sessions' shims among them; what they write is not work.
const SCREENS: [&str; 4] = ["tmux: client", "tmux", "screen", "dwell"];
/// What is in the command lines of the servers that editors leave behind.
const EDITORS: [&str; 8] = [
    ".vscode-server",
    ".vscode-remote",
    ".cursor-server",
    ".windsurf-server",
    ".zed_server",
    "zed-remote-server",
    ".cache/JetBrains",
    "sftp-server",
];

/// What a workspace shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signs {
    /// Its clock, in microseconds since the Unix epoch.
    pub now: i64,
    /// Processor time that was ever used in it, in microseconds.
    pub used: i64,
    /// What the editors' servers that are there have used of that.
    pub editors: i64,
    /// Its terminals.
    pub terminals: Vec<Terminal>,
    /// Commands that run without a terminal, for somebody who logged in or in a session.
    pub tasks: u32,
    /// Processes that wanted a processor at that very moment, without editors' servers.
    pub ready: u32,
}

/// A terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Its number.
    pub number: u32,
    /// When something was typed last, in microseconds since the Unix epoch.
    pub typed: i64,
    /// When something was written to it last, likewise.
    pub wrote: i64,
    /// The name of the program in its foreground.
    pub program: String,
}

/// Whether a program is a shell.
pub fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program.trim_start_matches('-'))
}

/// Whether a command line is that of a server which an editor leaves behind.
pub fn is_editor(command_line: &str) -> bool {
    EDITORS.iter().any(|marker| command_line.contains(marker))
}

impl Ledger {
    /// Takes over what a look showed, `between` microseconds of watched time after the last one.
    pub fn look(&mut self, before: Option<(&Signs, i64)>, seen: &Signs) {
        for terminal in &seen.terminals {
            let had = before.and_then(|(before, _)| {
                before.terminals.iter().find(|other| other.number == terminal.number)
            });
            let ago = |at: i64| match seen.now - at {
                // In the future: somebody set the clock.
                ..0 => 0,
                ago => (ago - GRAIN).max(0),
            };
            // Use that goes on shows only once in a while.
            let goes_on = |at: i64| (0..GRAIN).contains(&(seen.now - at));
            if had.is_none_or(|had| had.typed != terminal.typed) || goes_on(terminal.typed) {
                self.sign_ago(Source::Typing, ago(terminal.typed));
            }
            let is_screen = SCREENS.contains(&terminal.program.as_str());
            let wrote =
                had.is_none_or(|had| had.wrote != terminal.wrote) || goes_on(terminal.wrote);
            if wrote && !is_screen {
                self.sign_ago(Source::Output, ago(terminal.wrote));
            }
        }
        let in_front = |it: &Terminal| {
            let program = it.program.as_str();
            !program.is_empty() && !is_shell(program) && !SCREENS.contains(&program)
        };
        self.see(Source::Job, seen.terminals.iter().any(in_front));
        if seen.tasks > 0 {
            self.sign(Source::Task);
        }
        if let Some((before, between)) = before
            && between <= TOGETHER
            && works(before, seen, between)
        {
            self.sign(Source::Processor);
        }
    }

    /// A source was looked for, and is there or not.
    pub fn see(&mut self, source: Source, there: bool) {
        if there { self.sign(source) } else { self.over(source) }
    }
}

/// Whether what was used between two looks is work.
fn works(before: &Signs, seen: &Signs, between: i64) -> bool {
    let used = seen.used.saturating_sub(before.used);
    let editors = seen.editors.saturating_sub(before.editors).max(0);
    let (share, own) = WORK;
    // On a machine that is busy with other things, work may get less than its share.
    let wants = before.ready > 0 && seen.ready > 0;
    wants || used - editors > between / 100 * share + own
}

#[cfg(test)]
mod tests {
    use super::super::{Because, Phase, Policy, Verdict};
    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;
    const NOW: i64 = 1_790_000_000 * SECOND;

    /// A ledger of a workspace that has run for five hours.
    fn ledger() -> Ledger {
        let mut it = Ledger::new(0);
        it.enter(Phase::Running);
        for minute in 1..=300 {
            it.tick(minute * 60 * SECOND);
        }
        it
    }

    fn signs(typed: i64, wrote: i64, program: &str) -> Signs {
        let program = program.to_owned();
        let terminal = Terminal { number: 3, typed: NOW - typed, wrote: NOW - wrote, program };
        Signs { now: NOW, terminals: vec![terminal], ..Signs::default() }
    }

    #[track_caller]
    fn because(it: &Ledger) -> (Because, i64) {
        match it.decide(&Policy::default()) {
            Verdict::Awake { because, until, .. } => (because, it.clock() + 6 * HOUR - until),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_look_tells_how_long_ago_a_terminal_was_used() {
        let mut it = ledger();
        it.look(None, &signs(2 * HOUR, 3 * HOUR, "bash"));
        assert_eq!(because(&it), (Because::Sign(Source::Typing), 2 * HOUR - GRAIN));
        let mut it = ledger();
        it.look(None, &signs(9 * HOUR, HOUR, "claude"));
        // It is in the foreground, and says nothing more.
        assert_eq!(because(&it), (Because::Sign(Source::Job), 0));
    }

    #[test]
    fn what_did_not_change_is_not_new_whatever_the_clock_says() {
        let mut it = ledger();
        let before = signs(4 * HOUR, 4 * HOUR, "bash");
        it.look(None, &before);
        let seen = because(&it);
        for set in [-300 * HOUR, 300 * HOUR] {
            let after = Signs { now: NOW + set, ..before.clone() };
            it.look(Some((&before, 60 * SECOND)), &after);
            assert_eq!(because(&it), seen, "{set}");
        }
        let typed = Signs { now: NOW - 300 * HOUR, ..signs(3 * HOUR, 4 * HOUR, "bash") };
        it.look(Some((&before, 60 * SECOND)), &typed);
        assert_eq!(because(&it), (Because::Sign(Source::Typing), 0), "it changed: it is used");
    }

    #[test]
    fn a_status_line_of_tmux_is_not_work() {
        let mut it = ledger();
        it.look(None, &signs(4 * HOUR, 0, "tmux: client"));
        assert_eq!(because(&it), (Because::Sign(Source::Typing), 4 * HOUR - GRAIN));
    }

    #[test]
    fn processes_work_and_editors_servers_do_not() {
        let used = |used, editors| Signs { now: NOW, used, editors, ..Signs::default() };
        for (before, after, between, work) in [
            (used(0, 0), used(4 * SECOND, 0), 60 * SECOND, true),
            (used(0, 0), used(2 * SECOND, 0), 60 * SECOND, false),
            (used(0, 0), used(9 * SECOND, 8 * SECOND), 60 * SECOND, false),
            // An editor's server that ended takes its share with it.
            (used(0, 99 * SECOND), used(9 * SECOND, 0), 60 * SECOND, true),
            // It gets little, and wants more.
            (Signs { ready: 1, ..used(0, 0) }, Signs { ready: 2, ..used(0, 0) }, SECOND, true),
            (used(0, 0), Signs { ready: 1, ..used(0, 0) }, SECOND, false),
            // A look of ours is no work, however soon the next follows.
            (used(0, 0), used(100_000, 0), SECOND / 2, false),
            (used(0, 0), used(400 * SECOND, 0), HOUR, false),
        ] {
            let mut it = ledger();
            it.look(Some((&before, between)), &after);
            let seen = because(&it).0 == Because::Sign(Source::Processor);
            assert_eq!(seen, work, "{before:?} {after:?}");
        }
    }

    #[test]
    fn editors_and_shells_are_known() {
        assert!(is_editor("/home/dev/.vscode-server/bin/x/node out/server-main.js"));
        assert!(!is_editor("node server.js"));
        assert!(is_shell("-bash") && is_shell("sh") && !is_shell("claude"));
    }
}
