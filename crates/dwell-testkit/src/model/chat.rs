//! OpenAI's chat completions, which OpenCode and Aider speak.

use serde_json::{Value, json};

use super::serve::Answer;
use super::{Part, Turn, next, texts};

pub(super) fn read(body: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        match message["role"].as_str() {
            Some("user") => parts.extend(texts(&message["content"]).into_iter().map(Part::Said)),
            Some("tool") => parts.push(Part::Done(texts(&message["content"]).join("\n"))),
            _ => {}
        }
    }
    parts
}

pub(super) fn answer(body: &Value, conversation: &[Part]) -> Answer {
    let has_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let (delta, reason) = match next(conversation) {
        Turn::Write { file, text } if has_tools => {
            call("write", &json!({ "filePath": file, "content": text }))
        }
        Turn::Call { name, input } if has_tools => call(&name, &input),
        Turn::Write { file, text } if wants_listings(body) => say(&format!(
            "{file}
```
{text}
```
"
        )),
        Turn::Write { .. } | Turn::Call { .. } => say("a tool is to be used"),
        Turn::Say(text) => say(&text),
    };
    let piece = |delta: Value, reason: Value| {
        json!({ "id": "chat_1", "object": "chat.completion.chunk", "created": 1,
                "model": body["model"],
                "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] })
    };
    if body["stream"] != true {
        let choice = json!({ "index": 0, "message": delta, "finish_reason": reason });
        return Answer::json(&json!({ "id": "chat_1", "choices": [choice] }));
    }
    let pieces = [piece(delta, Value::Null), piece(json!({}), json!(reason))];
    let lines: String = pieces.iter().map(|piece| format!("data: {piece}\n\n")).collect();
    Answer { kind: "text/event-stream", body: lines + "data: [DONE]\n\n" }
}

/// Aider has no tools: it reads files out of the answer.
fn wants_listings(body: &Value) -> bool {
    let system = body["messages"].as_array().into_iter().flatten();
    system
        .flat_map(|message| texts(&message["content"]))
        .any(|text| text.contains("*file listing*"))
}

fn say(text: &str) -> (Value, &'static str) {
    (json!({ "role": "assistant", "content": text }), "stop")
}

fn call(name: &str, arguments: &Value) -> (Value, &'static str) {
    let call = json!({ "index": 0, "id": "call_1", "type": "function",
                       "function": { "name": name, "arguments": arguments.to_string() } });
    (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
}
