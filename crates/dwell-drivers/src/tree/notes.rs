//! Things a person should know about an operation that succeeded, bounded in number.

const MOST: usize = 40;

/// Collected notes.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    texts: Vec<String>,
    more: usize,
}

impl Notes {
    /// Adds one, unless it is known already.
    pub(crate) fn add(&mut self, text: String) {
        if self.texts.contains(&text) {
            return;
        }
        if self.texts.len() < MOST {
            self.texts.push(text);
        } else {
            self.more += 1;
        }
    }

    /// All of them, the surplus as a number.
    pub(crate) fn into_vec(mut self) -> Vec<String> {
        if self.more > 0 {
            self.texts.push(format!("and {} more of the same kind", self.more));
        }
        self.texts
    }
}
