//! Holding an answer to calls.

use super::{BEGINS, CallFormat, ENDS};
use crate::{
    ask::{Tool, ToolChoice},
    grammar::Form,
};
use serde_json::{Value, json};

/// Calls that an answer may hold which must hold at least one.
const N_CALLS_MAX: usize = 16;

/// The form of an answer that must call tools, or whose calls must keep to a schema. None where the model is free: it may
/// answer, or call tools that are not strict.
pub fn held(format: CallFormat, tools: &[Tool], choice: &ToolChoice, parallel: bool) -> Option<Form> {
    let named: Vec<&Tool> = match choice {
        ToolChoice::None => return None,
        ToolChoice::Named(name) => tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Auto | ToolChoice::Required => tools.iter().collect(),
    };
    let must = *choice != ToolChoice::Auto;
    if named.is_empty() || (!must && !named.iter().any(|tool| tool.strict)) {
        return None;
    }
    let call = any_call(format, &named, must);
    // Further calls, each behind what stands between two.
    let more = |call: &str, between: &str| match parallel {
        true => format!(" ({between} {call}){{0,{}}}", N_CALLS_MAX - 1),
        false => String::new(),
    };
    let start = match (format, must) {
        (CallFormat::Hermes, true) => {
            format!("start: one{}\none: \"{BEGINS}\\n\" call \"\\n{ENDS}\"", more("one", "\"\\n\""))
        }
        (CallFormat::Hermes, false) => format!(
            "start: TEXT | open call \"\\n{ENDS}\"{}\nnext: \"{BEGINS}\\n\" call \"\\n{ENDS}\"\n\
             open[lazy]: /(.|\\n)*{BEGINS}\\n/\nTEXT: /(.|\\n)*/ & ~/(.|\\n)*{BEGINS}(.|\\n)*/",
            more("next", "\"\\n\"")
        ),
        (CallFormat::Llama, true) => format!("start: call{}", more("call", "\"; \"")),
        (CallFormat::Llama, false) => {
            format!("start: TEXT | call{}\nTEXT: /([^{{\\s](.|\\n)*)?/", more("call", "\"; \""))
        }
        (CallFormat::Mistral, true) => format!("start: \"[\" call{} \"]\"", more("call", "\", \"")),
        // Its marker is a special token, which no grammar over texts can hold.
        (CallFormat::Mistral, false) => return None,
    };
    Some(Form::Lark(format!("{start}\ncall: %json {call}\n")))
}

/// The schema of one call of any of these tools.
fn any_call(format: CallFormat, tools: &[&Tool], must: bool) -> Value {
    let key = format.arguments();
    let calls = tools.iter().enumerate().map(|(i, tool)| {
        let arguments = match must || tool.strict {
            true => moved(&tool.parameters, &format!("#/anyOf/{i}/properties/{key}")),
            false => json!({"type": "object"}),
        };
        let mut properties = serde_json::Map::new();
        properties.insert("name".into(), json!({"const": tool.name}));
        properties.insert(key.into(), arguments);
        json!({"type": "object", "properties": properties, "required": ["name", key], "additionalProperties": false})
    });
    json!({"x-guidance": {"whitespace_pattern": " "}, "anyOf": calls.collect::<Vec<_>>()})
}

/// A schema that stands at another place: its references within itself lead there.
fn moved(schema: &Value, place: &str) -> Value {
    match schema {
        Value::Object(fields) => {
            let moved = fields.iter().map(|(key, value)| match (key.as_str(), value.as_str()) {
                ("$ref", Some(target)) => (key.clone(), json!(moved_reference(target, place))),
                _ => (key.clone(), moved(value, place)),
            });
            Value::Object(moved.collect())
        }
        Value::Array(items) => items.iter().map(|item| moved(item, place)).collect(),
        other => other.clone(),
    }
}

fn moved_reference(target: &str, place: &str) -> String {
    target.strip_prefix('#').map_or_else(|| target.to_owned(), |path| format!("{place}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::TokenSpace;
    use loopwright_lm::{Tokenizer, chat};

    fn tools(strict: bool) -> Vec<Tool> {
        let parameters = json!({
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}},
            "required": ["city"],
            "additionalProperties": false,
            "$defs": {"city": {"enum": ["Paris", "Oslo"]}},
        });
        let tool = |name: &str, parameters| Tool { name: name.into(), description: None, parameters, strict };
        vec![tool("weather", parameters), tool("time", json!({"type": "object", "properties": {}}))]
    }

    fn takes(form: &Form, text: &str) -> bool {
        let tokenizer = Tokenizer::train_bpe(&["weather time"], 261, &chat::SPECIAL_TOKENS).unwrap();
        let mut held = TokenSpace::new(&tokenizer, &[chat::EOS]).unwrap().hold(form).unwrap();
        for token in tokenizer.encode(text) {
            if held.is_complete() || !held.allowed().unwrap().has(token) {
                return false;
            }
            held.take(token).unwrap();
        }
        held.is_complete() || held.allowed().unwrap().has(chat::EOS)
    }

    const WEATHER: &str = "{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}";

    #[test]
    fn calls_that_must_be_made_are_held_to_their_schemas() {
        let required = ToolChoice::Required;
        let form = |format, choice: &ToolChoice, parallel| held(format, &tools(false), choice, parallel).unwrap();
        let one = format!("<tool_call>\n{WEATHER}\n</tool_call>");
        let hermes = form(CallFormat::Hermes, &required, true);
        assert!(takes(&hermes, &one) && takes(&hermes, &format!("{one}\n{one}")));
        for wrong in
            ["", "text", &one.replace("Paris", "Rome"), &one.replace("weather", "sport"), &one[..one.len() - 1]]
        {
            assert!(!takes(&hermes, wrong), "{wrong}");
        }
        assert!(!takes(&form(CallFormat::Hermes, &required, false), &format!("{one}\n{one}")));
        let named = form(CallFormat::Hermes, &ToolChoice::Named("time".into()), true);
        assert!(!takes(&named, &one));
        assert!(takes(&named, "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>"));
        let llama = WEATHER.replace("arguments", "parameters");
        assert!(takes(&form(CallFormat::Llama, &required, true), &llama));
        assert!(takes(&form(CallFormat::Mistral, &required, true), &format!("[{WEATHER}, {WEATHER}]")));
    }

    #[test]
    fn a_free_model_is_held_only_in_strict_calls() {
        let auto = ToolChoice::Auto;
        assert_eq!(held(CallFormat::Hermes, &tools(false), &auto, true), None);
        assert_eq!(held(CallFormat::Hermes, &tools(true), &ToolChoice::None, true), None);
        let form = held(CallFormat::Hermes, &tools(true), &auto, true).unwrap();
        let one = format!("<tool_call>\n{WEATHER}\n</tool_call>");
        for fine in ["", "It is <b>fine</b>.\n", &one, &format!("I look.\n{one}"), &format!("{one}\n{one}")] {
            assert!(takes(&form, fine), "{fine}");
        }
        assert!(!takes(&form, &one.replace("Paris", "Rome")));
        let llama = held(CallFormat::Llama, &tools(true), &auto, true).unwrap();
        for (text, expected) in
            [("fine", true), ("", true), ("{\"name\": \"time\", \"parameters\": {}}", true), ("{1}", false)]
        {
            assert_eq!(takes(&llama, text), expected, "{text}");
        }
    }
}
