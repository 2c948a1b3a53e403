//! OpenAI's responses, which Codex speaks.

use serde_json::{Value, json};

use super::serve::Answer;
use super::{Part, Turn, next, texts};

pub(super) fn read(body: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    for item in body["input"].as_array().into_iter().flatten() {
        match (item["type"].as_str(), item["role"].as_str()) {
            (Some("function_call_output" | "custom_tool_call_output"), _) if !is_refused(item) => {
                parts.push(Part::Done(texts(&item["output"]).join("\n")));
            }
            (Some("message") | None, Some("user")) => {
                parts.extend(texts(&item["content"]).into_iter().map(Part::Said));
            }
            _ => {}
        }
    }
    parts
}

/// Codex's own sandbox needs namespaces, which containers have none of.
fn is_refused(output: &Value) -> bool {
    output["output"].to_string().contains("bwrap: ")
}

pub(super) fn answer(body: &Value, conversation: &[Part]) -> Answer {
    let has_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let say = |text: String| {
        json!({ "type": "message", "id": "item_1", "role": "assistant",
                "content": [{ "type": "output_text", "text": text }] })
    };
    let item = match next(conversation) {
        Turn::Write { file, text } if has_tools => write(body, &file, &text),
        Turn::Call { name, input } if has_tools => call(body, &name, &input),
        Turn::Write { .. } | Turn::Call { .. } => say("a tool is to be used".to_owned()),
        Turn::Say(text) => say(text),
    };
    let usage = json!({ "input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
                        "input_tokens_details": { "cached_tokens": 0 },
                        "output_tokens_details": { "reasoning_tokens": 0 } });
    Answer::events(&[
        json!({ "type": "response.created", "response": { "id": "response_1" } }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed",
                "response": { "id": "response_1", "usage": usage } }),
    ])
}

/// A call of the shell, by the name that this version has for it; without its sandbox, for which the
/// person is asked, where that has failed before.
fn write(body: &Value, file: &str, text: &str) -> Value {
    let tools = body["tools"].as_array().into_iter().flatten();
    let names: Vec<&str> = tools.filter_map(|tool| tool["name"].as_str()).collect();
    let line = format!("printf '%s' '{text}' > '{file}'");
    let input = body["input"].as_array().into_iter().flatten();
    let was_refused = input.into_iter().any(is_refused);
    let (name, arguments) = if names.contains(&"exec_command") && was_refused {
        let without = json!({ "cmd": line, "sandbox_permissions": "require_escalated",
                              "justification": "there is no sandbox here" });
        ("exec_command", without)
    } else if names.contains(&"exec_command") {
        ("exec_command", json!({ "cmd": line }))
    } else {
        ("shell", json!({ "command": ["sh", "-c", line] }))
    };
    function(name, None, &arguments)
}

/// A call of a tool; one of a server may stand in a namespace.
fn call(body: &Value, name: &str, arguments: &Value) -> Value {
    let tools = body["tools"].as_array().into_iter().flatten();
    let spaces =
        tools.filter(|tool| tool["type"] == "namespace").filter_map(|it| it["name"].as_str());
    let space = spaces.filter(|space| name.starts_with(space)).max_by_key(|space| space.len());
    match space {
        Some(space) => {
            let rest = name.trim_start_matches(space).trim_start_matches('_');
            function(rest, Some(space), arguments)
        }
        None => function(name, None, arguments),
    }
}

fn function(name: &str, space: Option<&str>, arguments: &Value) -> Value {
    let mut call = json!({ "type": "function_call", "id": "item_1", "call_id": "call_1",
                           "name": name, "arguments": arguments.to_string() });
    if let Some(space) = space {
        call["namespace"] = space.into();
    }
    call
}
