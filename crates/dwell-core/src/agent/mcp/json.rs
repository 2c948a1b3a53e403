//! Members of objects of a JSON text, also of one with comments, put in and taken out.

use std::ops::Range;

use serde_json::Value;

use crate::settings::json::{Piece, Scanner, write_string};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mark(char),
    Text,
    Word,
}

/// A piece of a text that is neither space nor a comment.
#[derive(Debug, Clone)]
struct Token {
    at: Range<usize>,
    kind: Kind,
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut scanner = Scanner::new(text);
    let mut all: Vec<Token> = Vec::new();
    let mut start = 0;
    while let Some(piece) = scanner.next().ok()? {
        let at = start..scanner.at();
        start = at.end;
        let kind = match piece {
            Piece::Comment(_) => continue,
            Piece::String(_) => Kind::Text,
            Piece::Other(raw) => match raw.chars().next()? {
                c if c.is_whitespace() || c == '\u{feff}' => continue,
                c if "{}[],:".contains(c) => Kind::Mark(c),
                _ => Kind::Word,
            },
        };
        match all.last_mut() {
            Some(last) if kind == Kind::Word && last.kind == kind && last.at.end == at.start => {
                last.at.end = at.end;
            }
            _ => all.push(Token { at, kind }),
        }
    }
    Some(all)
}

/// The value of a text; an empty object of an empty one.
pub(super) fn read(text: &str) -> Option<Value> {
    if text.trim().is_empty() {
        return Some(Value::Object(serde_json::Map::new()));
    }
    let tokens = tokens(text)?;
    let mut plain = String::with_capacity(text.len());
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1).map(|next| next.kind);
        let trails = matches!(next, Some(Kind::Mark('}' | ']')));
        if !(token.kind == Kind::Mark(',') && trails) {
            plain.push_str(text.get(token.at.clone())?);
            // Two words must not become one.
            plain.push(' ');
        }
    }
    serde_json::from_str(&plain).ok()
}

/// An object as it stands in a text.
struct Object {
    /// Its braces.
    open: usize,
    close: usize,
    members: Vec<Member>,
}

struct Member {
    key: String,
    /// Where the key begins.
    start: usize,
    /// The tokens of its value.
    value: Range<usize>,
    /// Where its value ends.
    end: usize,
}

/// The number of the token after a value.
fn after(tokens: &[Token], first: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(first) {
        match token.kind {
            Kind::Mark('{' | '[') => depth += 1,
            Kind::Mark('}' | ']') => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

/// The object that begins at a token.
fn object(text: &str, tokens: &[Token], first: usize) -> Option<Object> {
    let is = |index: usize, mark: char| {
        tokens.get(index).is_some_and(|token| token.kind == Kind::Mark(mark))
    };
    if !is(first, '{') {
        return None;
    }
    let mut object = Object { open: tokens.get(first)?.at.end, close: 0, members: Vec::new() };
    let mut index = first + 1;
    while !is(index, '}') {
        let key = tokens.get(index).filter(|token| token.kind == Kind::Text)?;
        if !is(index + 1, ':') {
            return None;
        }
        let value = index + 2..after(tokens, index + 2)?;
        object.members.push(Member {
            key: serde_json::from_str(text.get(key.at.clone())?).ok()?,
            start: key.at.start,
            end: tokens.get(value.end - 1)?.at.end,
            value: value.clone(),
        });
        index = if is(value.end, ',') { value.end + 1 } else { value.end };
    }
    object.close = tokens.get(index)?.at.start;
    Some(object)
}

/// The text with a member of a member of its object.
pub(super) fn insert(text: &str, [table, name]: [&str; 2], value: &Value) -> Option<String> {
    if text.trim().is_empty() {
        let all = serde_json::json!({ table: { name: value } });
        return Some(serde_json::to_string_pretty(&all).ok()? + "\n");
    }
    let tokens = tokens(text)?;
    let root = object(text, &tokens, 0)?;
    match root.members.iter().find(|member| member.key == table) {
        Some(member) => {
            let inner = object(text, &tokens, member.value.start)?;
            add(text, &inner, name, value)
        }
        None => add(text, &root, table, &serde_json::json!({ name: value })),
    }
}

/// The space that the line of a place begins with.
fn indent(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.get(..line.len() - line.trim_start().len()).unwrap_or_default()
}

fn add(text: &str, object: &Object, key: &str, value: &Value) -> Option<String> {
    let mut member = String::new();
    write_string(key, &mut member);
    let (at, new) = match object.members.last() {
        Some(last) if text.get(object.open..last.start)?.contains('\n') => {
            let space = indent(text, last.start);
            (last.end, format!(",\n{space}{member}: {}", pretty(value, space)?))
        }
        Some(last) => (last.end, format!(", {member}: {value}")),
        None => {
            let outer = indent(text, object.open);
            let space = format!("{outer}{}", unit(text));
            let line = format!("\n{space}{member}: {}", pretty(value, &space)?);
            let ends = text.get(object.open..object.close)?.contains('\n');
            (object.open, if ends { line } else { format!("{line}\n{outer}") })
        }
    };
    Some(format!("{}{new}{}", text.get(..at)?, text.get(at..)?))
}

/// What a text indents by.
fn unit(text: &str) -> &str {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut spaces = lines.map(|line| indent(line, line.len())).filter(|space| !space.is_empty());
    spaces.next().filter(|space| space.len() <= 8).unwrap_or("  ")
}

fn pretty(value: &Value, space: &str) -> Option<String> {
    let text = serde_json::to_string_pretty(value).ok()?;
    Some(text.replace('\n', &format!("\n{space}")))
}

/// The text without a member, and what stands between it and its neighbour.
pub(super) fn remove(text: &str, path: &[&str]) -> Option<String> {
    let tokens = tokens(text)?;
    let (last, way) = path.split_last()?;
    let mut at = object(text, &tokens, 0)?;
    for key in way {
        let member = at.members.iter().find(|member| member.key == *key)?;
        at = object(text, &tokens, member.value.start)?;
    }
    let index = at.members.iter().position(|member| member.key == *last)?;
    let member = at.members.get(index)?;
    let before = index.checked_sub(1).and_then(|index| at.members.get(index));
    let comma = tokens.get(member.value.end).filter(|token| token.kind == Kind::Mark(','));
    let end = comma.map_or(member.end, |comma| comma.at.end);
    let cut = match before {
        Some(before) => before.end..member.end,
        None if at.members.len() > 1 => at.open..end,
        None if text.get(end..at.close)?.trim().is_empty() => at.open..at.close,
        None => at.open..end,
    };
    Some(format!("{}{}", text.get(..cut.start)?, text.get(cut.end..)?))
}
