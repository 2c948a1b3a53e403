//! The strings of a JSON text, also of one with comments, changed in place: everything else stays
//! as it is, to the byte.

use std::fmt::Write as _;

use super::NotUnderstood;

/// Where a string stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The key of the value that it is, or is in; of a key itself, `None`.
    pub(super) key: Option<&'a str>,
    /// Whether it is the first string of that value.
    pub(super) first: bool,
}

/// What becomes of a string; `None` leaves it.
pub(super) type Change<'c> = &'c mut dyn FnMut(&str, Place<'_>) -> Option<String>;

/// The text with every string as `change` gives it; `None` leaves it.
pub(super) fn strings(text: &str, change: Change<'_>) -> Result<String, NotUnderstood> {
    let mut out = String::with_capacity(text.len());
    let mut scanner = Scanner::new(text);
    let (mut key, mut first) = (None::<String>, true);
    while let Some(piece) = scanner.next()? {
        let Piece::String(raw) = piece else {
            let (Piece::Other(raw) | Piece::Comment(raw)) = piece else { continue };
            if matches!(piece, Piece::Other(",")) && scanner.in_object_after_comma() {
                key = None;
            }
            out.push_str(raw);
            continue;
        };
        let value: String = serde_json::from_str(raw).map_err(|_| NotUnderstood)?;
        let is_key = scanner.colon_follows();
        let place = Place { key: key.as_deref().filter(|_| !is_key), first: first && !is_key };
        match change(&value, place) {
            Some(new) => write_string(&new, &mut out),
            None => out.push_str(raw),
        }
        if is_key {
            (key, first) = (Some(value), true);
        } else {
            first = false;
        }
    }
    Ok(out)
}

/// A piece of a text.
pub(crate) enum Piece<'a> {
    String(&'a str),
    Comment(&'a str),
    Other(&'a str),
}

/// Reads a text piece by piece.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where the next piece begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn next(&mut self) -> Result<Option<Piece<'a>>, NotUnderstood> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let (length, make): (usize, fn(&'a str) -> Piece<'a>) = if first == '"' {
            (string_length(rest).ok_or(NotUnderstood)?, Piece::String)
        } else if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), Piece::Comment)
        } else if rest.starts_with("/*") {
            (rest.find("*/").ok_or(NotUnderstood)? + 2, Piece::Comment)
        } else {
            (first.len_utf8(), Piece::Other)
        };
        self.at += length;
        Ok(Some(make(rest.get(..length).unwrap_or_default())))
    }

    /// Whether what comes next, but for space and comments, is a colon.
    fn colon_follows(&self) -> bool {
        matches!(self.ahead(), Some(Piece::Other(":")))
    }

    /// Whether a string that is a key comes next: then the value before has ended.
    fn in_object_after_comma(&self) -> bool {
        let mut look = Scanner { text: self.text, at: self.at };
        let is_string = matches!(look.step(), Some(Piece::String(_)));
        is_string && look.colon_follows()
    }

    fn ahead(&self) -> Option<Piece<'a>> {
        Scanner { text: self.text, at: self.at }.step()
    }

    /// The next piece that is neither space nor a comment.
    fn step(&mut self) -> Option<Piece<'a>> {
        loop {
            match self.next().ok().flatten()? {
                Piece::Comment(_) => {}
                Piece::Other(text) if text.trim().is_empty() => {}
                piece => return Some(piece),
            }
        }
    }
}

/// The length of the string literal that a text begins with.
fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            '\n' => return None,
            _ => {}
        }
    }
    None
}

/// Writes a string with the escapes that JSON and TOML share.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(String, Option<String>, bool)> {
        let mut seen = Vec::new();
        strings(text, &mut |value, place| {
            seen.push((value.to_owned(), place.key.map(str::to_owned), place.first));
            None
        })
        .unwrap();
        seen
    }

    #[test]
    fn strings_are_found_with_their_keys() {
        let text = r#"{ "a": ["x", "y"], /* "no" */ "b" : "z" } // "no""#;
        let seen = places(text);
        let told: Vec<_> = seen.iter().map(|(v, k, f)| (v.as_str(), k.as_deref(), *f)).collect();
        assert_eq!(
            told,
            [
                ("a", None, false),
                ("x", Some("a"), true),
                ("y", Some("a"), false),
                ("b", None, false),
                ("z", Some("b"), true)
            ]
        );
    }

    #[test]
    fn nothing_but_the_string_changes() {
        let text =
            "{\n  // keep \"this\"\n  \"p\" :\t\"\\/a\\u0041\",\n \"q\": [1, true, null,]\n}\n";
        let same = strings(text, &mut |_, _| None).unwrap();
        assert_eq!(same, text);
        let changed = strings(text, &mut |value, _| (value == "/aA").then(|| "\"\n".to_owned()));
        assert_eq!(changed.unwrap(), text.replace("\"\\/a\\u0041\"", "\"\\\"\\n\""));
    }

    #[test]
    fn what_is_no_json_is_told() {
        for text in ["{\"a", "\"a\nb\"", "/* a", r#""\x""#] {
            assert!(strings(text, &mut |_, _| None).is_err(), "{text}");
        }
    }
}
