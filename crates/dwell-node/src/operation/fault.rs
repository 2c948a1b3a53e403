//! Faults on demand, for the tests that kill, fail and repeat every step. Nothing happens
//! unless `DWELL_TEST_FAULT=<step>:<before|after>:<abort|fail>` or
//! `DWELL_TEST_FAULT=*:act:repeat` / `*:undo:repeat` is set where the daemon starts; several are separated by commas.

use std::sync::OnceLock;

use dwell_api::{Code, Problem};
use dwell_core::operation::Step;

#[derive(Debug, PartialEq, Eq)]
struct Fault {
    step: String,
    moment: String,
    act: String,
}

fn faults() -> &'static [Fault] {
    static FAULTS: OnceLock<Vec<Fault>> = OnceLock::new();
    FAULTS.get_or_init(|| {
        let text = std::env::var("DWELL_TEST_FAULT").unwrap_or_default();
        text.split(',').filter_map(parse).collect()
    })
}

fn parse(text: &str) -> Option<Fault> {
    let mut parts = text.split(':').map(str::to_owned);
    Some(Fault { step: parts.next()?, moment: parts.next()?, act: parts.next()? })
}

fn word(step: Step) -> String {
    serde_json::to_value(step)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Dies or fails at a step where the test asked for it.
pub(super) fn point(step: Step, moment: &str) -> Result<(), Problem> {
    at(&word(step), moment)
}

/// Dies or fails where the test asked for it.
pub(crate) fn at(step: &str, moment: &str) -> Result<(), Problem> {
    let Some(fault) = faults().iter().find(|f| f.moment == moment && f.step == step) else {
        return Ok(());
    };
    if fault.act == "abort" {
        std::process::abort();
    }
    Err(Problem::new(Code::Internal, format!("a test failed the step `{step}`")))
}

/// How often to do it: twice where the test asked for it.
pub(super) fn times(moment: &str) -> u32 {
    let repeated = faults().iter().any(|f| f.moment == moment && f.act == "repeat");
    if repeated { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_step_moment_and_act() {
        let fault = parse("containers:after:abort").unwrap();
        assert_eq!(
            (fault.step.as_str(), fault.act.as_str()),
            (word(Step::Containers).as_str(), "abort")
        );
        assert!(parse("containers").is_none());
    }
}
