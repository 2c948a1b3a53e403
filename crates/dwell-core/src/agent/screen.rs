//! What the terminal of an agent shows that does not tell what it does.

use super::Agent;

/// How much of what a terminal was sent last tells what it shows.
pub const TAIL: u64 = 16 * 1024;

/// What a terminal shows that an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing can be typed yet.
    Nothing,
    /// It asks for a decision.
    Asks,
    /// It waits for its next task.
    Waits,
    /// It works, or begins to.
    Works,
}

/// How a terminal shows what an agent does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signs {
    /// Words in the title of its terminal.
    pub(super) titles: &'static [(&'static str, Shown)],
    /// Words that a question has, without blanks, and in how many of the last bytes they are then:
    /// what follows an answer is longer.
    pub(super) questions: &'static [(&'static str, usize)],
    /// Whether it lets text be pasted only while it waits for some; a question has these words then.
    pub(super) pastes: Option<&'static str>,
}

/// No signs.
pub(super) const UNSEEN: Signs = Signs { titles: &[], questions: &[], pastes: None };

impl Agent {
    /// Whether its terminal shows what it does.
    pub fn shows(&self) -> bool {
        self.signs != UNSEEN
    }

    /// What it does, by what its terminal was sent last; `None` where that does not tell.
    pub fn shown(&self, tail: &[u8]) -> Option<Shown> {
        let Signs { titles, questions, pastes } = &self.signs;
        let asks = questions.iter().any(|(words, within)| {
            let from = tail.len().saturating_sub(*within);
            dense(tail.get(from..).unwrap_or_default()).contains(words)
        });
        if asks {
            return Some(Shown::Asks);
        }
        if let Some(question) = pastes {
            return Some(match (place(tail, b"\x1b[?2004h"), place(tail, b"\x1b[?2004l")) {
                (Some(on), off) if off.is_none_or(|off| off < on) => {
                    let since = dense(tail.get(on..).unwrap_or_default());
                    if since.contains(question) { Shown::Asks } else { Shown::Waits }
                }
                _ => Shown::Works,
            });
        }
        let Some(title) = last_title(tail) else {
            // Who always says by its title what it does has not begun to.
            let tells = titles.iter().any(|(_, shown)| *shown == Shown::Waits);
            let is_whole = u64::try_from(tail.len()).is_ok_and(|length| length < TAIL);
            return (tail.is_empty() || (tells && is_whole)).then_some(Shown::Nothing);
        };
        titles.iter().find(|(words, _)| title.contains(words)).map(|(_, shown)| *shown)
    }
}

/// Where some bytes are the last time.
fn place(tail: &[u8], wanted: &[u8]) -> Option<usize> {
    tail.windows(wanted.len()).rposition(|it| it == wanted)
}

/// The last title that a terminal was given: what is between `ESC ] 0 ;` or `2 ;` and the next
/// control character.
fn last_title(tail: &[u8]) -> Option<String> {
    let starts = tail.windows(4).rposition(|it| matches!(it, b"\x1b]0;" | b"\x1b]2;"))?;
    let title = tail.get(starts + 4..)?.split(|byte| *byte < b' ').next()?;
    Some(String::from_utf8_lossy(title).into_owned())
}

/// The text of a terminal's bytes without blanks, colours and movements: programs draw words one by
/// one, with movements where a line would have blanks.
fn dense(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut dense = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip(&mut rest),
            c if c.is_whitespace() || c.is_control() => {}
            c => dense.push(c),
        }
    }
    dense
}

/// Skips the rest of an escape sequence.
fn skip(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => {
            rest.find(|c| ('@'..='~').contains(c));
        }
        Some(']' | 'P' | '_' | '^') => {
            rest.find(|c| matches!(c, '\x07' | '\x1b'));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, tail: &str) -> Option<Shown> {
        Agent::of(name).unwrap().shown(tail.as_bytes())
    }

    #[test]
    fn a_title_counts_until_the_next_one() {
        let asked = "\x1b]0;work\x07$ ls\x1b]0;[ ! ] Action Required | lab\x07\x1b[?2026h\x1b[39m";
        assert_eq!(shown("codex", asked), Some(Shown::Asks));
        assert_eq!(shown("codex", &format!("{asked}\x1b]0;lab\x07done")), None);
        assert_eq!(shown("codex", "the words Action Required in a text"), None);
        let gemini = |title: &str| shown("gemini", &format!("\x1b]0;{title} (lab)   \x07 > "));
        assert_eq!(gemini("\u{270b}  Action Required"), Some(Shown::Asks));
        assert_eq!(gemini("\u{25c7}  Ready"), Some(Shown::Waits));
        assert_eq!(gemini("\u{2726}  Working\u{2026}"), Some(Shown::Works));
        assert_eq!(shown("gemini", "a warning"), Some(Shown::Nothing));
        assert_eq!(shown("codex", ""), Some(Shown::Nothing));
    }

    #[test]
    fn a_question_counts_where_it_was_drawn_last() {
        let dialog = "\x1b[4;3H\x1b[1mPermission\x1b[4;14H\x1b[22mrequired\x1b[9;2HAllow once";
        assert_eq!(shown("opencode", dialog), Some(Shown::Asks));
        assert_eq!(shown("opencode", &format!("{dialog}{}", " ".repeat(4000))), None);
        assert_eq!(shown("claude", "Permission required"), None, "it tells by its hooks");
    }

    #[test]
    fn who_takes_pastes_only_while_it_waits_works_else() {
        let asks = "\x1b[?2004hAdd .aider* to .gitignore? (Y)es/(N)o [Yes]: \x1b[?25h";
        assert_eq!(shown("aider", "Aider v0.86.2"), Some(Shown::Works));
        assert_eq!(shown("aider", asks), Some(Shown::Asks));
        assert_eq!(shown("aider", &format!("{asks}y\x1b[?2004l\r\n")), Some(Shown::Works));
        let waits = format!("{asks}y\x1b[?2004l\r\n\x1b[?2004h> ");
        assert_eq!(shown("aider", &waits), Some(Shown::Waits));
    }
}
