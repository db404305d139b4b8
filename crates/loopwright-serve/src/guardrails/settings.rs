//! Guardrails as they are written in a route's settings.

use loopwright_types::trace::{GuardAction, GuardStage};
use serde::{Deserialize, Serialize};

/// One rule, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Which.
    pub rule: RuleKind,
    /// What it looks at; each rule has a default.
    #[serde(default)]
    pub on: Option<On>,
    /// What is done about what it finds; each rule has a default.
    #[serde(default)]
    pub action: Option<Action>,
    /// What happens if it cannot be asked.
    #[serde(default)]
    pub on_error: OnError,
    /// `pii`: the kinds; all but secrets and addresses of machines without this.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// `topic`: words, or regular expressions, of which none may occur.
    #[serde(default)]
    pub deny: Vec<String>,
    /// `topic`: words, or regular expressions, of which at least one must occur.
    #[serde(default)]
    pub allow: Vec<String>,
    /// `topic`: the lists are regular expressions.
    #[serde(default)]
    pub regex: bool,
    /// `length`: fewest characters.
    #[serde(default)]
    pub min_chars: Option<usize>,
    /// `length`: most characters.
    #[serde(default)]
    pub max_chars: Option<usize>,
    /// `schema`: the JSON Schema that the answer must keep to.
    #[serde(default)]
    pub schema: Option<serde_json::Value>,
}

/// The rules that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Personal data.
    Pii,
    /// Keys, tokens, passwords.
    Secrets,
    /// Attempts to take over the model.
    Injection,
    /// Answers that repeat their instructions.
    Leak,
    /// What may be talked about.
    Topic,
    /// How long a text may be.
    Length,
    /// JSON of a given form.
    Schema,
}

impl RuleKind {
    /// The word in settings and traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pii => "pii",
            Self::Secrets => "secrets",
            Self::Injection => "injection",
            Self::Leak => "leak",
            Self::Topic => "topic",
            Self::Length => "length",
            Self::Schema => "schema",
        }
    }

    /// What it can look at.
    fn stages(self) -> &'static [GuardStage] {
        match self {
            Self::Pii | Self::Secrets | Self::Topic | Self::Length => &[GuardStage::Input, GuardStage::Output],
            Self::Injection => &[GuardStage::Input],
            Self::Leak | Self::Schema => &[GuardStage::Output],
        }
    }

    fn default_action(self) -> Action {
        match self {
            Self::Pii | Self::Secrets => Action::Mask,
            Self::Injection | Self::Leak | Self::Topic | Self::Length | Self::Schema => Action::Block,
        }
    }

    fn can_mask(self) -> bool {
        matches!(self, Self::Pii | Self::Secrets)
    }
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// What the client sends.
    Input,
    /// What is sent back.
    Output,
    /// Either.
    Both,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The place is covered.
    Mask,
    /// The request, or the rest of the answer, is refused.
    Block,
    /// It is written into the trace.
    Flag,
}

impl From<Action> for GuardAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Mask => Self::Mask,
            Action::Block => Self::Block,
            Action::Flag => Self::Flag,
        }
    }
}

/// What happens if a rule cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// As if it had found something.
    #[default]
    Closed,
    /// As if it had found nothing.
    Open,
}

impl RuleSettings {
    /// A rule with its defaults.
    pub fn new(rule: RuleKind) -> Self {
        Self {
            rule,
            on: None,
            action: None,
            on_error: OnError::default(),
            kinds: Vec::new(),
            deny: Vec::new(),
            allow: Vec::new(),
            regex: false,
            min_chars: None,
            max_chars: None,
            schema: None,
        }
    }

    /// What it looks at.
    pub fn stages(&self) -> Vec<GuardStage> {
        let wanted = |stage: &GuardStage| match self.on {
            None | Some(On::Both) => true,
            Some(On::Input) => *stage == GuardStage::Input,
            Some(On::Output) => *stage == GuardStage::Output,
        };
        self.rule.stages().iter().copied().filter(wanted).collect()
    }

    /// What is done about what it finds.
    pub fn action(&self) -> Action {
        self.action.unwrap_or(self.rule.default_action())
    }

    /// What is wrong with it, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let name = self.rule.as_str();
        let rule = |holds: bool, says: &str| if holds { Ok(()) } else { Err(format!("rule `{name}`: {says}")) };
        let only = |is_given: bool, kind: RuleKind, key: &str| {
            rule(!is_given || self.rule == kind, &format!("`{key}` belongs to the rule `{}`", kind.as_str()))
        };
        only(!self.kinds.is_empty(), RuleKind::Pii, "kinds")?;
        only(!self.deny.is_empty() || !self.allow.is_empty() || self.regex, RuleKind::Topic, "deny, allow, regex")?;
        only(self.min_chars.is_some() || self.max_chars.is_some(), RuleKind::Length, "min_chars, max_chars")?;
        only(self.schema.is_some(), RuleKind::Schema, "schema")?;
        rule(!self.stages().is_empty(), "it does not look at what `on` says")?;
        rule(self.action() != Action::Mask || self.rule.can_mask(), "it cannot mask; `action` is block or flag")?;
        match self.rule {
            RuleKind::Topic => rule(!self.deny.is_empty() || !self.allow.is_empty(), "name words in `deny` or `allow`"),
            RuleKind::Length => {
                let (min, max) = (self.min_chars.unwrap_or(0), self.max_chars.unwrap_or(usize::MAX));
                rule(self.min_chars.is_some() || self.max_chars.is_some(), "say `min_chars` or `max_chars`")?;
                rule(min <= max, "`min_chars` is above `max_chars`")
            }
            RuleKind::Schema => rule(self.schema.is_some(), "it needs a `schema`"),
            RuleKind::Pii | RuleKind::Secrets | RuleKind::Injection | RuleKind::Leak => Ok(()),
        }
    }
}
