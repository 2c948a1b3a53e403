//! A file of a person's settings made ready for a workspace, and what there is to know of it.

use serde::{Deserialize, Serialize};

use super::homes::{Homes, Replaced};
use super::toml_text;
use super::{File, Kind, NotUnderstood, Program, Raw, elsewhere, json, lines, programs, secret};

/// What there is to know of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Where it belongs, below the home.
    pub path: String,
    /// Paths that were rewritten.
    pub replaced: Vec<Replaced>,
    /// Secrets that were left out, by their keys.
    pub withheld: Vec<String>,
    /// What cannot work in a workspace.
    pub troubles: Vec<String>,
}

/// A file that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The file.
    pub file: File,
    /// The programs that it runs.
    pub programs: Vec<Program>,
    /// What there is to know of it.
    pub report: Report,
}

/// Makes a file ready. `keys`: secrets in it stay.
pub fn prepare(raw: &Raw, homes: &Homes, keys: bool) -> Prepared {
    let mut changed = match std::str::from_utf8(&raw.content) {
        Ok(text) => change(text, raw, homes, keys),
        Err(_) => Changed::default(),
    };
    let content = changed.text.take().map_or_else(|| raw.content.clone(), String::into_bytes);
    let file = File {
        path: raw.to.clone(),
        private_key: secret::is_private_key(&content),
        content,
        executable: raw.executable,
        add_lines: raw.kind == Kind::Lines,
    };
    let path = raw.to.to_string();
    changed.programs.dedup();
    let programs = changed.programs.into_iter();
    Prepared {
        programs: programs.map(|program| Program { program, file: path.clone() }).collect(),
        report: Report { path, ..changed.report },
        file,
    }
}

#[derive(Default)]
struct Changed {
    /// The text, where it is another one.
    text: Option<String>,
    programs: Vec<String>,
    report: Report,
}

fn change(text: &str, raw: &Raw, homes: &Homes, keys: bool) -> Changed {
    let understood = match raw.kind {
        Kind::Json => strings(text, homes, keys, json::strings),
        Kind::Toml => strings(text, homes, keys, toml_text::strings),
        Kind::Yaml => Ok(yaml(text, homes, keys)),
        Kind::Git => Ok(of_lines(lines::git(text, homes, keys))),
        Kind::Ssh => Ok(of_lines(lines::ssh(text, homes))),
        Kind::Lines => Ok(Changed::default()),
        Kind::Text => Ok(prose(text, homes)),
    };
    let mut changed = understood.unwrap_or_else(|NotUnderstood| {
        let mut changed = Changed::default();
        let why = "it is not what its name says, so nothing of it was changed";
        changed.report.troubles.push(why.to_owned());
        changed
    });
    // Prose may tell of any machine.
    if !matches!(raw.kind, Kind::Text | Kind::Lines) || raw.executable {
        let now = changed.text.as_deref().unwrap_or(text);
        let lines = now.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
        let text = lines.collect::<Vec<_>>().join("\n");
        let missing = elsewhere::paths(&text);
        changed.report.troubles.extend(
            missing.into_iter().map(|path| format!("`{path}` is a path of your own machine only")),
        );
    }
    changed
}

fn of_lines(changed: lines::Changed) -> Changed {
    let lines::Changed { text, replaced, troubles, withheld, programs, .. } = changed;
    let report = Report { replaced, withheld, troubles, ..Report::default() };
    Changed { text: Some(text), programs, report }
}

fn prose(text: &str, homes: &Homes) -> Changed {
    let mut report = Report::default();
    let text = homes.rewrite(text, &mut report.replaced);
    Changed { text, programs: Vec::new(), report }
}

/// Keys whose value is a command line, or a list that begins with a program.
fn runs(key: &str) -> bool {
    let known = ["command", "notify", "awsAuthRefresh", "awsCredentialExport"];
    known.contains(&key) || key.ends_with("Helper")
}

type Strings = fn(&str, json::Change<'_>) -> Result<String, NotUnderstood>;

fn strings(text: &str, homes: &Homes, keys: bool, each: Strings) -> Result<Changed, NotUnderstood> {
    let mut changed = Changed::default();
    let (report, programs) = (&mut changed.report, &mut changed.programs);
    let new = each(text, &mut |value, place| {
        let Some(key) = place.key else { return homes.rewrite(value, &mut report.replaced) };
        if !keys && (secret::is_secret_value(key, value) || secret::has_password(value)) {
            report.withheld.push(key.to_owned());
            return Some(String::new());
        }
        let new = homes.rewrite(value, &mut report.replaced);
        if place.first && runs(key) {
            programs.extend(programs::of_shell(new.as_deref().unwrap_or(value)));
        }
        new
    })?;
    changed.text = Some(new);
    Ok(changed)
}

/// YAML of plain lines, such as aider's.
fn yaml(text: &str, homes: &Homes, keys: bool) -> Changed {
    let mut changed = Changed::default();
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        let (key, value) = bare.split_once(':').unwrap_or(("", bare));
        let key = key.trim_start_matches("- ").trim();
        let value = value.trim().trim_matches(['"', '\'']);
        if bare.starts_with('#') {
            out.push_str(line);
        } else if !keys && (secret::is_secret_value(key, value) || names_secret(value)) {
            let key = if key.is_empty() { "a variable" } else { key };
            out.push_str(&format!("# dwell left {key} out: it is a secret\n"));
            changed.report.withheld.push(key.to_owned());
        } else {
            let new = homes.rewrite(line, &mut changed.report.replaced);
            out.push_str(new.as_deref().unwrap_or(line));
        }
    }
    changed.text = Some(out);
    changed
}

/// `- OPENAI_API_KEY=...` in a list of variables, or an address with a password.
fn names_secret(value: &str) -> bool {
    let value = value.trim_start_matches("- ");
    let is_variable =
        value.split_once('=').is_some_and(|(key, value)| secret::is_secret_value(key, value));
    is_variable || secret::has_password(value)
}
