//! Turns out of the shapes that public sets write them in.

use super::row::{Conversation, Role, Turn};
use serde_json::Value;

/// Names of a turn's speaker and words: OpenAI's, then ShareGPT's, then those of other sets.
const SPEAKERS: [&str; 3] = ["role", "from", "speaker"];
const WORDS: [&str; 4] = ["content", "value", "text", "message"];

/// A list of turns; a table's cell may hold it as JSON text.
pub(super) fn read(value: &Value, column: &str) -> Result<Vec<Turn>, String> {
    let parsed;
    let list = match value {
        Value::String(text) if text.trim_start().starts_with('[') => {
            parsed = serde_json::from_str::<Value>(text).map_err(|error| format!("`{column}` is not JSON: {error}"))?;
            &parsed
        }
        other => other,
    };
    let Value::Array(items) = list else { return Err(format!("`{column}` is {}, expected a list", kind(value))) };
    if items.is_empty() {
        return Err(format!("`{column}` is empty"));
    }
    items.iter().enumerate().map(|(index, item)| turn(item, column, index + 1)).collect()
}

/// A side of a preference pair: a text of one speaker, or a list of turns.
pub(super) fn side(value: &Value, column: &str, speaker: Role) -> Result<Vec<Turn>, String> {
    match value {
        Value::String(text) if !text.trim_start().starts_with("[{") => Ok(vec![Turn::new(speaker, text.as_str())]),
        Value::Object(_) => Ok(vec![turn(value, column, 1)?]),
        _ => read(value, column),
    }
}

/// A preference of three sides. Where the answers repeat the prompt, it is taken off them; where the prompt is missing,
/// it is what both answers begin with.
pub(super) fn preference(prompt: Vec<Turn>, mut chosen: Vec<Turn>, mut rejected: Vec<Turn>) -> Conversation {
    let n_common = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
    let n_common = n_common.min(chosen.len().saturating_sub(1)).min(rejected.len().saturating_sub(1));
    let prompt = if prompt.is_empty() {
        chosen[..n_common].to_vec()
    } else if !(chosen.starts_with(&prompt) && rejected.starts_with(&prompt)) || n_common < prompt.len() {
        return Conversation::Preference { prompt, chosen, rejected };
    } else {
        prompt
    };
    chosen.drain(..prompt.len());
    rejected.drain(..prompt.len());
    Conversation::Preference { prompt, chosen, rejected }
}

fn turn(item: &Value, column: &str, number: usize) -> Result<Turn, String> {
    let found = |names: &[&str]| names.iter().find_map(|name| item.get(name));
    let at = format!("turn {number} of `{column}`");
    let speaker = found(&SPEAKERS).and_then(Value::as_str).ok_or(format!("{at} names no speaker (`role`, `from`)"))?;
    let role = Role::from_word(speaker).ok_or(format!("{at}: unknown speaker `{}`", shortened(speaker)))?;
    let content = match found(&WORDS) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().map(|part| part_text(part, &at)).collect::<Result<Vec<_>, _>>()?.join("\n")
        }
        None | Some(Value::Null) => calls(item).ok_or(format!("{at} has no words (`content`, `value`)"))?,
        Some(other) => return Err(format!("{at} is {}, expected a text", kind(other))),
    };
    Ok(Turn { role, content })
}

/// A part of a message in OpenAI's list form; only text can be read.
fn part_text(part: &Value, at: &str) -> Result<String, String> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("unknown");
    let text = part.get("text").and_then(Value::as_str);
    text.map(str::to_string).ok_or(format!("{at} has a part of type `{}`, which is not text", shortened(kind)))
}

/// What a turn without words asks of tools, as JSON: `tool_calls`, or the older `function_call`.
fn calls(item: &Value) -> Option<String> {
    let calls = ["tool_calls", "function_call"].iter().find_map(|name| item.get(name))?;
    (!calls.is_null()).then(|| calls.to_string())
}

fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

fn kind(value: &Value) -> &'static str {
    super::json::kind(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn turns_are_read_in_every_dialect() {
        let expected = [Turn::new(Role::System, "s"), Turn::new(Role::User, "q"), Turn::new(Role::Assistant, "a\nb")];
        for list in [
            json!([{"role": "developer", "content": "s"}, {"role": "user", "content": "q"},
                {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
            json!([{"from": "system", "value": "s"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a\nb"}]),
            json!(
                r#"[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a\nb"}]"#
            ),
        ] {
            assert_eq!(read(&list, "messages").unwrap(), expected);
        }
        let call = json!([{"role": "assistant", "content": null, "tool_calls": [{"id": 1}]}]);
        assert_eq!(read(&call, "messages").unwrap()[0].content, r#"[{"id":1}]"#);
    }

    #[test]
    fn what_is_no_turn_is_named() {
        for (list, words) in [
            (json!([]), "`messages` is empty"),
            (json!(3), "`messages` is a number"),
            (json!("[{"), "is not JSON"),
            (json!([{"content": "x"}]), "turn 1 of `messages` names no speaker"),
            (
                json!([{"role": "user", "content": "x"}, {"role": "narrator", "content": "x"}]),
                "turn 2 of `messages`: unknown speaker `narrator`",
            ),
            (json!([{"role": "user"}]), "has no words"),
            (json!([{"role": "user", "content": [{"type": "image_url"}]}]), "type `image_url`"),
        ] {
            let error = read(&list, "messages").unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_prompt_of_a_pair_stands_once() {
        let [question, better, worse] = [(Role::User, "q"), (Role::Assistant, "a"), (Role::Assistant, "b")]
            .map(|(role, words)| Turn::new(role, words));
        let expected = Conversation::Preference {
            prompt: vec![question.clone()],
            chosen: vec![better.clone()],
            rejected: vec![worse.clone()],
        };
        let both = |answer: &Turn| vec![question.clone(), answer.clone()];
        for prompt in [vec![], vec![question.clone()]] {
            assert_eq!(preference(prompt, both(&better), both(&worse)), expected);
        }
        assert_eq!(preference(vec![question.clone()], vec![better.clone()], vec![worse.clone()]), expected);
        let same = preference(vec![], vec![better.clone()], vec![better.clone()]);
        assert_eq!(
            same,
            Conversation::Preference { prompt: vec![], chosen: vec![better.clone()], rejected: vec![better] }
        );
    }
}
