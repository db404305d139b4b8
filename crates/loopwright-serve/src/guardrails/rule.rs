//! One rule, compiled: a text in, what it found out.

use super::settings::{Action, OnError, RuleKind, RuleSettings};
use loopwright_guard::{Leak, LeakDetector, PiiKind, RedactPolicy, Redactor, injections};
use loopwright_types::trace::{GuardAction, GuardFinding, GuardStage, GuardVerdict};
use regex::{Regex, RegexBuilder};
use std::collections::BTreeSet;

/// Longer texts are not looked at: a rule that cannot be asked does as its policy says.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;
const TOO_LONG: &str = "too_long";
/// Largest program of a regular expression.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A rule, ready to be asked.
#[derive(Debug)]
pub(super) struct Rule {
    pub kind: RuleKind,
    pub stages: Vec<GuardStage>,
    pub action: Action,
    on_error: OnError,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// Personal data or secrets of these kinds.
    Redact(RedactPolicy),
    Injection,
    Leak,
    Topic {
        deny: Vec<Regex>,
        allow: Vec<Regex>,
    },
    Length {
        min: usize,
        max: usize,
    },
    Schema(Box<jsonschema::Validator>),
}

/// What a rule says of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Pass,
    /// It found this.
    Hit(Vec<String>),
    /// It could not be asked, for this reason.
    Failed(&'static str),
}

/// What a rule is asked about.
pub(super) struct Question<'a> {
    pub text: &'a str,
    /// Will there be no more of it?
    pub is_whole: bool,
    pub leak: &'a LeakDetector,
}

impl Rule {
    pub fn new(settings: &RuleSettings) -> Result<Self, String> {
        settings.check()?;
        let says = |problem: String| format!("rule `{}`: {problem}", settings.rule.as_str());
        let patterns = |words: &[String]| -> Result<Vec<Regex>, String> {
            words.iter().map(|word| pattern(word, settings.regex).map_err(says)).collect()
        };
        let test = match settings.rule {
            RuleKind::Pii => Test::Redact(pii_policy(&settings.kinds).map_err(says)?),
            RuleKind::Secrets => Test::Redact(RedactPolicy { kinds: BTreeSet::from([PiiKind::Secret]) }),
            RuleKind::Injection => Test::Injection,
            RuleKind::Leak => Test::Leak,
            RuleKind::Topic => Test::Topic { deny: patterns(&settings.deny)?, allow: patterns(&settings.allow)? },
            RuleKind::Length => {
                Test::Length { min: settings.min_chars.unwrap_or(0), max: settings.max_chars.unwrap_or(usize::MAX) }
            }
            RuleKind::Schema => {
                let schema = settings.schema.as_ref().ok_or_else(|| says("it needs a `schema`".into()))?;
                let validator =
                    jsonschema::validator_for(schema).map_err(|e| says(format!("the schema is wrong: {e}")))?;
                Test::Schema(Box::new(validator))
            }
        };
        let (stages, action) = (settings.stages(), settings.action());
        Ok(Self { kind: settings.rule, stages, action, on_error: settings.on_error, test })
    }

    pub fn looks_at(&self, stage: GuardStage) -> bool {
        self.stages.contains(&stage)
    }

    /// What a masking rule covers.
    pub fn masks(&self) -> Option<&RedactPolicy> {
        match &self.test {
            Test::Redact(policy) if self.action == Action::Mask => Some(policy),
            _ => None,
        }
    }

    /// Can it be asked only when the whole text is there?
    pub fn needs_whole(&self) -> bool {
        match &self.test {
            Test::Schema(_) => true,
            Test::Topic { allow, .. } => !allow.is_empty(),
            Test::Length { min, .. } => *min > 0,
            Test::Redact(_) | Test::Injection | Test::Leak => false,
        }
    }

    /// What it says of texts in which it has masked these kinds; none for texts that are too long to look at.
    pub fn masked(&self, found: Option<BTreeSet<PiiKind>>) -> Said {
        match found {
            None => Said::Failed(TOO_LONG),
            Some(found) if found.is_empty() => Said::Pass,
            Some(found) => Said::Hit(names(found)),
        }
    }

    /// What it says of a text.
    pub fn ask(&self, question: &Question) -> Said {
        let Question { text, is_whole, leak } = question;
        if text.len() > TEXT_BYTES_MAX {
            return Said::Failed(TOO_LONG);
        }
        let hit = |found: Vec<String>| if found.is_empty() { Said::Pass } else { Said::Hit(found) };
        match &self.test {
            Test::Redact(policy) => hit(kinds_in(text, policy)),
            Test::Injection => hit(injections(text)),
            Test::Leak => hit(leak.find(text).map(Leak::as_str).map(str::to_string).into_iter().collect()),
            Test::Topic { deny, allow } => {
                let denied = deny.iter().position(|it| it.is_match(text)).map(|index| format!("deny:{index}"));
                let is_off = *is_whole && !allow.is_empty() && !allow.iter().any(|it| it.is_match(text));
                hit(denied.into_iter().chain(is_off.then(|| "allow".to_string())).collect())
            }
            Test::Length { .. } => self.ask_length(text.chars().count(), *is_whole),
            Test::Schema(validator) => match serde_json::from_str::<serde_json::Value>(text) {
                Err(_) => hit(vec!["not_json".into()]),
                Ok(value) => hit(validator.iter_errors(&value).take(1).map(|e| e.schema_path().to_string()).collect()),
            },
        }
    }

    /// What a rule about length says of so many characters; others say nothing.
    pub fn ask_length(&self, n_chars: usize, is_whole: bool) -> Said {
        match &self.test {
            Test::Length { max, .. } if n_chars > *max => Said::Hit(vec!["max_chars".into()]),
            Test::Length { min, .. } if is_whole && n_chars < *min => Said::Hit(vec!["min_chars".into()]),
            _ => Said::Pass,
        }
    }

    /// What is done about what it said, for the trace.
    pub fn verdict(&self, stage: GuardStage, said: &Said) -> GuardVerdict {
        let (verdict, done, found) = match said {
            Said::Pass => (GuardFinding::Pass, GuardAction::None, Vec::new()),
            Said::Hit(found) => (GuardFinding::Hit, self.action.into(), found.clone()),
            Said::Failed(why) => {
                let done = match (self.on_error, self.action) {
                    (OnError::Open, _) => GuardAction::None,
                    // What could not be looked at cannot be masked.
                    (OnError::Closed, Action::Mask | Action::Block) => GuardAction::Block,
                    (OnError::Closed, Action::Flag) => GuardAction::Flag,
                };
                (GuardFinding::Failed, done, vec![(*why).to_string()])
            }
        };
        GuardVerdict { rule: self.kind.as_str().into(), stage, verdict, done, found }
    }
}

/// The kinds of what a policy covers in a text, each once.
fn kinds_in(text: &str, policy: &RedactPolicy) -> Vec<String> {
    let findings = Redactor::new(policy).redact(text, &[]).findings;
    names(findings.iter().map(|finding| finding.kind))
}

fn names(kinds: impl IntoIterator<Item = PiiKind>) -> Vec<String> {
    let kinds: BTreeSet<&str> = kinds.into_iter().map(PiiKind::as_str).collect();
    kinds.into_iter().map(str::to_string).collect()
}

/// A word stands by itself, in any case; a regular expression is taken as it is written, in any case.
fn pattern(word: &str, is_regex: bool) -> Result<Regex, String> {
    if word.trim().is_empty() {
        return Err("a word is empty".into());
    }
    let edge = |c: Option<char>| if c.is_some_and(|c| c.is_alphanumeric() || c == '_') { r"\b" } else { "" };
    let text = match is_regex {
        true => word.to_string(),
        false => format!("{}{}{}", edge(word.chars().next()), regex::escape(word), edge(word.chars().next_back())),
    };
    let built = RegexBuilder::new(&text).case_insensitive(true).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|problem| format!("`{word}` is no regular expression: {problem}"))
}

/// What counts as personal data in an answer: everything but secrets, which have their rule, and machines' addresses.
fn pii_policy(kinds: &[String]) -> Result<RedactPolicy, String> {
    if kinds.is_empty() {
        let usual = |kind: &PiiKind| !matches!(kind, PiiKind::Secret | PiiKind::Ip | PiiKind::Mac);
        return Ok(RedactPolicy { kinds: PiiKind::ALL.into_iter().filter(usual).collect() });
    }
    let known = || PiiKind::ALL.map(PiiKind::as_str).join(", ");
    let of = |word: &String| {
        let found = PiiKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| format!("unknown kind `{word}`; known: {}", known()))
    };
    Ok(RedactPolicy { kinds: kinds.iter().map(of).collect::<Result<_, _>>()? })
}
