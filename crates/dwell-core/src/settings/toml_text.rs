//! The strings of a TOML text, changed in place: everything else stays as it is, to the byte.

use super::NotUnderstood;
use super::json::{Change, Place, write_string};

/// The text with every string as `change` gives it; `None` leaves it.
pub(super) fn strings(text: &str, change: Change<'_>) -> Result<String, NotUnderstood> {
    let mut out = String::with_capacity(text.len());
    let mut reader = Reader::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let literal = match c {
            '"' | '\'' => Some(Literal::read(rest).ok_or(NotUnderstood)?),
            _ => None,
        };
        let Some(literal) = literal else {
            let length =
                if c == '#' { rest.find('\n').unwrap_or(rest.len()) } else { c.len_utf8() };
            let raw = rest.get(..length).unwrap_or_default();
            if c != '#' {
                reader.take(c);
            }
            out.push_str(raw);
            rest = rest.get(length..).unwrap_or_default();
            continue;
        };
        let value = literal.value().ok_or(NotUnderstood)?;
        let after = rest.get(literal.length..).unwrap_or_default();
        let is_key = reader.expects_key();
        let place = Place {
            key: reader.key.as_deref().filter(|_| !is_key),
            first: reader.first && !is_key,
        };
        match change(&value, place) {
            Some(new) => literal.write(&new, &mut out),
            None => out.push_str(rest.get(..literal.length).unwrap_or_default()),
        }
        if is_key {
            reader.word = value;
        } else {
            reader.first = false;
        }
        rest = after;
    }
    Ok(out)
}

/// What is known of where one reads: the key of the value, and what is open.
#[derive(Default)]
struct Reader {
    word: String,
    key: Option<String>,
    first: bool,
    /// Brackets and braces that are open in a value.
    open: Vec<char>,
    in_header: bool,
}

impl Reader {
    /// Whether a string here is a key, or part of one.
    fn expects_key(&self) -> bool {
        self.in_header || self.key.is_none()
    }

    fn take(&mut self, c: char) {
        match c {
            '=' if self.key.is_none() && !self.in_header => {
                self.key = Some(std::mem::take(&mut self.word));
                self.first = true;
            }
            '[' if self.key.is_none() => self.in_header = true,
            '\n' if self.open.is_empty() => {
                (self.key, self.in_header) = (None, false);
                self.word.clear();
            }
            '[' => self.open.push('['),
            '{' => {
                self.open.push('{');
                self.next_key();
            }
            ',' if self.open.last() == Some(&'{') => self.next_key(),
            ']' | '}' if self.key.is_some() || !self.open.is_empty() => {
                self.open.pop();
                // What comes now belongs to the value around it, which has no key of its own.
                self.key.get_or_insert_default();
            }
            '.' => self.word.clear(),
            c if c.is_alphanumeric() || c == '_' || c == '-' => self.word.push(c),
            _ => {}
        }
    }

    fn next_key(&mut self) {
        self.key = None;
        self.word.clear();
    }
}

/// A string literal as it stands in the text.
struct Literal<'a> {
    length: usize,
    inner: &'a str,
    quote: char,
    long: bool,
}

impl<'a> Literal<'a> {
    /// The literal that a text begins with.
    fn read(text: &'a str) -> Option<Self> {
        let quote = text.chars().next()?;
        let three: String = [quote; 3].iter().collect();
        if let Some(rest) = text.strip_prefix(three.as_str()) {
            let end = end_of(rest, quote, &three)?;
            // Up to two quotes may stand before the closing ones.
            let more = rest.get(end + 3..)?.chars().take_while(|c| *c == quote).take(2).count();
            let inner = rest.get(..end + more)?;
            return Some(Self { length: inner.len() + 6, inner, quote, long: true });
        }
        let rest = text.get(1..)?;
        let end = end_of(rest, quote, &quote.to_string())?;
        let inner = rest.get(..end).filter(|inner| !inner.contains('\n'))?;
        Some(Self { length: inner.len() + 2, inner, quote, long: false })
    }

    fn value(&self) -> Option<String> {
        if self.quote == '\'' {
            return Some(self.inner.to_owned());
        }
        let quotes = if self.long { "\"\"\"" } else { "\"" };
        // A newline right after the opening quotes is no part of the value; it stays.
        let text = format!("a = {quotes}{}{quotes}", self.inner);
        let table: toml::Table = text.parse().ok()?;
        table.get("a")?.as_str().map(str::to_owned)
    }

    fn write(&self, value: &str, out: &mut String) {
        let plain = !value.contains(|c: char| c.is_control() && c != '\t');
        if self.quote == '\'' && !self.long && plain && !value.contains('\'') {
            out.push('\'');
            out.push_str(value);
            out.push('\'');
        } else if self.long && !value.contains("'''") && !value.ends_with('\'') && prose(value) {
            out.push_str("'''\n");
            out.push_str(value);
            out.push_str("'''");
        } else {
            write_string(value, out);
        }
    }
}

/// Whether a text can stand in a long literal string.
fn prose(value: &str) -> bool {
    !value.contains(|c: char| c.is_control() && c != '\t' && c != '\n')
}

/// Where a literal ends; backslashes hide quotes in one of double quotes.
fn end_of(text: &str, quote: char, closing: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if text.get(at..).is_some_and(|rest| rest.starts_with(closing)) => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_with_their_keys() {
        let text = "a = \"x\" # \"no\"\n[t.\"k\"]\nb.c = ['y', \"z\"]\n\
                    d = { e = \"u\", f = ['v'] }\nmany = [\n  \"w\",\n]\n";
        let mut seen = Vec::new();
        strings(text, &mut |value, place| {
            seen.push((value.to_owned(), place.key.map(str::to_owned), place.first));
            None
        })
        .unwrap();
        let told: Vec<_> = seen.iter().map(|(v, k, f)| (v.as_str(), k.as_deref(), *f)).collect();
        assert_eq!(
            told,
            [
                ("x", Some("a"), true),
                ("k", None, false),
                ("y", Some("c"), true),
                ("z", Some("c"), false),
                ("u", Some("e"), true),
                ("v", Some("f"), true),
                ("w", Some("many"), true),
            ]
        );
    }

    #[test]
    fn every_kind_of_string_can_change() {
        let text = "a = \"\\u0041\"\nb = 'A'\nc = \"\"\"\nA\"\"\"\nd = '''A'''\ne = \"B\"\n";
        assert_eq!(strings(text, &mut |_, _| None).unwrap(), text);
        let changed = strings(text, &mut |value, _| (value == "A").then(|| "n\\'\n\"".to_owned()));
        let table: toml::Table = changed.unwrap().parse().unwrap();
        for key in ["a", "b", "c", "d"] {
            assert_eq!(table[key].as_str(), Some("n\\'\n\""), "{key}");
        }
        assert_eq!(table["e"].as_str(), Some("B"));
    }

    #[test]
    fn what_is_no_toml_is_told() {
        for text in ["a = \"x", "a = 'x\n'", "a = \"\\q\""] {
            assert!(strings(text, &mut |_, _| None).is_err(), "{text}");
        }
    }
}
