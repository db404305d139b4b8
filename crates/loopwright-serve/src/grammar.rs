//! Structured output: an answer is held to a JSON schema, a regular expression or a grammar, token by token.
//!
//! A [`TokenSpace`] knows a model's tokens and is made once per model; [`TokenSpace::hold`] compiles a [`Form`] to the
//! [`Constraint`] that the engine asks before each token (`llguidance`: a lexer of derivatives under an Earley parser). What
//! compiling and each step may take is bounded, so that no schema can hold up the engine.
//!
//! ```
//! use loopwright_lm::{Tokenizer, chat};
//! use loopwright_serve::{Constraint, grammar::{Form, TokenSpace}};
//! let tokenizer = Tokenizer::train_bpe(&["yes no"], 261, &chat::SPECIAL_TOKENS).unwrap();
//! let space = TokenSpace::new(&tokenizer, &[chat::EOS]).unwrap();
//! let mut held = space.hold(&Form::Regex("yes|no".into())).unwrap();
//! let allowed = held.allowed().unwrap();
//! assert!(allowed.has(tokenizer.encode("y")[0]) && !allowed.has(tokenizer.encode("x")[0]));
//! ```

use crate::{Allowed, Constraint, Error, Result, ask::Format};
use llguidance::{
    Matcher, ParserFactory,
    api::{ParserLimits, TopLevelGrammar},
};
use loopwright_lm::Tokenizer;
use serde_json::{Value, json};
use std::sync::Arc;
use toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

/// Between two parts of a JSON text: nothing, a blank, or a line end with some indentation. Without a bound a model could
/// write blanks until its tokens run out.
const WHITESPACE: &str = r" |\n[ \t]{0,40}";

/// What an answer is held to.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// JSON of this schema.
    Schema(Value),
    /// A text that matches, from its beginning to its end.
    Regex(String),
    /// A text of a grammar in Lark's notation.
    Lark(String),
}

impl Form {
    /// The form that an answer was asked for in; none for plain text.
    pub fn of(format: &Format) -> Option<Self> {
        match format {
            Format::Text => None,
            Format::Json => Some(Self::Schema(json!({"type": "object"}))),
            Format::Schema { schema, .. } => Some(Self::Schema(schema.clone())),
            Format::Regex(pattern) => Some(Self::Regex(pattern.clone())),
            Format::Grammar(grammar) => Some(Self::Lark(grammar.clone())),
        }
    }
}

/// A model's tokens, ready to be held to forms.
pub struct TokenSpace {
    factory: ParserFactory,
}

impl std::fmt::Debug for TokenSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n_tokens = self.factory.tok_env().tok_trie().vocab_size();
        f.debug_struct("TokenSpace").field("n_tokens", &n_tokens).finish_non_exhaustive()
    }
}

impl TokenSpace {
    /// The tokens of a tokenizer; `ends` are those that end an answer. Takes milliseconds for a thousand tokens, a second for
    /// the largest vocabularies.
    pub fn new(tokenizer: &Tokenizer, ends: &[u32]) -> Result<Self> {
        let n = u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
        // A token without bytes is a special one: no form has it, but each may end an answer.
        let mut ends: Vec<u32> = ends.iter().copied().filter(|id| *id < n).collect();
        if ends.is_empty() {
            ends.extend((0..n).find(|id| tokenizer.token_bytes(*id).is_empty()));
        }
        let Some(first) = ends.first() else {
            return Err(Error::Grammar("the model has no token that ends an answer".into()));
        };
        let words: Vec<Vec<u8>> = (0..n).map(|id| tokenizer.token_bytes(id).to_vec()).collect();
        let trie = TokTrie::from(&TokRxInfo::new(n, *first), &words).with_eos_tokens(&ends);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&env).map_err(|e| Error::Grammar(e.to_string()))?;
        // The library would write to stderr, and quote the answer in its errors.
        factory.quiet();
        *factory.limits_mut() = ParserLimits { verbose_errors: false, ..ParserLimits::default() };
        Ok(Self { factory })
    }

    /// Compiles a form. Takes up to some hundred milliseconds for a large schema; one that is wrong is the client's fault.
    pub fn hold(&self, form: &Form) -> Result<Box<dyn Constraint>> {
        let (grammar, what) = match form {
            Form::Schema(schema) => (TopLevelGrammar::from_json_schema(bounded(schema)?), "JSON schema"),
            Form::Regex(pattern) => (TopLevelGrammar::from_regex(pattern), "regular expression"),
            Form::Lark(grammar) => (TopLevelGrammar::from_lark(grammar.clone()), "grammar"),
        };
        let parser = self.factory.create_parser(grammar).map_err(|e| Error::Invalid {
            param: Some("response_format".into()),
            code: "invalid_schema",
            message: format!("the {what} cannot be held: {e:#}"),
        })?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            Some(problem) => Err(Error::invalid("response_format", "invalid_schema", problem)),
            None => Ok(Box::new(Held(matcher))),
        }
    }
}

/// The schema with bounded blanks.
fn bounded(schema: &Value) -> Result<Value> {
    match schema {
        Value::Object(fields) => {
            let mut fields = fields.clone();
            fields.insert("x-guidance".into(), json!({"whitespace_pattern": WHITESPACE}));
            Ok(Value::Object(fields))
        }
        Value::Bool(true) => bounded(&json!({})),
        other => Err(Error::invalid(
            "response_format",
            "invalid_schema",
            format!("a JSON schema must be an object, got {other}"),
        )),
    }
}

struct Held(Matcher);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Held").field(&self.0.stop_reason()).finish()
    }
}

impl Constraint for Held {
    fn allowed(&mut self) -> Result<Allowed> {
        let mask = self.0.compute_mask_or_eos().map_err(|e| Error::Grammar(e.to_string()))?;
        Ok(Allowed::from_words(mask.as_slice().to_vec()))
    }

    fn take(&mut self, token: u32) -> Result<()> {
        self.0.consume_token(token).map_err(|e| Error::Grammar(e.to_string()))
    }

    fn is_complete(&self) -> bool {
        self.0.is_stopped()
    }

    fn fork(&self) -> Box<dyn Constraint> {
        // Deep: two answers share no lexer, so neither waits for the other.
        Box::new(Self(self.0.deep_clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_lm::chat::{self, EOS};
    use proptest::prelude::*;

    fn tokenizer() -> Tokenizer {
        let texts = ["{\"city\": \"Paris\", \"temperature\": 21}", "the weather in Paris is fine", "true false null"];
        Tokenizer::train_bpe(&texts, 320, &chat::SPECIAL_TOKENS).unwrap()
    }

    fn space() -> TokenSpace {
        TokenSpace::new(&tokenizer(), &[EOS]).unwrap()
    }

    /// Writes an answer that a model without any sense would write: of the allowed tokens, the one that `pick` says.
    fn babble(held: &mut dyn Constraint, mut pick: impl FnMut(&[u32]) -> u32, n_max: usize) -> Option<String> {
        let tokenizer = tokenizer();
        let mut tokens = Vec::new();
        for _ in 0..n_max {
            if held.is_complete() {
                return Some(tokenizer.decode(&tokens));
            }
            let allowed = held.allowed().unwrap();
            let open: Vec<u32> = (0..tokenizer.vocab_size() as u32).filter(|id| allowed.has(*id)).collect();
            assert!(!open.is_empty(), "nothing may follow {:?}", tokenizer.decode(&tokens));
            let token = pick(&open);
            if token == EOS {
                return Some(tokenizer.decode(&tokens));
            }
            held.take(token).unwrap();
            tokens.push(token);
        }
        None
    }

    /// Whether a text is of the form, from beginning to end.
    fn takes(form: &Form, text: &str) -> bool {
        let mut held = space().hold(form).unwrap();
        for token in tokenizer().encode(text) {
            if held.is_complete() || !held.allowed().unwrap().has(token) {
                return false;
            }
            held.take(token).unwrap();
        }
        held.is_complete() || held.allowed().unwrap().has(EOS)
    }

    #[test]
    fn texts_of_the_form_pass_and_others_do_not() {
        let schema = json!({
            "type": "object",
            "properties": {"city": {"type": "string"}, "temperature": {"type": "integer"}},
            "required": ["city", "temperature"],
            "additionalProperties": false,
        });
        let cases = [
            (Form::Schema(schema.clone()), "{\"city\": \"Paris\", \"temperature\": 21}", true),
            (Form::Schema(schema.clone()), "{\"city\":\"Paris\",\"temperature\":21}", true),
            (Form::Schema(schema.clone()), "{\n  \"city\": \"P\u{e9}\\n\",\n  \"temperature\": -3\n}", true),
            (Form::Schema(schema.clone()), "{\"city\": \"Paris\"}", false),
            (Form::Schema(schema.clone()), "{\"city\": \"Paris\", \"temperature\": \"21\"}", false),
            (Form::Schema(schema), "{\"city\": \"Paris\", \"temperature\": 21, \"more\": 1}", false),
            (Form::of(&Format::Json).unwrap(), "{\"a\": [1, {\"b\": null}]}", true),
            (Form::of(&Format::Json).unwrap(), "[1]", false),
            (Form::Regex("[0-9]{2}-[a-z]+".into()), "21-may", true),
            (Form::Regex("[0-9]{2}-[a-z]+".into()), "2-may", false),
            (Form::Lark("start: \"a\" (\"b\" | \"c\")+".into()), "abcb", true),
            (Form::Lark("start: \"a\" (\"b\" | \"c\")+".into()), "a", false),
        ];
        for (form, text, expected) in cases {
            assert_eq!(takes(&form, text), expected, "{text} {form:?}");
        }
    }

    #[test]
    fn an_answer_ends_by_itself_where_nothing_may_follow() {
        let mut held = space().hold(&Form::Regex("yes".into())).unwrap();
        for token in tokenizer().encode("yes") {
            assert!(!held.is_complete());
            held.take(token).unwrap();
        }
        assert!(held.is_complete());
        assert!(held.allowed().unwrap().has(EOS));
    }

    #[test]
    fn what_is_not_allowed_is_not_taken_and_forks_go_their_own_way() {
        let mut held = space().hold(&Form::Regex("ab|ac".into())).unwrap();
        let id = |text: &str| tokenizer().encode(text)[0];
        held.take(id("a")).unwrap();
        let mut other = held.fork();
        held.take(id("b")).unwrap();
        assert!(held.is_complete() && !other.is_complete());
        other.take(id("c")).unwrap();
        let mut wrong = space().hold(&Form::Regex("ab".into())).unwrap();
        assert!(wrong.take(id("c")).is_err());
    }

    #[test]
    fn wrong_forms_are_refused_with_a_reason() {
        for form in [
            Form::Schema(json!({"type": "nonsense"})),
            Form::Schema(json!({"$ref": "#/nowhere"})),
            Form::Schema(json!([])),
            Form::Regex("(".into()),
            Form::Lark("start: nowhere".into()),
        ] {
            let Err(error) = space().hold(&form) else { panic!("{form:?} was taken") };
            assert_eq!((error.code(), error.param()), ("invalid_schema", Some("response_format")), "{form:?}: {error}");
        }
    }

    proptest! {
        /// Whatever a model prefers, what it writes to the end is of the form.
        #[test]
        fn every_answer_that_ends_is_valid(choices in proptest::collection::vec(0usize..1000, 200)) {
            let schema = json!({
                "type": "object",
                "properties": {
                    "kind": {"enum": ["a", "b\"c", 3]},
                    "yes": {"type": "boolean"},
                    "n": {"type": "integer", "minimum": 0, "maximum": 99},
                    "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
                },
                "required": ["kind", "yes", "n", "tags"],
                "additionalProperties": false,
            });
            let mut held = space().hold(&Form::Schema(schema)).unwrap();
            let mut choices = choices.into_iter();
            let pick = |open: &[u32]| open[choices.next().unwrap_or(0) % open.len()];
            if let Some(text) = babble(&mut *held, pick, 190) {
                let value: Value = serde_json::from_str(&text).unwrap();
                prop_assert!(value["yes"].is_boolean() && value["n"].as_u64().unwrap() < 100, "{}", text);
                prop_assert!(value["tags"].as_array().unwrap().len() <= 2);
                prop_assert_eq!(value.as_object().unwrap().len(), 4);
            }
        }
    }
}
