//! Filling a file with an environment's values. The result depends only on the text given, so a
//! caller that always gives the unrendered text gets the same result however often it renders.

use std::collections::BTreeMap;

use super::RenderRule;
use crate::{EnvironmentName, ProjectName, Suffix};

/// Renders a text: replacements in order, then tokens. Each step passes once over the text, and
/// what a token brings in is not looked at again.
pub fn render(text: &str, rule: &RenderRule, variables: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for replace in &rule.replace {
        let from = fill(&replace.from, variables);
        if !from.is_empty() {
            text = text.replace(&from, &fill(&replace.to, variables));
        }
    }
    if rule.tokens { fill(&text, variables) } else { text }
}

/// Puts values for `${NAME}`; names without a value stay as they are.
fn fill(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let value = after
            .split_once('}')
            .and_then(|(name, behind)| variables.get(name).map(|value| (value, behind)));
        match value {
            Some((value, behind)) => {
                filled.push_str(value);
                rest = behind;
            }
            None => {
                filled.push_str("${");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// The variables that every environment has, under dwell's names and Cilo's. As in Cilo,
/// `CILO_DNS_SUFFIX` starts with a dot.
pub fn variables(
    project: &ProjectName,
    environment: &EnvironmentName,
    suffix: &Suffix,
) -> BTreeMap<String, String> {
    let suffix = suffix.as_str();
    let base = format!("http://{project}.{environment}.{suffix}");
    let pairs = [
        ("DWELL_PROJECT", project.to_string()),
        ("DWELL_ENV", environment.to_string()),
        ("DWELL_DNS_SUFFIX", suffix.to_owned()),
        ("DWELL_BASE_URL", base.clone()),
        ("CILO_PROJECT", project.to_string()),
        ("CILO_ENV", environment.to_string()),
        ("CILO_DNS_SUFFIX", format!(".{suffix}")),
        ("CILO_BASE_URL", base),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
