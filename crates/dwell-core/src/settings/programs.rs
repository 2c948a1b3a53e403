//! Programs that settings run, so that those which a workspace has not can be told.

/// Programs that run a script which is named next.
const INTERPRETERS: [&str; 8] = ["bash", "sh", "zsh", "python", "python3", "node", "bun", "ruby"];

/// The program of a line of shell; `None` where only the shell can tell.
pub(super) fn of_shell(line: &str) -> Option<String> {
    let all = words(line);
    let mut words = all.iter().skip_while(|word| is_assignment(word)).peekable();
    if words.peek().is_some_and(|word| matches!(word.as_str(), "exec" | "env" | "command")) {
        words.next();
    }
    let program = words.find(|word| !is_assignment(word))?;
    let base = program.rsplit('/').next().unwrap_or_default();
    let script = words.next().filter(|word| word.contains('/') && !word.starts_with('-'));
    let told = if INTERPRETERS.contains(&base) { script.unwrap_or(program) } else { program };
    is_plain(told).then(|| told.clone())
}

/// Whether a program can be looked for: the shell would not make another word of it.
fn is_plain(word: &str) -> bool {
    let rest = ["$HOME/", "${HOME}/", "~/"].iter().find_map(|home| word.strip_prefix(home));
    let rest = rest.unwrap_or(word);
    !rest.is_empty() && !rest.contains(['$', '`', '(', ')', '{', '[', ';', '|', '&', '<', '>', '*'])
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The words of a line of shell, without their quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut is_word, mut quote) = (String::new(), false, None::<char>);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => (quote, is_word) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => {
                word.push(c);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_line_is_found() {
        for (line, program) in [
            ("delta --dark", Some("delta")),
            ("A=1 B=2 code --wait", Some("code")),
            ("\"/Users/x/a b/run\" x", Some("/Users/x/a b/run")),
            ("bash ~/.claude/hooks/a.sh x", Some("~/.claude/hooks/a.sh")),
            ("bash -c 'x'", Some("bash")),
            ("python3 $HOME/a.py", Some("$HOME/a.py")),
            ("$CLAUDE_PROJECT_DIR/x", None),
            ("", None),
            ("A=1", None),
        ] {
            assert_eq!(of_shell(line).as_deref(), program, "{line}");
        }
    }
}
