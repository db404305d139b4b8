//! Answers that were given before.
//!
//! An answer is found again by the digest of everything that could change it: the request as it is asked (whoever asks,
//! and whether as a stream, aside), the route, the model version, and the scope: a key, an owner, or the whole route. By
//! default no key gets what another one was answered. Beside it, a question may be found by its meaning: the cosine of
//! two embeddings, among questions that are the same in everything but their words.
//!
//! Only whole answers are kept: none that failed, was cut off, or was refused. What is kept is bounded in entries, bytes and
//! time; what was used longest ago goes first. Nothing of it outlives the process.

use crate::{
    Gathered,
    ask::{Ask, Format, Message, Prompt, Role},
    event::{Event, FinishReason},
};
use loopwright_types::{Digest, Timestamp, id::SubjectId, key::ApiKey, model::ModelRef};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A route's cache, as it is written. Off by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSettings {
    /// What is looked for.
    pub mode: CacheMode,
    /// Who shares answers.
    pub scope: CacheScope,
    /// How long an answer is good, in seconds.
    pub ttl_s: u64,
    /// Answers kept, at most.
    pub entries_max: usize,
    /// Bytes of answers kept, at most.
    pub bytes_max: usize,
    /// The model version that embeds questions, for `semantic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed: Option<ModelRef>,
    /// From which cosine on two questions mean the same.
    pub threshold: f32,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// Nothing.
    #[default]
    Off,
    /// The same request.
    Exact,
    /// The same request, or one whose question means the same.
    Semantic,
}

/// Who shares answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheScope {
    /// Nobody: each key has its own.
    #[default]
    Key,
    /// The keys of one owner.
    Owner,
    /// All keys that may ask the route.
    Route,
}

impl Default for CacheSettings {
    /// Off; else an hour, 1,000 answers, 16 MiB, and a cosine of 0.95.
    fn default() -> Self {
        Self {
            mode: CacheMode::default(),
            scope: CacheScope::default(),
            ttl_s: 3600,
            entries_max: 1000,
            bytes_max: 16 << 20,
            embed: None,
            threshold: 0.95,
        }
    }
}

impl CacheSettings {
    /// What is wrong with them, in words.
    pub fn check(&self) -> Result<(), String> {
        let rule = |holds: bool, says: &str| if holds { Ok(()) } else { Err(says.to_string()) };
        rule(
            self.ttl_s > 0 && self.entries_max > 0 && self.bytes_max > 0,
            "ttl_s, entries_max, bytes_max are above 0",
        )?;
        rule((0.0..=1.0).contains(&self.threshold), "threshold must be between 0 and 1")?;
        let is_semantic = self.mode == CacheMode::Semantic;
        rule(
            is_semantic == self.embed.is_some(),
            "embed belongs to mode = \"semantic\", which needs it: a model version such as `e5@1`",
        )
    }

    /// Whose answers this key shares.
    fn scope_of<'a>(&self, key: &'a ApiKey) -> &'a str {
        match self.scope {
            CacheScope::Key => key.id.as_str(),
            CacheScope::Owner => &key.owner,
            CacheScope::Route => "",
        }
    }
}

/// What a request is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheKey {
    exact: Digest,
    /// The same for questions that differ in their words only; none for what only an exact answer is good for.
    pub group: Option<Digest>,
    /// The question, where there is a group.
    pub question: String,
    subject: Option<SubjectId>,
}

impl CacheKey {
    /// What this request is found by; none if its answer is not to be kept, because chance has a part in it.
    pub fn of(
        settings: &CacheSettings,
        key: &ApiKey,
        ask: &Ask,
        (route, model): (&str, &ModelRef),
        subject: Option<SubjectId>,
    ) -> Option<Self> {
        let is_settled = ask.sampling.temperature.is_none_or(|it| it == 0.0) || ask.sampling.seed.is_some();
        if settings.mode == CacheMode::Off || !is_settled {
            return None;
        }
        let mut plain = Ask { route: route.into(), user: None, session: None, tag: None, stream: false, ..ask.clone() };
        let scope = [settings.scope.as_str(), settings.scope_of(key)];
        let digest = |kind: &str, ask: &Ask| {
            let json = serde_json::to_vec(ask).expect("requests have text keys only");
            let model = model.to_string();
            Digest::of_parts([kind.as_bytes(), scope[0].as_bytes(), scope[1].as_bytes(), model.as_bytes(), &json])
        };
        let exact = digest("exact", &plain);
        let question = match settings.mode {
            CacheMode::Semantic => take_question(&mut plain),
            CacheMode::Exact | CacheMode::Off => None,
        };
        let group = question.is_some().then(|| digest("group", &plain));
        Some(Self { exact, group, question: question.unwrap_or_default(), subject })
    }
}

impl CacheScope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Owner => "owner",
            Self::Route => "route",
        }
    }
}

/// The words of a single plain question, taken out of the request; none if there is more to it.
fn take_question(ask: &mut Ask) -> Option<String> {
    let is_plain = ask.tools.is_empty() && ask.format == Format::Text && ask.n == 1 && ask.logprobs.is_none();
    let Prompt::Chat(messages) = &mut ask.prompt else { return None };
    let (last, before) = messages.split_last_mut()?;
    let is_single = last.role == Role::User && before.iter().all(|message| message.role == Role::System);
    let is_text = last.parts.iter().all(|part| part.text().is_some());
    if !is_plain || !is_single || !is_text {
        return None;
    }
    let question = last.text();
    *last = Message::text_of(Role::User, "");
    Some(question)
}

/// The answers that were given before. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct AnswerCache(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Digest, Entry>,
    /// When each was last used, oldest first.
    by_use: BTreeMap<u64, Digest>,
    n_uses: u64,
    n_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<Gathered>,
    until: Timestamp,
    used: u64,
    n_bytes: usize,
    group: Option<(Digest, Vec<f32>)>,
    subject: Option<SubjectId>,
}

impl AnswerCache {
    /// The answer to the same request, if there is one.
    pub fn get(&self, key: &CacheKey, now: Timestamp) -> Option<Arc<Gathered>> {
        let mut entries = self.lock();
        entries.use_again(&key.exact, now)
    }

    /// The answer to the question of the same group that is nearest in meaning, if it is near enough.
    pub fn nearest(&self, key: &CacheKey, vector: &[f32], threshold: f32, now: Timestamp) -> Option<Arc<Gathered>> {
        let group = key.group.as_ref()?;
        let mut entries = self.lock();
        let near = entries.by_key.iter().filter_map(|(digest, entry)| {
            let (its_group, its_vector) = entry.group.as_ref()?;
            (its_group == group && entry.until > now).then(|| (cosine(vector, its_vector), digest))
        });
        let (nearness, digest) = near.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)))?;
        let digest = digest.clone();
        if nearness >= threshold { entries.use_again(&digest, now) } else { None }
    }

    /// Keeps an answer, if it is a whole one. `vector` is its question's embedding, where there is one.
    pub fn put(
        &self,
        settings: &CacheSettings,
        key: CacheKey,
        answer: Gathered,
        vector: Option<Vec<f32>>,
        now: Timestamp,
    ) {
        let n_bytes = n_bytes(&answer) + vector.as_ref().map_or(0, |vector| vector.len() * 4);
        if !is_whole(&answer) || n_bytes > settings.bytes_max {
            return;
        }
        let ttl_ms = i64::try_from(settings.ttl_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        let group = key.group.zip(vector);
        let mut entries = self.lock();
        entries.remove(&key.exact);
        entries.n_uses += 1;
        let used = entries.n_uses;
        entries.n_bytes += n_bytes;
        entries.by_use.insert(used, key.exact.clone());
        let entry =
            Entry { answer: Arc::new(answer), until: now.plus_ms(ttl_ms), used, n_bytes, group, subject: key.subject };
        entries.by_key.insert(key.exact, entry);
        while entries.by_key.len() > settings.entries_max || entries.n_bytes > settings.bytes_max {
            let Some(oldest) = entries.by_use.values().next().cloned() else { break };
            entries.remove(&oldest);
        }
    }

    /// Forgets what was answered to a person; returns how many answers that were.
    pub fn forget(&self, subject: &SubjectId) -> usize {
        let mut entries = self.lock();
        let of_them =
            |(digest, entry): (&Digest, &Entry)| (entry.subject.as_ref() == Some(subject)).then(|| digest.clone());
        let found: Vec<Digest> = entries.by_key.iter().filter_map(of_them).collect();
        found.iter().for_each(|digest| entries.remove(digest));
        found.len()
    }

    /// Answers and bytes kept.
    pub fn size(&self) -> (usize, usize) {
        let entries = self.lock();
        (entries.by_key.len(), entries.n_bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // No step between two of its fields can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn use_again(&mut self, digest: &Digest, now: Timestamp) -> Option<Arc<Gathered>> {
        if self.by_key.get(digest)?.until <= now {
            self.remove(digest);
            return None;
        }
        self.n_uses += 1;
        let entry = self.by_key.get_mut(digest)?;
        self.by_use.remove(&entry.used);
        entry.used = self.n_uses;
        self.by_use.insert(entry.used, digest.clone());
        Some(entry.answer.clone())
    }

    fn remove(&mut self, digest: &Digest) {
        if let Some(entry) = self.by_key.remove(digest) {
            self.by_use.remove(&entry.used);
            self.n_bytes -= entry.n_bytes;
        }
    }
}

/// Did every choice end by itself?
fn is_whole(answer: &Gathered) -> bool {
    !answer.choices.is_empty() && answer.choices.iter().all(|choice| choice.finish.is_some_and(FinishReason::is_whole))
}

/// About what an answer takes.
fn n_bytes(answer: &Gathered) -> usize {
    let one = |choice: &crate::GatheredChoice| {
        let calls = choice.tool_calls.iter().map(|call| call.id.len() + call.name.len() + call.arguments.len() + 96);
        let logprobs = choice.logprobs.iter().map(|it| 128 + it.top.len() * 128);
        choice.text.len() + choice.reasoning.len() + calls.sum::<usize>() + logprobs.sum::<usize>() + 128
    };
    answer.choices.iter().map(one).sum::<usize>() + 256
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let (mut product, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        product += x * y;
        of_a += x * x;
        of_b += y * y;
    }
    if of_a == 0.0 || of_b == 0.0 || a.len() != b.len() { 0.0 } else { product / (of_a * of_b).sqrt() }
}

/// Characters in an event of an answer that is given again.
const PIECE_CHARS: usize = 64;

/// The events of an answer that is given again, as they may have come the first time.
pub fn events_of(answer: &Gathered) -> Vec<Event> {
    let mut events = Vec::new();
    for (choice, it) in (0..).zip(&answer.choices) {
        if !it.reasoning.is_empty() {
            events.push(Event::Reasoning { choice, text: it.reasoning.clone() });
        }
        if it.logprobs.is_empty() {
            let chars: Vec<char> = it.text.chars().collect();
            let piece = |piece: &[char]| Event::Text { choice, text: piece.iter().collect(), logprobs: Vec::new() };
            events.extend(chars.chunks(PIECE_CHARS).map(piece));
        } else {
            events.push(Event::Text { choice, text: it.text.clone(), logprobs: it.logprobs.clone() });
        }
        for (index, call) in (0..).zip(&it.tool_calls) {
            let (id, name) = (Some(call.id.clone()), Some(call.name.clone()));
            events.push(Event::ToolCall { choice, index, id, name, arguments: call.arguments.clone() });
        }
        events.push(Event::Finish { choice, reason: it.reason() });
    }
    events.push(Event::Usage(answer.used));
    events
}

#[cfg(test)]
mod tests;
