//! Google's generateContent, which Gemini CLI speaks.

use serde_json::{Value, json};

use super::serve::Answer;
use super::{Part, Turn, next};

pub(super) fn read(body: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    for content in body["contents"].as_array().into_iter().flatten() {
        if content["role"] == "model" {
            continue;
        }
        for piece in content["parts"].as_array().into_iter().flatten() {
            if piece["functionResponse"].is_object() {
                parts.push(Part::Done(piece["functionResponse"]["response"].to_string()));
            }
            parts.extend(piece["text"].as_str().map(|text| Part::Said(text.to_owned())));
        }
    }
    parts
}

/// Whole, or as the only event of a stream.
pub(super) fn answer(body: &Value, conversation: &[Part], streams: bool) -> Answer {
    let has_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let part = match next(conversation) {
        Turn::Write { file, text } if has_tools => {
            let arguments = json!({ "file_path": file, "content": text });
            json!({ "functionCall": { "name": "write_file", "args": arguments } })
        }
        Turn::Call { name, input } if has_tools => {
            json!({ "functionCall": { "name": name, "args": input } })
        }
        Turn::Write { .. } | Turn::Call { .. } => json!({ "text": "a tool is to be used" }),
        Turn::Say(text) => json!({ "text": text }),
    };
    let candidate = json!({ "content": { "role": "model", "parts": [part] },
                            "finishReason": "STOP", "index": 0 });
    let usage = json!({ "promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2 });
    let answer = json!({ "candidates": [candidate], "usageMetadata": usage });
    if streams {
        return Answer { kind: "text/event-stream", body: format!("data: {answer}\n\n") };
    }
    Answer::json(&answer)
}
