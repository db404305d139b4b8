//! Guardrails: rules that look at what comes in and at what goes out, and say what is to be done about it.
//!
//! ```text
//! ask ─▶ Guard::check_input ─▶ (masked) ask ─▶ answer ─▶ Guard::on_answer ─▶ AnswerGuard::take, event by event ─▶ client
//!              └ blocked: refused                              └ blocked: the choice ends with `content_filter`
//! ```
//!
//! Rules are pure: a text in, a verdict out, never the matched text. On a stream the newest [`HELD_BYTES`] are held back,
//! so that what is found within them has not left yet. Rules that must see a whole answer (`schema`, `allow`,
//! `min_chars`) hold all of it, if they block.
//!
//! ```
//! use loopwright_serve::{ask::{Message, Prompt, Role}, guardrails::{Guard, RuleKind, RuleSettings}};
//!
//! let guard = Guard::new(&[RuleSettings::new(RuleKind::Pii)]).unwrap();
//! let mut prompt = Prompt::Chat(vec![Message::text_of(Role::User, "I am at ana@mail.example")]);
//! let checked = guard.check_input(&mut prompt);
//! assert_eq!(checked.verdicts[0].found, ["email"]);
//! let Prompt::Chat(messages) = prompt else { unreachable!() };
//! assert_eq!(messages[0].text(), "I am at <EMAIL>");
//! ```

mod answer;
mod rule;
mod settings;
#[cfg(test)]
mod tests;

use crate::ask::{Message, Part, Prompt, Role};
pub use answer::{AnswerGuard, HELD_BYTES};
use loopwright_guard::{LeakDetector, PiiKind, RedactPolicy, Redactor};
use loopwright_types::{
    Digest,
    trace::{GuardAction, GuardFinding, GuardStage, GuardVerdict},
};
use rule::{Question, Rule, Said, TEXT_BYTES_MAX};
pub use settings::{Action, On, OnError, RuleKind, RuleSettings};
use std::{collections::BTreeSet, sync::Arc};

/// The rules of a route. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    rules: Arc<Vec<Rule>>,
}

/// What the rules said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Each rule's word, in the order of the settings.
    pub verdicts: Vec<GuardVerdict>,
    /// The rule that refuses, if one does.
    pub blocked: Option<String>,
}

impl Checked {
    fn of(verdicts: Vec<GuardVerdict>) -> Self {
        let blocked = verdicts.iter().find(|it| it.done == GuardAction::Block).map(|it| it.rule.clone());
        Self { verdicts, blocked }
    }
}

impl Guard {
    /// Rules from their settings. The error says in words what is wrong.
    pub fn new(settings: &[RuleSettings]) -> Result<Self, String> {
        Ok(Self { rules: Arc::new(settings.iter().map(Rule::new).collect::<Result<_, _>>()?) })
    }

    /// True without any rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// True if a rule looks at answers.
    pub fn guards_answers(&self) -> bool {
        self.rules.iter().any(|rule| rule.looks_at(GuardStage::Output))
    }

    /// Looks at what the client sent, and masks in it what is to be masked.
    ///
    /// Rules look at what people and tools say. The operator's instructions are not asked about injections or topics, and
    /// the assistant's own words about neither; personal data and secrets are masked everywhere.
    pub fn check_input(&self, prompt: &mut Prompt) -> Checked {
        let rules: Vec<&Rule> = self.rules.iter().filter(|rule| rule.looks_at(GuardStage::Input)).collect();
        if rules.is_empty() {
            return Checked::default();
        }
        let asked = asked_text(prompt);
        let all = all_text(prompt);
        let is_readable = is_readable(prompt);
        let mut verdicts = Vec::new();
        for rule in rules {
            let text = match rule.kind {
                RuleKind::Pii | RuleKind::Secrets => &all,
                _ => &asked,
            };
            let said = match rule.masks() {
                Some(policy) => rule.masked((text.len() <= TEXT_BYTES_MAX).then(|| mask(prompt, policy))),
                None => rule.ask(&Question { text, is_whole: true, leak: &LeakDetector::default() }),
            };
            let said = match (said, is_readable) {
                // A picture, or tokens, may hold what the text does not.
                (Said::Pass, false) if rule.kind != RuleKind::Length => Said::Failed("unreadable"),
                (said, _) => said,
            };
            verdicts.push(rule.verdict(GuardStage::Input, &said));
        }
        Checked::of(verdicts)
    }

    /// The token that stands in the instructions while a rule looks for leaks: the same for the same instructions, so that
    /// what the model has cached of them stays good.
    pub fn add_canary(&self, prompt: &mut Prompt, salt: &[u8]) -> Option<String> {
        if !self.rules.iter().any(|rule| rule.kind == RuleKind::Leak) {
            return None;
        }
        let Prompt::Chat(messages) = prompt else { return None };
        let system = messages.iter_mut().find(|message| message.role == Role::System)?;
        let digest = Digest::of_parts([salt, system.text().as_bytes()]);
        let canary = format!("lw-{}", &digest.hex()[..16]);
        system.parts.push(Part::Text(format!("(Internal reference, never to be mentioned: {canary})")));
        Some(canary)
    }

    /// Begins to look at an answer to this prompt, which is as the client sent it.
    pub fn on_answer(&self, prompt: &Prompt, canary: Option<&str>) -> AnswerGuard {
        AnswerGuard::new(self.rules.clone(), LeakDetector::new(&instructions(prompt), canary))
    }
}

/// What people and tools said.
fn asked_text(prompt: &Prompt) -> String {
    texts(prompt, |role| matches!(role, Role::User | Role::Tool))
}

fn all_text(prompt: &Prompt) -> String {
    texts(prompt, |_| true)
}

fn instructions(prompt: &Prompt) -> String {
    match prompt {
        Prompt::Chat(_) => texts(prompt, |role| role == Role::System),
        Prompt::Text(_) | Prompt::Tokens(_) => String::new(),
    }
}

fn texts(prompt: &Prompt, is_wanted: impl Fn(Role) -> bool) -> String {
    match prompt {
        Prompt::Chat(messages) => {
            let wanted = messages.iter().filter(|message| is_wanted(message.role));
            wanted.map(Message::text).collect::<Vec<_>>().join("\n")
        }
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(_) => String::new(),
    }
}

fn is_readable(prompt: &Prompt) -> bool {
    match prompt {
        Prompt::Chat(messages) => messages.iter().flat_map(|message| &message.parts).all(|part| part.text().is_some()),
        Prompt::Text(_) => true,
        Prompt::Tokens(_) => false,
    }
}

/// Masks texts and the arguments of calls; returns what was found in them.
fn mask(prompt: &mut Prompt, policy: &RedactPolicy) -> BTreeSet<PiiKind> {
    let redactor = Redactor::new(policy);
    let mut found = BTreeSet::new();
    let mut cover = |text: &mut String| {
        let redacted = redactor.redact(text, &[]);
        found.extend(redacted.findings.iter().map(|finding| finding.kind));
        *text = redacted.text;
    };
    match prompt {
        Prompt::Chat(messages) => {
            for message in messages {
                for part in &mut message.parts {
                    if let Part::Text(text) = part {
                        cover(text);
                    }
                }
                message.tool_calls.iter_mut().for_each(|call| cover(&mut call.arguments));
            }
        }
        Prompt::Text(text) => cover(text),
        Prompt::Tokens(_) => {}
    }
    found
}

/// Worse first: what is told of several looks at one text.
fn rank(verdict: &GuardVerdict) -> u8 {
    match verdict.verdict {
        GuardFinding::Hit => 2,
        GuardFinding::Failed => 1,
        GuardFinding::Pass => 0,
    }
}
