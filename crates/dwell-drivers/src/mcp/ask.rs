//! Asking a server what it can do, as an agent would: started, greeted, asked for its tools.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dwell_core::agent::mcp::Launch;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use crate::process::Program;

/// How long a server may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to say why it ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The protocol that is spoken first.
const PROTOCOL: &str = "2025-06-18";
/// What is told of what it said, at most.
const SAID: usize = 200;

/// The names of its tools; `Err` tells why there are none.
pub(super) async fn tools(launch: &Launch, home: &Path) -> Result<Vec<String>, String> {
    let mut program = Program::new(&launch.command).args(&launch.arguments).directory(home);
    for (name, value) in &launch.variables {
        program = program.env(name, value);
    }
    let mut running = program.spawn_with(Stdio::piped()).map_err(|error| error.to_string())?;
    let (Some(input), (Some(output), Some(mut errors))) = (running.input(), running.pipes()) else {
        return Err("it has no pipes".to_owned());
    };
    // What it says besides must not stand in its way.
    let said = tokio::spawn(async move {
        let mut said = Vec::new();
        let _ = errors.read_to_end(&mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    });
    match tokio::time::timeout(LIMIT, spoken(input, output)).await {
        Ok(Ok(tools)) => Ok(tools),
        Ok(Err(why)) => {
            let _ = tokio::time::timeout(LAST_WORDS, running.wait()).await;
            drop(running);
            let said = tokio::time::timeout(LAST_WORDS, said).await;
            let said = said.ok().and_then(Result::ok).unwrap_or_default();
            Err(told(why, &said))
        }
        Err(_) => Err(format!("it does not answer within {} s", LIMIT.as_secs())),
    }
}

/// Why, with the line of what it said that tells most: the first that speaks of an error.
fn told(why: String, said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line =
        lines().find(|line| line.to_lowercase().contains("error")).or_else(|| lines().next_back());
    match line {
        Some(line) => format!("{why}: {}", line.chars().take(SAID).collect::<String>()),
        None => why,
    }
}

async fn spoken(mut input: ChildStdin, output: ChildStdout) -> Result<Vec<String>, String> {
    let mut output = BufReader::new(output).lines();
    let client = json!({ "name": "dwell", "version": env!("CARGO_PKG_VERSION") });
    let hello = json!({ "protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client });
    say(&mut input, &request(1, "initialize", hello)).await?;
    answer(&mut output, 1).await?;
    say(&mut input, &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
    say(&mut input, &request(2, "tools/list", json!({}))).await?;
    let result = answer(&mut output, 2).await?;
    let tools = result.get("tools").and_then(Value::as_array).into_iter().flatten();
    Ok(tools.filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())).collect())
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

async fn say(input: &mut ChildStdin, message: &Value) -> Result<(), String> {
    let line = format!("{message}\n");
    let written = input.write_all(line.as_bytes()).await;
    written.map_err(|_| "it ended before it answered".to_owned())
}

async fn answer(
    output: &mut tokio::io::Lines<BufReader<ChildStdout>>,
    id: u64,
) -> Result<Value, String> {
    while let Some(line) = output.next_line().await.map_err(|error| error.to_string())? {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if message.get("id").and_then(Value::as_u64) != Some(id) {
            continue;
        }
        if let Some(error) = message.get("error") {
            let text = error.get("message").and_then(Value::as_str).unwrap_or("an error");
            return Err(format!("it answers: {text}"));
        }
        return Ok(message.get("result").cloned().unwrap_or_default());
    }
    Err("it ended before it answered".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Launch {
        let arguments = ["-c", script].map(str::to_owned).to_vec();
        Launch { command: "sh".to_owned(), arguments, variables: [].into() }
    }

    #[tokio::test]
    async fn a_server_is_asked_as_an_agent_asks_it() {
        let script = r#"read a; echo noise; echo '{"jsonrpc":"2.0","id":1,"result":{}}'
            read b; read c; case $c in *tools/list*) ;; *) exit 1 ;; esac
            echo '{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"one"},{"name":"two"}]}}'; sleep 60"#;
        let home = std::env::temp_dir();
        assert_eq!(tools(&shell(script), &home).await.unwrap(), ["one", "two"]);
    }

    #[tokio::test]
    async fn one_that_does_not_answer_says_why() {
        let home = std::env::temp_dir();
        let ends = tools(&shell("read a; echo 'Error: no token' >&2; exit 1"), &home).await;
        assert_eq!(ends.unwrap_err(), "it ended before it answered: Error: no token");
        let refuses = r#"read a; echo '{"id":1,"error":{"message":"not now"}}'; sleep 60"#;
        let refused = tools(&shell(refuses), &home).await;
        assert_eq!(refused.unwrap_err(), "it answers: not now");
        let launch = Launch { command: "/no/such".to_owned(), ..shell("") };
        assert!(tools(&launch, &home).await.unwrap_err().contains("/no/such"));
    }
}
