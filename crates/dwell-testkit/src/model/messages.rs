//! Anthropic's messages, which Claude Code speaks.

use serde_json::{Value, json};

use super::serve::Answer;
use super::{Part, Turn, next, texts};

pub(super) fn read(body: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        if message["role"] != "user" {
            continue;
        }
        let content = &message["content"];
        let mut pieces = content.as_array().into_iter().flatten();
        if let Some(result) = pieces.find(|piece| piece["type"] == "tool_result") {
            parts.push(Part::Done(texts(&result["content"]).join("\n")));
        }
        parts.extend(texts(content).into_iter().map(Part::Said));
    }
    parts
}

pub(super) fn answer(body: &Value, conversation: &[Part]) -> Answer {
    let has_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let (block, delta, reason) = match next(conversation) {
        Turn::Write { file, text } if has_tools => {
            call("Write", &json!({ "file_path": file, "content": text }))
        }
        Turn::Call { name, input } if has_tools => call(&name, &input),
        Turn::Write { .. } | Turn::Call { .. } => say("a tool is to be used".to_owned()),
        Turn::Say(text) => say(text),
    };
    let mut message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    if body["stream"] != true {
        message["content"] = json!([{ "type": "text", "text": delta["text"] }]);
        message["stop_reason"] = json!("end_turn");
        return Answer::json(&message);
    }
    Answer::events(&[
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "usage": { "output_tokens": 1 },
                "delta": { "stop_reason": reason, "stop_sequence": null } }),
        json!({ "type": "message_stop" }),
    ])
}

fn say(text: String) -> (Value, Value, &'static str) {
    let block = json!({ "type": "text", "text": "" });
    (block, json!({ "type": "text_delta", "text": text }), "end_turn")
}

fn call(name: &str, input: &Value) -> (Value, Value, &'static str) {
    (
        json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": {} }),
        json!({ "type": "input_json_delta", "partial_json": input.to_string() }),
        "tool_use",
    )
}
