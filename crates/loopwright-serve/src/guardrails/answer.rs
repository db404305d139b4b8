//! Looking at an answer while it is being given.

use super::{
    Checked, rank,
    rule::{Question, Rule, Said},
    settings::{Action, RuleKind},
};
use crate::event::{Event, FinishReason};
use loopwright_guard::{LeakDetector, PiiKind, RedactPolicy, StreamRedactor};
use loopwright_types::trace::{GuardAction, GuardStage, GuardVerdict};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Bytes of an answer that are held back while it is being given: a finding no longer than this has not left yet.
pub const HELD_BYTES: usize = 256;
/// So many new bytes are looked at together.
const LOOK_BYTES: usize = 64;
/// Bytes that were sent and are looked at again with what follows.
const CONTEXT_BYTES: usize = 512;

/// Looks at an answer, event by event.
pub struct AnswerGuard {
    rules: Arc<Vec<Rule>>,
    leak: LeakDetector,
    flows: BTreeMap<Flow, FlowGuard>,
    verdicts: BTreeMap<usize, GuardVerdict>,
    /// How often a verdict has changed.
    revision: u64,
    /// Choices that were ended.
    blocked: BTreeMap<u32, String>,
}

/// One text of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flow {
    Text(u32),
    Reasoning(u32),
    Arguments(u32, u32),
}

impl Flow {
    fn choice(self) -> u32 {
        match self {
            Self::Text(choice) | Self::Reasoning(choice) | Self::Arguments(choice, _) => choice,
        }
    }

    fn event(self, text: String) -> Event {
        match self {
            Self::Text(choice) => Event::Text { choice, text, logprobs: Vec::new() },
            Self::Reasoning(choice) => Event::Reasoning { choice, text },
            Self::Arguments(choice, index) => Event::ToolCall { choice, index, id: None, name: None, arguments: text },
        }
    }
}

struct FlowGuard {
    /// What was sent of it lately, and what is held.
    tail: String,
    /// Where in `tail` that begins which is held.
    held_from: usize,
    /// So much of `tail` was looked at.
    n_looked: usize,
    /// The whole text so far, where a rule must see it.
    whole: Option<String>,
    n_chars: usize,
    masking: Option<StreamRedactor>,
}

impl AnswerGuard {
    pub(super) fn new(rules: Arc<Vec<Rule>>, leak: LeakDetector) -> Self {
        let pass = |(index, rule): (usize, &Rule)| (index, rule.verdict(GuardStage::Output, &Said::Pass));
        let looking = rules.iter().enumerate().filter(|(_, rule)| rule.looks_at(GuardStage::Output));
        let verdicts = looking.map(pass).collect();
        Self { rules, leak, flows: BTreeMap::new(), verdicts, revision: 0, blocked: BTreeMap::new() }
    }

    /// Takes the next event of the answer, and returns what may be sent now.
    ///
    /// Log-probabilities are left out: they would show what is masked. The events of a choice that was ended are
    /// swallowed; `Usage` is always passed on.
    pub fn take(&mut self, event: Event) -> Vec<Event> {
        match event {
            Event::Text { choice, text, .. } => self.push(Flow::Text(choice), &text).into_iter().collect(),
            Event::Reasoning { choice, text } => self.push(Flow::Reasoning(choice), &text).into_iter().collect(),
            Event::ToolCall { choice, index, id, name, arguments } => {
                if self.blocked.contains_key(&choice) {
                    return Vec::new();
                }
                let head = id.is_some() || name.is_some();
                let head = head.then(|| Event::ToolCall { choice, index, id, name, arguments: String::new() });
                let more = self.push(Flow::Arguments(choice, index), &arguments);
                head.into_iter().chain(more).collect()
            }
            Event::Finish { choice, reason } => self.finish(choice, reason),
            Event::Usage(used) => vec![Event::Usage(used)],
        }
    }

    /// Changes whenever [`AnswerGuard::checked`] does.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What the rules said of the answer so far.
    pub fn checked(&self) -> Checked {
        let blocked = self.blocked.values().next().cloned();
        Checked { verdicts: self.verdicts.values().cloned().collect(), blocked }
    }

    fn push(&mut self, flow: Flow, text: &str) -> Option<Event> {
        if self.blocked.contains_key(&flow.choice()) {
            return None;
        }
        let state = self.flows.entry(flow).or_insert_with(|| FlowGuard::new(&self.rules));
        state.tail.push_str(text);
        state.n_chars += text.chars().count();
        if let Some(whole) = &mut state.whole {
            whole.push_str(text);
        }
        let n_new = state.tail.len() - state.n_looked;
        let held_back = held_back(&self.rules, flow);
        if n_new < LOOK_BYTES && held_back > 0 {
            return None;
        }
        self.look(flow, false);
        if let Some(finish) = self.ended(flow.choice()) {
            return Some(finish);
        }
        let free = self.flows.get_mut(&flow)?.release(held_back);
        self.sent(flow, free)
    }

    /// Asks every rule about what is new.
    fn look(&mut self, flow: Flow, is_whole: bool) {
        let Some(state) = self.flows.get_mut(&flow) else { return };
        state.n_looked = state.tail.len();
        for (index, rule) in self.rules.iter().enumerate() {
            let is_asked = rule.looks_at(GuardStage::Output) && (is_whole || !rule.needs_whole());
            if !is_asked || !concerns(rule, flow) || rule.masks().is_some() {
                continue;
            }
            let text = match (&state.whole, is_whole) {
                (Some(whole), true) => whole.as_str(),
                _ => state.tail.as_str(),
            };
            let said = match rule.kind {
                // The whole may be longer than what is looked at again.
                RuleKind::Length => rule.ask_length(state.n_chars, is_whole),
                _ => rule.ask(&Question { text, is_whole, leak: &self.leak }),
            };
            let is_new = note(&mut self.verdicts, &mut self.blocked, flow.choice(), (index, rule), &said);
            self.revision += u64::from(is_new);
        }
    }

    /// The end of a choice that a rule has refused, once.
    fn ended(&mut self, choice: u32) -> Option<Event> {
        self.blocked.contains_key(&choice).then(|| {
            self.flows.retain(|flow, _| flow.choice() != choice);
            Event::Finish { choice, reason: FinishReason::ContentFilter }
        })
    }

    /// Masks what is free to go.
    fn sent(&mut self, flow: Flow, free: String) -> Option<Event> {
        let masking = self.flows.get_mut(&flow)?.masking.as_mut();
        let (text, found) = match masking {
            Some(masking) => (masking.push(&free), masking.found().clone()),
            None => (free, BTreeSet::new()),
        };
        self.note_masks(&found);
        (!text.is_empty()).then(|| flow.event(text))
    }

    fn finish(&mut self, choice: u32, reason: FinishReason) -> Vec<Event> {
        if self.blocked.contains_key(&choice) {
            return Vec::new();
        }
        // A choice without any text is looked at as well: an empty answer keeps to no schema.
        self.flows.entry(Flow::Text(choice)).or_insert_with(|| FlowGuard::new(&self.rules));
        let flows: Vec<Flow> = self.flows.keys().copied().filter(|flow| flow.choice() == choice).collect();
        for flow in &flows {
            // A choice that calls tools says what it has to say in their arguments.
            let is_aside = reason == FinishReason::ToolCalls && matches!(flow, Flow::Text(_));
            self.look(*flow, !is_aside);
        }
        if let Some(finish) = self.ended(choice) {
            return vec![finish];
        }
        let mut events = Vec::new();
        for flow in flows {
            let Some(mut state) = self.flows.remove(&flow) else { continue };
            let rest = state.release(0);
            let text = match state.masking.take() {
                Some(mut masking) => {
                    let mut text = masking.push(&rest);
                    let (last, found) = masking.finish();
                    self.note_masks(&found);
                    text.push_str(&last);
                    text
                }
                None => rest,
            };
            events.extend((!text.is_empty()).then(|| flow.event(text)));
        }
        events.push(Event::Finish { choice, reason });
        events
    }

    /// Says which kinds were masked.
    fn note_masks(&mut self, found: &BTreeSet<PiiKind>) {
        if found.is_empty() {
            return;
        }
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.looks_at(GuardStage::Output)) {
            let Some(policy) = rule.masks() else { continue };
            let kinds: Vec<String> = found.intersection(&policy.kinds).map(|kind| kind.as_str().to_string()).collect();
            if !kinds.is_empty() {
                let verdict = rule.verdict(GuardStage::Output, &Said::Hit(kinds));
                let before = self.verdicts.insert(index, verdict.clone());
                self.revision += u64::from(before.as_ref() != Some(&verdict));
            }
        }
    }
}

/// Writes down what a rule said, if it is worse than what it said before, and ends the choice if it is to be. True if it is news.
fn note(
    verdicts: &mut BTreeMap<usize, GuardVerdict>,
    blocked: &mut BTreeMap<u32, String>,
    choice: u32,
    (index, rule): (usize, &Rule),
    said: &Said,
) -> bool {
    let verdict = rule.verdict(GuardStage::Output, said);
    if verdict.done == GuardAction::Block {
        blocked.entry(choice).or_insert_with(|| verdict.rule.clone());
    }
    match verdicts.get(&index) {
        Some(before) if rank(before) >= rank(&verdict) => false,
        _ => {
            verdicts.insert(index, verdict);
            true
        }
    }
}

/// Is this rule asked about this text? A form and a length are asked of the answer itself only.
fn concerns(rule: &Rule, flow: Flow) -> bool {
    match rule.kind {
        RuleKind::Schema | RuleKind::Length => matches!(flow, Flow::Text(_)),
        RuleKind::Pii | RuleKind::Secrets | RuleKind::Injection | RuleKind::Leak | RuleKind::Topic => true,
    }
}

/// How much of this text waits for the rules' word. One that masks holds back by itself, one that flags need not, and an
/// answer that is too long is cut where it is.
fn held_back(rules: &[Rule], flow: Flow) -> usize {
    let blocks =
        |rule: &&Rule| rule.looks_at(GuardStage::Output) && rule.action == Action::Block && concerns(rule, flow);
    let bytes = |rule: &Rule| match rule.kind {
        _ if rule.needs_whole() => usize::MAX,
        RuleKind::Length => 0,
        _ => HELD_BYTES,
    };
    rules.iter().filter(blocks).map(bytes).max().unwrap_or(0)
}

impl FlowGuard {
    fn new(rules: &[Rule]) -> Self {
        let looking = || rules.iter().filter(|rule| rule.looks_at(GuardStage::Output));
        let masked: BTreeSet<PiiKind> = looking().filter_map(Rule::masks).flat_map(|it| it.kinds.clone()).collect();
        let masking = (!masked.is_empty()).then(|| StreamRedactor::new(&RedactPolicy { kinds: masked }, &[]));
        let whole = looking().any(Rule::needs_whole).then(String::new);
        Self { tail: String::new(), held_from: 0, n_looked: 0, whole, n_chars: 0, masking }
    }

    /// What is held no longer once only this much is held back.
    fn release(&mut self, held_back: usize) -> String {
        let to = self.tail.floor_char_boundary(self.tail.len().saturating_sub(held_back)).max(self.held_from);
        let free = self.tail[self.held_from..to].to_string();
        let cut = self.tail.floor_char_boundary(to.saturating_sub(CONTEXT_BYTES));
        self.tail.drain(..cut);
        self.held_from = to - cut;
        self.n_looked = self.n_looked.saturating_sub(cut);
        free
    }
}
