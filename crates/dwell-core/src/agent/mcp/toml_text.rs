//! Tables of a TOML text, put at its end and taken out.

use serde_json::Value;

use crate::settings::json::write_string;

/// The value of a text.
pub(super) fn read(text: &str) -> Option<Value> {
    let table: toml::Table = text.parse().ok()?;
    serde_json::to_value(table).ok()
}

fn header([table, name]: [&str; 2]) -> String {
    format!("[{table}.{name}]")
}

/// The text with a table at its end.
pub(super) fn insert(text: &str, path: [&str; 2], entry: &Value) -> String {
    let mut new = text.to_owned();
    if !text.is_empty() {
        new.push('\n');
    }
    new.push_str(&header(path));
    for (key, value) in entry.as_object().into_iter().flatten() {
        new.push_str(&format!("\n{key} = "));
        write(value, &mut new);
    }
    if text.is_empty() || text.ends_with('\n') {
        new.push('\n');
    }
    new
}

fn write(value: &Value, into: &mut String) {
    match value {
        Value::String(text) => write_string(text, into),
        Value::Array(all) => {
            into.push('[');
            for (index, value) in all.iter().enumerate() {
                into.push_str(if index == 0 { "" } else { ", " });
                write(value, into);
            }
            into.push(']');
        }
        Value::Object(fields) => {
            into.push_str("{ ");
            for (index, (key, value)) in fields.iter().enumerate() {
                into.push_str(if index == 0 { "" } else { ", " });
                into.push_str(&format!("{key} = "));
                write(value, into);
            }
            into.push_str(" }");
        }
        other => into.push_str(&other.to_string()),
    }
}

/// The text without a table and what is below it; `None` where it does not stand there as such.
pub(super) fn remove(text: &str, path: [&str; 2]) -> Option<String> {
    let own = header(path);
    let below = format!("{}.", own.trim_end_matches(']'));
    let (mut cut, mut at) = (None::<std::ops::Range<usize>>, 0);
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with('[') {
            inside = bare == own || bare.starts_with(&below);
        }
        let end = at + line.len();
        // Space and comments after it belong to what follows.
        if inside && !bare.is_empty() && !bare.starts_with('#') {
            match &mut cut {
                Some(cut) => cut.end = end,
                None => cut = Some(at..end),
            }
        }
        at = end;
    }
    let cut = cut?;
    let before = text.get(..cut.start)?;
    // The line end that was put before it.
    let before = before.strip_suffix('\n').unwrap_or(before);
    let after = text.get(cut.end..)?;
    let joins = before.is_empty() || before.ends_with('\n') || after.is_empty();
    Some(format!("{before}{}{after}", if joins { "" } else { "\n" }))
}
