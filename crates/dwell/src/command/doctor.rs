//! `doctor`: what works, what does not, and what to do.

use dwell_api::node::{Finding, Findings, Node, Repairs};
use dwell_api::{Client, Problem, endpoint};
use serde_json::json;

use super::{Context, idempotency_key};
use crate::arguments::setup::Doctor;
use crate::connect::version_note;
use crate::failure::{Ended, Failure, usage};
use crate::output::show;

/// Shows findings; the exit code is 1 when something needs attention.
pub(crate) async fn run(it: Doctor, context: &Context) -> Ended {
    let (mut found, answered) = match context.connect().await {
        Ok(mut client) => {
            if it.fix {
                repair(&mut client, context).await?;
            }
            (from_node(&mut client).await?, true)
        }
        Err(Failure::Problem(problem)) => (vec![unreachable(&problem)], false),
        Err(failure) => return Err(failure),
    };
    // Without a node, that is what is wrong with every section.
    if answered && !it.sections.is_empty() {
        for section in &it.sections {
            known(section, &found)?;
        }
        let wanted = |f: &Finding| it.sections.iter().any(|s| is_about(&f.what, s));
        found.retain(wanted);
    }
    let well = found.iter().all(|finding| finding.ok);
    context
        .output
        .result(&Findings { findings: found }, |f, style| show::findings(&f.findings, style))?;
    Ok(u8::from(!well))
}

/// Refuses a section that nothing was found for.
fn known(section: &str, found: &[Finding]) -> Result<(), Problem> {
    if found.iter().any(|finding| is_about(&finding.what, section)) {
        return Ok(());
    }
    let all: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
    Err(usage(format!("doctor has no section `{section}`"))
        .hint(format!("a word of one of these: {}", all.join(", "))))
}

/// Whether a finding belongs to a section, by its words.
fn is_about(what: &str, section: &str) -> bool {
    let section = section.to_ascii_lowercase();
    what.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w == section)
}

async fn from_node(client: &mut Client) -> Result<Vec<Finding>, Failure> {
    let node: Node = client.get(endpoint::NODE).await?;
    let note = version_note(&node.version);
    let mut found = vec![Finding {
        what: "daemon".to_owned(),
        ok: note.is_none(),
        detail: format!("dwell {} answers (process {})", node.version, node.pid),
        fix: note,
    }];
    let of_node: Findings = client.get(endpoint::DOCTOR).await?;
    found.extend(of_node.findings);
    Ok(found)
}

async fn repair(client: &mut Client, context: &Context) -> Result<(), Failure> {
    let key = idempotency_key()?;
    let repairs: Repairs = client.post(endpoint::DOCTOR_REPAIR, &key, &json!({})).await?;
    repairs.done.iter().for_each(|done| context.output.note(done));
    Ok(())
}

fn unreachable(problem: &Problem) -> Finding {
    let mut detail = problem.message.clone();
    for line in &problem.details {
        detail += &format!("\n  {line}");
    }
    Finding { what: "daemon".to_owned(), ok: false, detail, fix: problem.hint.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_section_is_refused() {
        let found = [unreachable(&Problem::new(dwell_api::Code::NodeUnreachable, "no node"))];
        assert!(known("daemon", &found).is_ok());
        let problem = known("bogus", &found).unwrap_err();
        assert_eq!(problem.code, dwell_api::Code::Usage);
        assert!(problem.hint.unwrap().contains("daemon"));
    }

    #[test]
    fn a_section_is_a_word_of_what_was_looked_at() {
        assert!(is_about("DNS server", "dns"));
        assert!(is_about("system resolver (dns)", "DNS"));
        assert!(!is_about("engine", "dns"));
    }
}
