//! Which paths a copy leaves out: the rules of a `.dwellignore` file, in the manner of
//! `.gitignore`. Pure.
//!
//! Understood: comments (`#`), blank lines, `!` to take a path back in, a leading or inner `/` to
//! bind a rule to the root, a trailing `/` for directories only, and `*`, `?`, `[...]` and `**`.
//! The last rule that fits decides; nothing below a directory that is left out comes back. A rule
//! that cannot be read is reported and skipped.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// The file's name, in the root of a project.
pub const FILE: &str = ".dwellignore";

#[derive(Debug)]
struct Rule {
    matcher: GlobMatcher,
    take: bool,
    directories: bool,
}

/// The rules of one file.
#[derive(Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

impl Ignore {
    /// Reads the rules; the second value names lines that are not understood.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let mut bad = Vec::new();
        let mut rules = Vec::new();
        for line in text.lines().map(str::trim_end) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match rule(line) {
                Some(rule) => rules.push(rule),
                None => bad.push(line.to_owned()),
            }
        }
        (Self { rules }, bad)
    }

    /// Whether the path, relative to the root, is left out.
    pub fn leaves_out(&self, path: &Path, is_directory: bool) -> bool {
        let fits =
            |rule: &&Rule| (is_directory || !rule.directories) && rule.matcher.is_match(path);
        self.rules.iter().rev().find(fits).is_some_and(|rule| !rule.take)
    }

    /// Whether a file is left out by itself or with a directory above it.
    pub fn leaves_out_file(&self, path: &Path) -> bool {
        let above = |part: &Path| !part.as_os_str().is_empty() && self.leaves_out(part, true);
        self.leaves_out(path, false) || path.ancestors().skip(1).any(above)
    }
}

fn rule(line: &str) -> Option<Rule> {
    let (take, line) = match line.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (directories, line) = match line.strip_suffix('/') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let bound = line.contains('/');
    let line = line.strip_prefix('/').unwrap_or(line);
    if line.is_empty() {
        return None;
    }
    let pattern = if bound { line.to_owned() } else { format!("**/{line}") };
    let matcher = matcher(&pattern)?;
    Some(Rule { matcher, take, directories })
}

/// A shell pattern in which `*` stays within one path component.
pub(crate) fn matcher(pattern: &str) -> Option<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    glob.ok().map(|glob| glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_decide_as_gitignore_does() {
        let text = "# caches\n\nnode_modules/\n*.log\n!keep.log\n/build\ndocs/*.tmp\n**/x/**\n";
        let (ignore, bad) = Ignore::parse(text);
        assert!(bad.is_empty());
        let out = |path: &str| ignore.leaves_out(Path::new(path), false);
        let directory_out = |path: &str| ignore.leaves_out(Path::new(path), true);
        assert!(directory_out("node_modules") && directory_out("a/node_modules"));
        assert!(!out("node_modules"));
        assert!(out("a.log") && out("deep/er/a.log") && !out("deep/keep.log"));
        assert!(out("build") && !out("a/build"));
        assert!(out("docs/a.tmp") && !out("docs/a/b.tmp") && !out("a/docs/b.tmp"));
        assert!(out("a/x/b"));
        let file_out = |path: &str| ignore.leaves_out_file(Path::new(path));
        assert!(file_out("node_modules/x") && file_out("a/node_modules/x/y") && file_out("a.log"));
        assert!(!file_out("node_modules") && !file_out("a/build/x"));
    }

    #[test]
    fn a_line_that_is_not_understood_is_reported() {
        let (_, bad) = Ignore::parse("[\n/\n");
        assert_eq!(bad, ["[", "/"]);
    }
}
