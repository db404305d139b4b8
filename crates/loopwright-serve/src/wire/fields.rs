//! Fields that several APIs share, and how they are checked: what is wrong is refused by name.

use crate::{
    Error, Result,
    ask::{Format, Sampling},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, ops::RangeInclusive};

const N_STOPS_MAX: usize = 16;
const N_USER_CHARS_MAX: usize = 512;
const N_TAG_CHARS_MAX: usize = 128;
const N_BIASES_MAX: usize = 1024;

/// Answers to one prompt that may be asked for at once.
pub(crate) const N_ANSWERS_MAX: u32 = 64;
/// Messages of one conversation.
pub(crate) const N_MESSAGES_MAX: usize = 2048;

/// Reads JSON; an error names the line and the column.
pub fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| {
        let what =
            if e.is_data() { "the body is not what this endpoint expects" } else { "the body is not valid JSON" };
        let code = if e.is_data() { "invalid_body" } else { "invalid_json" };
        Error::Invalid { param: None, code, message: format!("{what}: {e}") }
    })
}

/// What a request gets that does not say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatDefaults {
    /// 0 is greedy: a model tuned to one task answers best without chance.
    pub temperature: f32,
    /// Nucleus sampling; 1 is off.
    pub top_p: f32,
    /// Answer tokens.
    pub max_tokens: u32,
}

impl Default for ChatDefaults {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, max_tokens: 256 }
    }
}

/// How tokens are chosen, as OpenAI and vLLM write it.
#[derive(Debug, Deserialize)]
pub(crate) struct SamplingFields {
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i64>,
    min_p: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<i64>,
    logit_bias: Option<BTreeMap<u32, f32>>,
    ignore_eos: Option<bool>,
    min_tokens: Option<u32>,
}

impl SamplingFields {
    pub(crate) fn read(self) -> Result<Sampling> {
        let logit_bias = self.logit_bias.unwrap_or_default();
        if logit_bias.len() > N_BIASES_MAX {
            let message = format!("`logit_bias` must hold at most {N_BIASES_MAX} tokens, got {}", logit_bias.len());
            return Err(Error::invalid("logit_bias", "invalid_value", message));
        }
        for bias in logit_bias.values() {
            in_range("logit_bias", Some(*bias), -100.0..=100.0)?;
        }
        Ok(Sampling {
            temperature: in_range("temperature", self.temperature, 0.0..=2.0)?,
            top_p: in_range("top_p", self.top_p, 0.0..=1.0)?,
            // vLLM's clients write -1 or 0 for "off".
            top_k: self.top_k.and_then(|k| u32::try_from(k).ok()).filter(|k| *k > 0),
            min_p: in_range("min_p", self.min_p, 0.0..=1.0)?,
            presence_penalty: in_range("presence_penalty", self.presence_penalty, -2.0..=2.0)?,
            frequency_penalty: in_range("frequency_penalty", self.frequency_penalty, -2.0..=2.0)?,
            repetition_penalty: in_range("repetition_penalty", self.repetition_penalty, 0.01..=10.0)?,
            seed: self.seed.map(i64::cast_unsigned),
            logit_bias,
            ignore_eos: self.ignore_eos.unwrap_or_default(),
            min_tokens: self.min_tokens.unwrap_or_default(),
        })
    }
}

/// The form of an answer, as OpenAI and vLLM write it.
#[derive(Debug, Deserialize)]
pub(crate) struct FormatFields {
    response_format: Option<Value>,
    structured_outputs: Option<Guided>,
    guided_json: Option<Value>,
    guided_regex: Option<String>,
    guided_choice: Option<Vec<String>>,
    guided_grammar: Option<String>,
}

/// vLLM's form: one of these.
#[derive(Debug, Default, Deserialize)]
struct Guided {
    json: Option<Value>,
    regex: Option<String>,
    choice: Option<Vec<String>>,
    grammar: Option<String>,
    json_object: Option<bool>,
}

impl FormatFields {
    pub(crate) fn read(self) -> Result<Format> {
        let guided = self.structured_outputs.unwrap_or_default();
        let given: Vec<Format> = [
            self.response_format.map(|format| response_format(&format)).transpose()?,
            self.guided_json.or(guided.json).map(schema_of_value).transpose()?,
            self.guided_regex.or(guided.regex).map(Format::Regex),
            self.guided_choice.or(guided.choice).map(one_of).transpose()?,
            self.guided_grammar.or(guided.grammar).map(Format::Grammar),
            guided.json_object.filter(|asked| *asked).map(|_| Format::Json),
        ]
        .into_iter()
        .flatten()
        .filter(|format| *format != Format::Text)
        .collect();
        match given.len() {
            0 => Ok(Format::Text),
            1 => Ok(given.into_iter().next().unwrap_or_default()),
            _ => Err(Error::invalid(
                "response_format",
                "invalid_value",
                "the answer can have one form only; leave all but one of `response_format` and `structured_outputs` out",
            )),
        }
    }
}

/// OpenAI's `response_format`.
fn response_format(format: &Value) -> Result<Format> {
    let wrong = |param: &str, message: &str| Err(Error::invalid(param, "invalid_value", message.to_owned()));
    match format["type"].as_str() {
        None if format.is_null() => Ok(Format::Text),
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::Json),
        Some("json_schema") => schema_format(&format["json_schema"], "response_format.json_schema"),
        _ => wrong("response_format.type", "`response_format.type` must be text, json_object or json_schema"),
    }
}

/// A schema with its name: `{"name", "schema", "strict"}`.
pub(crate) fn schema_format(fields: &Value, param: &str) -> Result<Format> {
    let name = fields["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        let param = format!("{param}.name");
        return Err(Error::invalid(&param, "missing_required_parameter", format!("`{param}` is missing")));
    }
    if !fields["schema"].is_object() {
        let param = format!("{param}.schema");
        return Err(Error::invalid(&param, "missing_required_parameter", format!("`{param}` must be a JSON schema")));
    }
    let strict = fields["strict"].as_bool().unwrap_or_default();
    Ok(Format::Schema { name: name.into(), schema: fields["schema"].clone(), strict })
}

/// vLLM takes a schema as an object, or as the text of one.
fn schema_of_value(value: Value) -> Result<Format> {
    let schema = match value {
        Value::String(text) => serde_json::from_str(&text).map_err(|e| {
            Error::invalid("guided_json", "invalid_value", format!("`guided_json` is not a JSON schema: {e}"))
        })?,
        other => other,
    };
    Ok(Format::Schema { name: "answer".into(), schema, strict: true })
}

/// One of these texts, as a regular expression.
fn one_of(choices: Vec<String>) -> Result<Format> {
    if choices.is_empty() {
        return Err(Error::invalid("guided_choice", "invalid_value", "`guided_choice` must hold at least one text"));
    }
    let quoted: Vec<String> = choices.iter().map(|choice| quoted(choice)).collect();
    Ok(Format::Regex(quoted.join("|")))
}

/// A text as the regular expression that matches it alone.
fn quoted(text: &str) -> String {
    let is_sign = |c: char| c.is_ascii_punctuation();
    text.chars().flat_map(|c| is_sign(c).then_some('\\').into_iter().chain([c])).collect()
}

/// One text or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Texts at which an answer ends.
pub(crate) fn stops(stop: Option<OneOrMany>, param: &str) -> Result<Vec<String>> {
    let stops = match stop {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    };
    if stops.len() > N_STOPS_MAX {
        let message = format!("`{param}` must hold at most {N_STOPS_MAX} texts, got {}", stops.len());
        return Err(Error::invalid(param, "invalid_value", message));
    }
    if stops.iter().any(String::is_empty) {
        return Err(Error::invalid(param, "invalid_value", format!("`{param}` must not hold an empty text")));
    }
    Ok(stops)
}

/// Number of answers.
pub(crate) fn answers(n: Option<u32>) -> Result<u32> {
    match n.unwrap_or(1) {
        n @ 1..=N_ANSWERS_MAX => Ok(n),
        n => {
            let message = format!("`n` must lie between 1 and {N_ANSWERS_MAX}, got {n}");
            Err(Error::invalid("n", "invalid_value", message))
        }
    }
}

/// A bound on answer tokens, if one is given.
pub(crate) fn at_least_one(name: &str, asked: Option<u32>) -> Result<Option<u32>> {
    match asked {
        Some(0) => Err(Error::invalid(name, "invalid_value", format!("`{name}` must be at least 1"))),
        other => Ok(other),
    }
}

pub(crate) fn in_range(name: &str, given: Option<f32>, range: RangeInclusive<f32>) -> Result<Option<f32>> {
    match given {
        Some(value) if !range.contains(&value) => {
            let message = format!("`{name}` must lie between {} and {}, got {value}", range.start(), range.end());
            Err(Error::invalid(name, "invalid_value", message))
        }
        other => Ok(other),
    }
}

/// The client's own words about a request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct About {
    pub(crate) user: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) tag: Option<String>,
}

impl About {
    /// From `user` and OpenAI's `metadata`, of which `tag` and `session_id` are read.
    pub(crate) fn read(user: Option<String>, metadata: Option<BTreeMap<String, Value>>) -> Result<Self> {
        let mut metadata = metadata.unwrap_or_default();
        let mut text = |name: &str| metadata.remove(name).and_then(|value| value.as_str().map(str::to_owned));
        Ok(Self {
            session: at_most("metadata.session_id", text("session_id"), N_TAG_CHARS_MAX)?,
            tag: at_most("metadata.tag", text("tag"), N_TAG_CHARS_MAX)?,
            user: at_most("user", user, N_USER_CHARS_MAX)?,
        })
    }
}

pub(crate) fn at_most(name: &str, text: Option<String>, n_chars_max: usize) -> Result<Option<String>> {
    match text {
        Some(text) if text.chars().count() > n_chars_max => {
            Err(Error::invalid(name, "invalid_value", format!("`{name}` must have at most {n_chars_max} characters")))
        }
        Some(text) if text.is_empty() => Ok(None),
        other => Ok(other),
    }
}

/// True if a field asks for something: neither left out, `null`, `false`, 0 nor empty.
pub(crate) fn asks(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Bool(true)) => true,
    }
}

/// A field that would change the answer and that we do not serve.
pub(crate) fn unserved(name: &str) -> Error {
    Error::invalid(name, "unsupported_parameter", format!("`{name}` is not served here; leave it out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn format(fields: Value) -> Result<Format> {
        serde_json::from_value::<FormatFields>(fields).unwrap().read()
    }

    #[test]
    fn forms_are_read_as_openai_and_vllm_write_them() {
        let schema = json!({"type": "object"});
        let named = |name: &str, strict| Format::Schema { name: name.into(), schema: schema.clone(), strict };
        for (fields, expected) in [
            (json!({}), Format::Text),
            (json!({"response_format": null}), Format::Text),
            (json!({"response_format": {"type": "text"}}), Format::Text),
            (json!({"response_format": {"type": "json_object"}}), Format::Json),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": true}}}),
                named("a", true),
            ),
            (json!({"guided_json": schema.to_string()}), named("answer", true)),
            (json!({"guided_choice": ["a.b", "c"]}), Format::Regex("a\\.b|c".into())),
            (json!({"structured_outputs": {"regex": "[0-9]+"}}), Format::Regex("[0-9]+".into())),
            (json!({"structured_outputs": {"json_object": true}}), Format::Json),
        ] {
            assert_eq!(format(fields.clone()).unwrap(), expected, "{fields}");
        }
        for (fields, param) in [
            (json!({"response_format": {"type": "xml"}}), "response_format.type"),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}),
                "response_format.json_schema.name",
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}),
                "response_format.json_schema.schema",
            ),
            (json!({"guided_choice": []}), "guided_choice"),
            (json!({"guided_regex": "a", "response_format": {"type": "json_object"}}), "response_format"),
        ] {
            assert_eq!(format(fields.clone()).unwrap_err().param(), Some(param), "{fields}");
        }
    }

    #[test]
    fn sampling_is_checked_field_by_field() {
        let read = |fields: Value| serde_json::from_value::<SamplingFields>(fields).unwrap().read();
        let all = read(json!({"top_k": -1, "seed": -5, "logit_bias": {"7": -100}, "min_p": 0.5, "min_tokens": 3}));
        let all = all.unwrap();
        assert_eq!((all.top_k, all.seed, all.min_tokens), (None, Some((-5i64).cast_unsigned()), 3));
        assert_eq!(all.logit_bias, [(7, -100.0)].into());
        for (fields, param) in [
            (json!({"temperature": 2.5}), "temperature"),
            (json!({"top_p": -0.1}), "top_p"),
            (json!({"min_p": 1.1}), "min_p"),
            (json!({"presence_penalty": 3}), "presence_penalty"),
            (json!({"frequency_penalty": -3}), "frequency_penalty"),
            (json!({"repetition_penalty": 0}), "repetition_penalty"),
            (json!({"logit_bias": {"7": 101}}), "logit_bias"),
        ] {
            assert_eq!(read(fields.clone()).unwrap_err().param(), Some(param), "{fields}");
        }
    }
}
