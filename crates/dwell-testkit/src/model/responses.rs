//! OpenAI's responses, which Codex speaks.

use serde_json::{Value, json};

use super::serve::Answer;
use super::{Part, Turn, next, texts};

pub(super) fn read(body: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    for item in body["input"].as_array().into_iter().flatten() {
        match (item["type"].as_str(), item["role"].as_str()) {
            (Some("function_call_output" | "custom_tool_call_output"), _) => {
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

pub(super) fn answer(body: &Value, conversation: &[Part]) -> Answer {
    let item = match next(conversation) {
        Turn::Write { file, text } => write(body, &file, &text),
        Turn::Call { name, input } => call(body, &name, &input),
        Turn::Say(text) => json!({ "type": "message", "id": "item_1", "role": "assistant",
                                   "content": [{ "type": "output_text", "text": text }] }),
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

/// A call of the shell, by the name that this version has for it.
fn write(body: &Value, file: &str, text: &str) -> Value {
    let tools = body["tools"].as_array().into_iter().flatten();
    let names: Vec<&str> = tools.filter_map(|tool| tool["name"].as_str()).collect();
    let line = format!("printf '%s' '{text}' > '{file}'");
    let (name, arguments) = if names.contains(&"exec_command") {
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
