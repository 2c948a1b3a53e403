//! Terminal output as plain text: what a person would read, without anything that a terminal, a
//! log viewer or a chat would act on (clipboard writes, titles, queries, colours, movements).

/// The longest string sequence (such as a title) that is dropped as one, in bytes. Output after
/// one that never ends shows again from there.
const STRING_MAX: usize = 1 << 20;

/// The most blanks that one movement to the right becomes.
const BLANKS_MAX: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte.
    Intermediate,
    /// Inside a control sequence, with its parameter as far as it is one plain number.
    Control(Option<usize>),
    /// Inside an OSC, DCS, SOS, PM or APC string or a title, with its length so far.
    String(usize),
    /// After ESC inside such a string.
    StringEscape(usize),
}

/// Strips terminal sequences from a stream, which may be cut anywhere.
#[derive(Debug)]
pub struct Plain {
    state: State,
    /// A carriage return is pending: it counts only together with what follows.
    returned: bool,
    /// The start of a character whose rest is still to come.
    partial: Vec<u8>,
}

impl Default for Plain {
    fn default() -> Self {
        Self { state: State::Text, returned: false, partial: Vec::new() }
    }
}

/// The plain text of complete output.
pub fn plain_text(bytes: &[u8]) -> String {
    let mut plain = Plain::default();
    let mut text = plain.push(bytes);
    text.push_str(&plain.finish());
    text
}

impl Plain {
    /// Takes the next bytes and gives the text in them.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    valid.chars().for_each(|c| self.take(c, &mut text));
                    return text;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    let valid = std::str::from_utf8(valid).unwrap_or_default();
                    valid.chars().for_each(|c| self.take(c, &mut text));
                    let Some(bad) = error.error_len() else {
                        self.partial = after.to_vec();
                        return text;
                    };
                    self.take(char::REPLACEMENT_CHARACTER, &mut text);
                    rest = after.get(bad..).unwrap_or_default();
                }
            }
        }
    }

    /// What is left at the end of the stream.
    pub fn finish(mut self) -> String {
        let mut text = String::new();
        if !self.partial.is_empty() {
            self.take(char::REPLACEMENT_CHARACTER, &mut text);
        }
        if self.returned {
            text.push('\n');
        }
        text
    }

    fn take(&mut self, c: char, text: &mut String) {
        self.state = match (self.state, c) {
            // CAN and SUB break off any sequence.
            (_, '\u{18}' | '\u{1a}') => State::Text,
            (State::String(_) | State::StringEscape(_), '\u{7}' | '\u{9c}') => State::Text,
            (State::String(length) | State::StringEscape(length), '\u{1b}') => {
                State::StringEscape(length)
            }
            (State::StringEscape(_), '\\') => State::Text,
            (State::String(length) | State::StringEscape(length), c) => {
                let length = length + c.len_utf8();
                if length > STRING_MAX { State::Text } else { State::String(length) }
            }
            (_, '\u{1b}') => State::Escape,
            (_, '\u{9b}') => State::Control(None),
            (_, '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}') => State::String(0),
            (State::Text, c) => self.show(c, text),
            // Control characters act inside of sequences as if they stood before them.
            (state, '\n' | '\r' | '\t') => {
                self.show(c, text);
                state
            }
            (state, c) if c.is_control() => state,
            (State::Escape, '[') => State::Control(None),
            (State::Escape, ']' | 'P' | 'X' | '^' | '_' | 'k') => State::String(0),
            (State::Escape | State::Intermediate, ' '..='/') => State::Intermediate,
            (State::Escape | State::Intermediate, _) => State::Text,
            (State::Control(number), c) => self.control(number, c, text),
        };
    }

    fn control(&mut self, number: Option<usize>, c: char, text: &mut String) -> State {
        match c {
            '0'..='9' => {
                let digit = c.to_digit(10).map_or(0, |digit| digit as usize);
                let number = number.unwrap_or(0).saturating_mul(10).saturating_add(digit);
                State::Control(Some(number))
            }
            // Programs write blanks as movements over them.
            'C' => {
                let count = number.unwrap_or(1).clamp(1, BLANKS_MAX);
                for _ in 0..count {
                    self.show(' ', text);
                }
                State::Text
            }
            '@'..='~' => State::Text,
            _ => State::Control(number),
        }
    }

    /// Shows a character of text. A carriage return alone, with which progress bars go back to
    /// the start of their line, begins a new line.
    fn show(&mut self, c: char, text: &mut String) -> State {
        if self.returned && c != '\r' {
            self.returned = false;
            if c != '\n' {
                text.push('\n');
            }
        }
        match c {
            '\r' => self.returned = true,
            '\n' | '\t' => text.push(c),
            c if c.is_control() => {}
            c => text.push(c),
        }
        State::Text
    }
}

#[cfg(test)]
mod tests;
