//! Trust in what a repository would run on this machine. It is given for exact content: the
//! commands of its configuration, and every file of the project that one of their words names. A
//! change of any of them asks again. What such a file calls in turn is not covered.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::{ProjectConfig, ProjectPath};

/// Everything that a configuration would run, under one hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustSubject {
    /// The hash that trust is given for, 64 hexadecimal digits.
    pub hash: String,
    /// The commands, each as `<hook>: <command>`, for people.
    pub commands: Vec<String>,
}

/// A configuration whose commands nobody has trusted yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the project's commands are not trusted yet: {}", commands.join("; "))]
pub struct Untrusted {
    /// What has to be trusted.
    pub hash: String,
    /// The commands, for people.
    pub commands: Vec<String>,
}

/// The project's files that its commands may name. Those that exist belong to the subject.
pub fn named_files(config: &ProjectConfig) -> BTreeSet<ProjectPath> {
    let separators = |c: char| c.is_whitespace() || "\"';&|()<>=`".contains(c);
    hooks(config)
        .flat_map(|(_, command)| command.split(separators))
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// The subject of trust, with the content of the named files that exist. `None` when the
/// configuration runs nothing.
pub fn subject(
    config: &ProjectConfig,
    files: &BTreeMap<ProjectPath, Vec<u8>>,
) -> Option<TrustSubject> {
    let named = named_files(config);
    let mut hasher = blake3::Hasher::new_derive_key("dwell 2026 trust in a project's commands");
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    let mut commands = Vec::new();
    for (hook, command) in hooks(config) {
        add(hook.as_bytes());
        add(command.as_bytes());
        commands.push(format!("{hook}: {command}"));
    }
    add(b"files");
    for (path, content) in files.iter().filter(|(path, _)| named.contains(*path)) {
        add(path.as_str().as_bytes());
        add(content);
    }
    let hash = hasher.finalize().to_hex().to_string();
    (!commands.is_empty()).then_some(TrustSubject { hash, commands })
}

/// Whether the subject is among the trusted hashes; nothing to run needs no trust.
pub fn is_trusted(subject: Option<&TrustSubject>, trusted: &[String]) -> Result<(), Untrusted> {
    match subject {
        Some(TrustSubject { hash, commands }) if !trusted.contains(hash) => {
            Err(Untrusted { hash: hash.clone(), commands: commands.clone() })
        }
        _ => Ok(()),
    }
}

fn hooks(config: &ProjectConfig) -> impl Iterator<Item = (&'static str, &String)> {
    let hooks = &config.hooks;
    [("setup", &hooks.setup), ("run", &hooks.run), ("archive", &hooks.archive)]
        .into_iter()
        .flat_map(|(name, commands)| commands.iter().map(move |command| (name, command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ProjectConfig {
        ProjectConfig::from_dwell(text).unwrap()
    }

    fn hash(text: &str, files: &[(&str, &str)]) -> String {
        let file =
            |(path, content): &(&str, &str)| (path.parse().unwrap(), content.as_bytes().to_vec());
        subject(&config(text), &files.iter().map(file).collect()).unwrap().hash
    }

    #[test]
    fn nothing_to_run_needs_no_trust() {
        let subject = subject(&config("project = 'x'"), &BTreeMap::new());
        assert_eq!(subject, None);
        assert!(is_trusted(subject.as_ref(), &[]).is_ok());
    }

    #[test]
    fn trust_holds_for_exactly_this_content() {
        let text = "[hooks]\nsetup = 'make x'";
        let subject = subject(&config(text), &BTreeMap::new()).unwrap();
        let refused = is_trusted(Some(&subject), &[]).unwrap_err();
        assert_eq!(refused.commands, ["setup: make x"]);
        assert!(is_trusted(Some(&subject), std::slice::from_ref(&refused.hash)).is_ok());
        for other in [
            "[hooks]\nsetup = 'make  x'",
            "[hooks]\nrun = 'make x'",
            "[hooks]\nsetup = ['make x', 'rm x']",
            "[hooks]\nsetup = ['make', 'x']",
        ] {
            assert_ne!(hash(other, &[]), subject.hash, "{other}");
        }
        assert_eq!(hash("project = 'p'\n[hooks]\nsetup = ['make x']", &[]), subject.hash);
    }

    #[test]
    fn a_named_script_is_part_of_it() {
        let text = "[hooks]\nsetup = 'cd x && bash ./scripts/a.sh --fast'";
        assert!(named_files(&config(text)).contains(&"scripts/a.sh".parse().unwrap()));
        let one = hash(text, &[("scripts/a.sh", "true")]);
        assert_ne!(one, hash(text, &[("scripts/a.sh", "false")]));
        assert_ne!(one, hash(text, &[]));
        assert_eq!(one, hash(text, &[("scripts/a.sh", "true"), ("other", "x")]));
    }

    #[test]
    fn cilos_hook_needs_trust_too() {
        let config = ProjectConfig::from_cilo("env:\n  init_hook: curl x | sh\n").unwrap();
        assert_eq!(subject(&config, &BTreeMap::new()).unwrap().commands, ["run: curl x | sh"]);
    }
}
