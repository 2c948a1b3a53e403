//! `android`: the Android emulator on the desktop of a workspace.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use dwell_api::desktop::ChangeAndroid;
use dwell_api::{Client, Code, Problem, endpoint};
use dwell_core::workspace::{Android as Seen, AndroidState};

use super::workspace::of;
use super::{Context, idempotency_key};
use crate::arguments::android::{Android, AndroidAction as Action};
use crate::failure::{Ended, Failure};

/// How long Android may take to boot; the first time takes the longest.
const BOOT: Duration = Duration::from_secs(300);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// Starts it, ends it, or tells what it does.
pub(crate) async fn run(it: Android, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let path = of(endpoint::WORKSPACE_ANDROID, &it.name);
    let seen = match it.action {
        Action::Status => client.get(&path).await?,
        Action::Stop => change(&mut client, &path, false).await?,
        Action::Start => {
            let begun = change(&mut client, &path, true).await?;
            match it.no_wait {
                true => begun,
                false => booted(&mut client, &path, begun, &it).await?,
            }
        }
    };
    context.output.result(&seen, |seen, _| {
        let mut text = seen.state.as_str().to_owned();
        if let Some(code) = seen.code {
            // Writing to a String cannot fail.
            let _ = write!(text, ": it ended with {code}");
        }
        seen.said.iter().fold(text + "\n", |text, line| format!("{text}  {line}\n"))
    })?;
    Ok(0)
}

async fn change(client: &mut Client, path: &str, run: bool) -> Result<Seen, Failure> {
    Ok(client.post(path, &idempotency_key()?, &ChangeAndroid { run }).await?)
}

async fn booted(
    client: &mut Client,
    path: &str,
    mut seen: Seen,
    it: &Android,
) -> Result<Seen, Failure> {
    let deadline = Instant::now() + BOOT;
    loop {
        match seen.state {
            AndroidState::Starting if Instant::now() > deadline => {
                let message =
                    format!("Android in `{}` did not boot in {} s", it.name, BOOT.as_secs());
                let hint = format!("`dwell android {} status` goes on looking", it.name);
                return Err(Problem::new(Code::Timeout, message).hint(hint).into());
            }
            AndroidState::Starting => tokio::time::sleep(LOOK).await,
            AndroidState::Running => return Ok(seen),
            _ => {
                let ended =
                    seen.code.map_or("was killed".to_owned(), |code| format!("ended with {code}"));
                let message = format!("the emulator in `{}` {ended}", it.name);
                return Err(Problem::new(Code::ToolFailed, message).details(seen.said).into());
            }
        }
        seen = client.get(path).await?;
    }
}
