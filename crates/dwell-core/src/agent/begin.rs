//! How an agent begins a conversation on a terminal.

use super::Agent;

impl Agent {
    /// The command line that begins a conversation, with a prompt where it takes one there.
    pub fn interactive(&self, prompt: Option<&str>) -> Vec<String> {
        let mut line = vec![self.name.to_owned()];
        if let Some(prompt) = prompt.filter(|_| self.begins_with_prompt()) {
            line.extend(self.prompts.last().map(|option| (*option).to_owned()));
            line.push(prompt.to_owned());
        }
        line
    }

    /// Whether a prompt can stand on the command line of a conversation; else it has to be typed.
    pub fn begins_with_prompt(&self) -> bool {
        self.name != "aider"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_begins_with_a_prompt_and_without_one() {
        for (name, line) in [
            ("claude", "claude fix it"),
            ("codex", "codex fix it"),
            ("opencode", "opencode --prompt fix it"),
            ("aider", "aider"),
            ("gemini", "gemini --prompt-interactive fix it"),
        ] {
            let agent = Agent::of(name).unwrap();
            assert_eq!(agent.interactive(Some("fix it")).join(" "), line);
            assert_eq!(agent.interactive(None), [name]);
        }
    }
}
