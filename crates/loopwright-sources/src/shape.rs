//! What a file's columns mean, and records made of its rows.
//!
//! The shape is recognised from the columns' names, in this order: what the settings map; a preference pair (`chosen`
//! and `rejected`); turns (`messages`, then `conversations`); an instruction with its answer; a text; last a question
//! with its answer. Every other column is looked for under its usual names, in any case.

use super::{
    failure::{Failure, Place},
    row::{Conversation, Record, Role, Turn},
    sink::Fields,
    spec::{Shape, Spec},
    turns,
};
use crate::{Error, error::Kind};
use loopwright_types::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Usual names by role, the first found counts.
const USUAL: [(&str, &[&str]); 12] = [
    ("label", &["label", "category", "intent"]),
    ("id", &["id", "row_id", "uuid", "prompt_id"]),
    ("subject", &["customer", "subject", "customer_id", "user", "user_id"]),
    ("group", &["segment", "group"]),
    ("at", &["created_at", "at", "timestamp", "date", "published"]),
    ("licence", &["licence", "license"]),
    ("tags", &["consent", "purposes", "purpose", "tags"]),
    ("system", &["system", "system_prompt"]),
    ("prompt", &["prompt", "question", "instruction"]),
    ("input", &["input", "context"]),
    ("chosen", &["chosen"]),
    ("rejected", &["rejected"]),
];
const TEXT: [&str; 7] = ["text", "message", "content", "body", "sentence", "document", "prompt"];
const MESSAGES: [&str; 1] = ["messages"];
const CONVERSATIONS: [&str; 2] = ["conversations", "conversation"];
/// Instructions and answers that leave no doubt, then those that a text column outweighs.
const INSTRUCTIONS: [(&str, &str); 4] =
    [("instruction", "output"), ("instruction", "response"), ("prompt", "completion"), ("prompt", "response")];
const QUESTIONS: [(&str, &str); 2] = [("question", "answer"), ("question", "response")];

/// Roles of one shape only.
const SYSTEM: &str = "system";
const STRUCTURED: [&str; 8] = ["text", "messages", SYSTEM, "instruction", "input", "output", "prompt", "chosen"];

/// Columns named in a message, and characters of each.
const COLUMNS_SHOWN: usize = 12;
const NAME_CHARS_SHOWN: usize = 40;

/// What a file's columns mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) shape: Shape,
    /// Role to column.
    pub(super) columns: BTreeMap<&'static str, String>,
}

impl Layout {
    /// Recognises the shape from a file's columns.
    pub(super) fn find(file: &str, names: &[&str], spec: &Spec) -> Result<Self, Error> {
        let search = Search { file, names, spec };
        let mut columns = BTreeMap::new();
        for (role, named) in spec.mapping.named() {
            columns.insert(role, search.named(named)?);
        }
        let shape = search.shape(&mut columns)?;
        for (role, usual) in USUAL {
            if belongs(role, shape) && !columns.contains_key(role) {
                let found = search.usual(usual).filter(|name| !columns.values().any(|taken| taken == name));
                found.map(|name| columns.insert(role, name));
            }
        }
        columns.retain(|role, _| belongs(role, shape));
        let is_text_only = shape == Shape::Flat && spec.shape.is_none() && columns.len() == 1 && names.len() == 1;
        Ok(Self { shape: if is_text_only { Shape::TextOnly } else { shape }, columns })
    }

    /// The column of persons among these, as the settings name it or by its usual names.
    pub(super) fn subject_column(names: &[&str], spec: &Spec) -> Option<String> {
        let search = Search { file: "", names, spec };
        match &spec.mapping.subject {
            Some(named) => search.named(named).ok(),
            None => USUAL.iter().find(|(role, _)| *role == "subject").and_then(|(_, usual)| search.usual(usual)),
        }
    }

    /// The columns that are read, without those inside others.
    pub(super) fn roots(&self) -> Vec<String> {
        self.columns.values().map(|name| name.split('.').next().unwrap_or(name).to_string()).collect()
    }

    /// Why a later file of the source does not fit to this layout of the first, if it does not.
    pub(super) fn misfit(&self, other: &Self, file: &str, first: &str) -> Option<Failure> {
        if let Some(failure) = self.other_shape(other, file, first) {
            return Some(failure);
        }
        let (role, name) = self.columns.iter().find(|(role, name)| other.columns.get(*role) != Some(name))?;
        let found = other.columns.get(role).map_or("none".to_string(), |name| format!("`{name}`"));
        Some(mixed(file, format!("its {role} is {found}, in `{first}` before it is the column `{name}`")))
    }

    /// The same for files that do not declare their columns: there only the shape tells.
    pub(super) fn other_shape(&self, other: &Self, file: &str, first: &str) -> Option<Failure> {
        if self.shape == other.shape || (self.is_text() && other.is_text()) {
            return None;
        }
        let [ours, theirs] = [self.shape, other.shape].map(Shape::as_str);
        Some(mixed(file, format!("it has the shape {theirs}, `{first}` before it has {ours}")))
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.shape, Shape::Flat | Shape::TextOnly)
    }

    fn value<'a>(&self, role: &str, fields: &'a Fields) -> Option<(&'a Value, &str)> {
        let name = self.columns.get(role)?;
        let value = lookup(fields, name).filter(|value| !value.is_null())?;
        Some((value, name))
    }

    /// A short value of a role as text; an empty one is none.
    pub(super) fn text_value(&self, role: &str, fields: &Fields) -> Option<String> {
        let (value, _) = self.value(role, fields)?;
        let text = match value {
            Value::String(text) => text.trim().to_string(),
            other => other.to_string(),
        };
        (!text.is_empty()).then_some(text)
    }

    /// Makes a record of a row; `row_id` stays empty where the row has no id. The reason, if it cannot be one.
    pub(super) fn record(&self, fields: &Fields) -> Result<Record, String> {
        let conversation = self.conversation(fields)?;
        let text = match &conversation {
            Some(conversation) => conversation.render(),
            None => self.plain_text(fields)?,
        };
        let at = self.value("at", fields).map(|(value, _)| time(value)).transpose()?.flatten();
        Ok(Record {
            row_id: self.text_value("id", fields).unwrap_or_default(),
            text,
            label: self.text_value("label", fields),
            subject_external: self.text_value("subject", fields),
            group: self.text_value("group", fields),
            at,
            licence: self.text_value("licence", fields),
            tags: self.value("tags", fields).map(|(value, _)| words(value)).unwrap_or_default(),
            conversation,
            ..Record::default()
        })
    }

    fn plain_text(&self, fields: &Fields) -> Result<String, String> {
        let name = self.columns.get("text").map_or("text", String::as_str);
        match self.value("text", fields) {
            Some((Value::String(text), _)) => Ok(text.clone()),
            Some((value @ (Value::Number(_) | Value::Bool(_)), _)) => Ok(value.to_string()),
            Some((other, _)) => Err(format!("`{name}` is {}, expected a text", super::json::kind(other))),
            None => Err(format!("it has no `{name}`")),
        }
    }

    fn conversation(&self, fields: &Fields) -> Result<Option<Conversation>, String> {
        let needed = |role: &'static str| {
            let name = self.columns.get(role).map_or(role, String::as_str);
            self.value(role, fields).ok_or(format!("it has no `{name}`"))
        };
        match self.shape {
            Shape::Flat | Shape::TextOnly => Ok(None),
            Shape::Chat | Shape::ShareGpt => {
                let (value, name) = needed("messages")?;
                let mut all = self.system(fields);
                all.extend(turns::read(value, name)?);
                Ok(Some(Conversation::Turns(all)))
            }
            Shape::Instruction => {
                let (instruction, output) = (needed("instruction")?, needed("output")?);
                let question = [Some(instruction), self.value("input", fields)].into_iter().flatten();
                let parts = question.map(|(value, name)| spoken(value, name)).collect::<Result<Vec<_>, _>>()?;
                let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                let mut all = self.system(fields);
                all.push(Turn::new(Role::User, parts.join("\n\n")));
                all.push(Turn::new(Role::Assistant, spoken(output.0, output.1)?));
                Ok(Some(Conversation::Turns(all)))
            }
            Shape::Preference => {
                let ((chosen, c), (rejected, r)) = (needed("chosen")?, needed("rejected")?);
                let mut prompt = self.system(fields);
                if let Some((value, name)) = self.value("prompt", fields) {
                    prompt.extend(turns::side(value, name, Role::User)?);
                }
                let chosen = turns::side(chosen, c, Role::Assistant)?;
                Ok(Some(turns::preference(prompt, chosen, turns::side(rejected, r, Role::Assistant)?)))
            }
        }
    }

    fn system(&self, fields: &Fields) -> Vec<Turn> {
        self.text_value(SYSTEM, fields).map(|text| Turn::new(Role::System, text)).into_iter().collect()
    }
}

fn mixed(file: &str, problem: String) -> Failure {
    let hint = "read the files as two sources, or choose some of them with `only`";
    Failure::new(Kind::Mixed, Place::file(file), problem, hint)
}

/// A role of another shape says nothing here: `prompt` of a chat row is no prompt of a pair.
fn belongs(role: &str, shape: Shape) -> bool {
    let roles: &[&str] = match shape {
        Shape::Flat | Shape::TextOnly => &["text"],
        Shape::Chat | Shape::ShareGpt => &["messages", SYSTEM],
        Shape::Instruction => &["instruction", "input", "output", SYSTEM],
        Shape::Preference => &["prompt", "chosen", "rejected", SYSTEM],
    };
    roles.contains(&role) || !(STRUCTURED.contains(&role) || role == "rejected")
}

/// The columns of one file.
struct Search<'a> {
    file: &'a str,
    names: &'a [&'a str],
    spec: &'a Spec,
}

impl Search<'_> {
    fn usual(&self, usual: &[&str]) -> Option<String> {
        usual.iter().find_map(|name| self.position(name))
    }

    fn position(&self, name: &str) -> Option<String> {
        self.names.iter().find(|column| column.eq_ignore_ascii_case(name)).map(|column| column.to_string())
    }

    /// A column that somebody named, or one inside it.
    fn named(&self, name: &str) -> Result<String, Error> {
        let root = || name.split_once('.').and_then(|(root, rest)| Some(format!("{}.{rest}", self.position(root)?)));
        self.position(name).or_else(root).ok_or_else(|| self.missing(format!("`{name}`")))
    }

    fn missing(&self, expected: String) -> Error {
        let shown: Vec<String> = self.names.iter().take(COLUMNS_SHOWN).map(|name| short(name)).collect();
        let more = self.names.len().saturating_sub(COLUMNS_SHOWN);
        let mut found = shown.join(", ");
        if more > 0 {
            found += &format!(" and {more} more");
        }
        Error::MissingColumn { source_name: self.file.to_string(), expected, found }
    }

    fn shape(&self, columns: &mut BTreeMap<&'static str, String>) -> Result<Shape, Error> {
        let has = |columns: &BTreeMap<_, _>, role: &str| columns.contains_key(role);
        if let Some(shape) = self.spec.shape {
            return self.require(shape, columns);
        }
        let mapped = [
            ("messages", Shape::Chat),
            ("chosen", Shape::Preference),
            ("instruction", Shape::Instruction),
            ("text", Shape::Flat),
        ];
        if let Some((_, shape)) = mapped.into_iter().find(|(role, _)| has(columns, role)) {
            return self.require(shape, columns);
        }
        let found = [
            (self.usual(&["chosen"]).is_some() && self.usual(&["rejected"]).is_some(), Shape::Preference),
            (self.usual(&MESSAGES).is_some(), Shape::Chat),
            (self.usual(&CONVERSATIONS).is_some(), Shape::ShareGpt),
            (self.pair(&INSTRUCTIONS).is_some(), Shape::Instruction),
            (self.usual(&TEXT).is_some(), Shape::Flat),
            (self.pair(&QUESTIONS).is_some(), Shape::Instruction),
        ];
        let shape = found.into_iter().find(|(is_there, _)| *is_there).map_or(Shape::Flat, |(_, shape)| shape);
        self.require(shape, columns)
    }

    /// Finds the columns that a shape cannot do without.
    fn require(&self, shape: Shape, columns: &mut BTreeMap<&'static str, String>) -> Result<Shape, Error> {
        let mut need = |role: &'static str, usual: &[&str]| match columns.contains_key(role) {
            true => Ok(()),
            false => match self.usual(usual) {
                Some(name) => {
                    columns.insert(role, name);
                    Ok(())
                }
                None => Err(self.missing(listed(usual))),
            },
        };
        match shape {
            Shape::Flat | Shape::TextOnly => need("text", &TEXT)?,
            Shape::Chat => need("messages", &MESSAGES)?,
            Shape::ShareGpt => need("messages", &CONVERSATIONS)?,
            Shape::Preference => [("chosen", ["chosen"]), ("rejected", ["rejected"])]
                .iter()
                .try_for_each(|(role, usual)| need(role, usual))?,
            Shape::Instruction => {
                let pair =
                    self.pair(&INSTRUCTIONS).or_else(|| self.pair(&QUESTIONS)).unwrap_or(("instruction", "output"));
                need("instruction", &[pair.0])?;
                need("output", &[pair.1])?;
            }
        }
        Ok(shape)
    }

    fn pair(&self, pairs: &[(&'static str, &'static str)]) -> Option<(&'static str, &'static str)> {
        let mut pairs = pairs.iter();
        pairs.find(|(a, b)| self.position(a).is_some() && self.position(b).is_some()).copied()
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

fn short(name: &str) -> String {
    format!("`{}`", name.chars().take(NAME_CHARS_SHOWN).collect::<String>())
}

/// A column, or a part of one.
fn lookup<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).or_else(|| {
        let (root, rest) = name.split_once('.')?;
        rest.split('.').try_fold(fields.get(root)?, |value, part| value.get(part))
    })
}

/// Words of one speaker: a text, or something that is written as JSON.
fn spoken(value: &Value, name: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.trim().to_string()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        other => Err(format!("`{name}` is {}, expected a text", super::json::kind(other))),
    }
}

/// A list of words: a JSON list, or text with commas or semicolons.
fn words(value: &Value) -> Vec<String> {
    let single = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let all = match value {
        Value::Array(items) => items.iter().map(single).collect(),
        other => single(other).split([',', ';']).map(str::to_string).collect::<Vec<_>>(),
    };
    all.into_iter().map(|word| word.trim().to_string()).filter(|word| !word.is_empty()).collect()
}

/// Numbers from here on are milliseconds since 1970, below seconds (as seconds it would be the year 5138).
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

/// A time: text as in tables, or a number since 1970; an empty text is none.
fn time(value: &Value) -> Result<Option<Timestamp>, String> {
    let text = match value {
        Value::String(text) => text.trim().to_string(),
        other => other.to_string(),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let number = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
    match number {
        Some(n) if n.unsigned_abs() >= FIRST_MILLISECONDS => Ok(Some(Timestamp(n))),
        Some(n) => Ok(Some(Timestamp(n * 1000))),
        None => super::parse_time(&text).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mapping;
    use serde_json::json;

    fn layout(row: &Value, spec: &Spec) -> Result<Layout, Error> {
        let names: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        Layout::find("a", &names, spec)
    }

    fn record(row: Value) -> Record {
        layout(&row, &Spec::default()).unwrap().record(row.as_object().unwrap()).unwrap()
    }

    #[test]
    fn shapes_are_recognised_and_rendered() {
        for (row, shape, text) in [
            (json!({"text": "a"}), Shape::TextOnly, "a"),
            (json!({"text": "a", "label": 3}), Shape::Flat, "a"),
            (json!({"messages": [{"role": "user", "content": "q"}], "prompt": "q"}), Shape::Chat, "user: q"),
            (
                json!({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"}),
                Shape::ShareGpt,
                "system: s\n\nuser: q\n\nassistant: a",
            ),
            (
                json!({"instruction": "i", "input": "x", "output": "o", "text": "all of it"}),
                Shape::Instruction,
                "user: i\n\nx\n\nassistant: o",
            ),
            (json!({"instruction": "i", "input": "", "output": "o"}), Shape::Instruction, "user: i\n\nassistant: o"),
            (json!({"question": "q", "answer": "a"}), Shape::Instruction, "user: q\n\nassistant: a"),
            (
                json!({"prompt": "p", "chosen": "c", "rejected": "r", "messages": []}),
                Shape::Preference,
                "user: p\n\n[chosen]\n\nassistant: c\n\n[rejected]\n\nassistant: r",
            ),
            (json!({"question": "q", "answer": "a", "text": "t"}), Shape::Flat, "t"),
        ] {
            assert_eq!(layout(&row, &Spec::default()).unwrap().shape, shape, "{row}");
            assert_eq!(record(row).text, text);
        }
    }

    #[test]
    fn the_other_columns_are_found_by_their_usual_names() {
        let row = record(json!({"Text": " a ", "Intent": "refund", "uuid": 7, "customer_id": "C-1", "segment": "b",
            "timestamp": 1700000000, "license": "mit", "consent": "training, research", "other": 1}));
        assert_eq!((row.text.as_str(), row.label.as_deref(), row.row_id.as_str()), (" a ", Some("refund"), "7"));
        assert_eq!((row.subject_external.as_deref(), row.group.as_deref()), (Some("C-1"), Some("b")));
        assert_eq!((row.at, row.licence.as_deref()), (Some(Timestamp(1_700_000_000_000)), Some("mit")));
        assert_eq!(row.tags, ["training", "research"]);
        let later = record(json!({"text": "a", "at": 1700000000123i64, "tags": ["x", " y"]}));
        assert_eq!((later.at, later.tags), (Some(Timestamp(1_700_000_000_123)), vec!["x".into(), "y".into()]));
    }

    #[test]
    fn a_mapping_outweighs_the_usual_names_and_goes_into_objects() {
        let mapping = Mapping { text: Some("meta.body".into()), label: Some("answer".into()), ..Mapping::default() };
        let spec = Spec { mapping, ..Spec::default() };
        let row = json!({"meta": {"body": "b"}, "question": "q", "answer": "a", "chosen": 1, "rejected": 2});
        let found = layout(&row, &spec).unwrap();
        let record = found.record(row.as_object().unwrap()).unwrap();
        assert_eq!((found.shape, record.text.as_str(), record.label.as_deref()), (Shape::Flat, "b", Some("a")));
        assert_eq!(found.roots(), ["answer", "meta"]);
    }

    #[test]
    fn a_missing_column_is_named_with_those_found() {
        let error = layout(&json!({"words": "a", "n": 1}), &Spec::default()).unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == Kind::MissingColumn && text.contains("`text`") && text.contains("`words`"), "{text}");
        let spec = Spec { shape: Some(Shape::Chat), ..Spec::default() };
        let error = layout(&json!({"text": "a"}), &spec).unwrap_err();
        assert!(error.to_string().contains("`messages`"), "{error}");
    }

    #[test]
    fn rows_that_do_not_fit_say_why() {
        let flat = layout(&json!({"text": "a", "at": 1}), &Spec::default()).unwrap();
        for (row, words) in [
            (json!({"text": null}), "it has no `text`"),
            (json!({"text": {"a": 1}}), "`text` is an object, expected a text"),
            (json!({"text": "a", "at": "soon"}), "`soon`"),
        ] {
            let reason = flat.record(row.as_object().unwrap()).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn files_that_do_not_fit_name_the_column() {
        let [first, other, chat] = [json!({"text": "a", "label": 1}), json!({"text": "a"}), json!({"messages": 1})]
            .map(|row| layout(&row, &Spec::default()).unwrap());
        assert_eq!(first.misfit(&first, "b", "a"), None);
        assert_eq!(other.misfit(&first, "b", "a"), None);
        let failure = first.misfit(&other, "b", "a").unwrap();
        assert!(
            failure.to_string().contains("`b`: its label is none, in `a` before it is the column `label`"),
            "{failure}"
        );
        assert!(first.misfit(&chat, "b", "a").unwrap().to_string().contains("shape chat"));
    }
}
