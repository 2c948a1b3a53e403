//! What an agent says of itself: its hooks run [`tell`], which leaves it in the session's directory.

use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use dwell_core::agent::{Report, reported};

use super::{files, transcript};

const FILE: &str = "agent.json";
/// The largest message of a hook: tools' input is in it.
const LARGEST: u64 = 64 << 20;

/// Is an agent's hook: reads what it was told, as its argument or on its input, and keeps what that
/// means. What means nothing is no error, so that no agent is held up.
///
/// # Errors
/// When it cannot be kept.
pub fn tell(directory: &Path, argument: Option<&str>) -> io::Result<()> {
    let mut text = argument.unwrap_or_default().to_owned();
    if argument.is_none() {
        io::stdin().lock().take(LARGEST).read_to_string(&mut text)?;
    }
    let Ok(told) = serde_json::from_str(&text) else { return Ok(()) };
    let Some(report) = reported(&told, files::now()) else { return Ok(()) };
    let part = directory.join(format!("{FILE}.{}", std::process::id()));
    let bytes = serde_json::to_vec(&report)?;
    files::write_new(&part, &bytes)?;
    std::fs::rename(part, directory.join(FILE))
}

/// What the agent of a session said last.
pub fn report(directory: &Path) -> Option<Report> {
    files::read_json(&directory.join(FILE)).ok().flatten()
}

/// When a session showed something last, in microseconds since the Unix epoch.
pub fn last_output(directory: &Path) -> Option<i64> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let transcripts =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("transcript."));
    let times = transcripts.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    let since = times.max()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

/// What a session's terminal was sent last, up to so many bytes.
pub fn last_shown(directory: &Path, bytes: u64) -> Vec<u8> {
    let shown = || -> io::Result<Vec<u8>> {
        let spec: Option<files::Spec> = files::read_json(&directory.join(files::SPEC))?;
        let limit = spec.map_or(transcript::DEFAULT_LIMIT, |spec| spec.transcript_limit);
        let from = transcript::tail(directory, limit, bytes)?;
        Ok(transcript::read(directory, limit, from)?.bytes)
    };
    shown().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dwell_core::agent::AgentState;

    #[test]
    fn the_last_word_stays_and_nonsense_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        assert_eq!(report(place), None);
        tell(place, Some(r#"{"type":"agent-turn-complete","thread-id":"t-1"}"#)).unwrap();
        tell(place, Some("no json")).unwrap();
        tell(place, Some(r#"{"hook_event_name":"PreCompact"}"#)).unwrap();
        let last = report(place).unwrap();
        assert_eq!((last.state, last.conversation.as_deref()), (AgentState::Idle, Some("t-1")));
        assert_eq!(std::fs::read_dir(place).unwrap().count(), 1, "no part is left");
        assert_eq!(last_output(place), None);
        std::fs::write(place.join("transcript.0"), "x").unwrap();
        assert!(last_output(place).is_some_and(|at| at > 0));
        assert_eq!(last_shown(place, 10), b"x");
    }
}
