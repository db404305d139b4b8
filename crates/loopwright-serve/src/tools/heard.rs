//! Hearing calls in what a model writes. Text goes on at once, except what may yet become the beginning of a call; so no
//! client sees half a marker.

use super::{
    BEGINS, CallFormat, ENDS, LIST,
    scan::{CallScan, Found, Standing},
};
use crate::{
    ask::Tool,
    engine::overlap,
    event::{Event, Events, FinishReason},
};
use futures::{StreamExt, stream};
use loopwright_types::Digest;
use std::collections::{BTreeMap, VecDeque};

/// The same events, with calls in the place of the text that makes them. Calls get ids that follow from `id`.
pub fn hear(events: Events, format: CallFormat, tools: &[Tool], parallel: bool, id: &str) -> Events {
    let names = tools.iter().map(|tool| tool.name.clone()).collect();
    let hearing = Hearing {
        events,
        format,
        names,
        parallel,
        id: id.to_owned(),
        choices: BTreeMap::new(),
        ready: VecDeque::new(),
    };
    Box::pin(stream::unfold(hearing, async |mut hearing| {
        loop {
            if let Some(event) = hearing.ready.pop_front() {
                return Some((Ok(event), hearing));
            }
            match hearing.events.next().await? {
                Ok(event) => hearing.take(event),
                Err(error) => return Some((Err(error), hearing)),
            }
        }
    }))
}

struct Hearing {
    events: Events,
    format: CallFormat,
    names: Vec<String>,
    parallel: bool,
    id: String,
    choices: BTreeMap<u32, Ear>,
    ready: VecDeque<Event>,
}

impl Hearing {
    fn take(&mut self, event: Event) {
        match event {
            Event::Text { choice, text, logprobs } => {
                self.ear(choice).push(&text);
                self.pass_on(choice);
                if !logprobs.is_empty() {
                    self.ready.push_back(Event::Text { choice, text: String::new(), logprobs });
                }
            }
            Event::Finish { choice, reason } => {
                self.ear(choice).finish();
                self.pass_on(choice);
                let calls = self.ear(choice).n_calls > 0 && reason.is_whole();
                let reason = if calls { FinishReason::ToolCalls } else { reason };
                self.ready.push_back(Event::Finish { choice, reason });
            }
            other => self.ready.push_back(other),
        }
    }

    fn ear(&mut self, choice: u32) -> &mut Ear {
        let (format, names, parallel) = (self.format, &self.names, self.parallel);
        self.choices.entry(choice).or_insert_with(|| Ear::new(format, names.clone(), parallel))
    }

    fn pass_on(&mut self, choice: u32) {
        for heard in std::mem::take(&mut self.ear(choice).heard) {
            let event = match heard {
                Heard::Text(text) => Event::Text { choice, text, logprobs: Vec::new() },
                Heard::Begin { index, name } => Event::ToolCall {
                    choice,
                    index,
                    id: Some(call_id(&self.id, choice, index)),
                    name: Some(name),
                    arguments: String::new(),
                },
                Heard::Arguments { index, text } => {
                    Event::ToolCall { choice, index, id: None, name: None, arguments: text }
                }
            };
            self.ready.push_back(event);
        }
    }
}

/// The id of a call: the same answer gives the same.
fn call_id(id: &str, choice: u32, index: u32) -> String {
    let digest = Digest::of_parts([id.as_bytes(), &choice.to_le_bytes(), &index.to_le_bytes()]);
    format!("call_{}", &digest.hex()[..24])
}

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Text(String),
    Begin { index: u32, name: String },
    Arguments { index: u32, text: String },
}

#[derive(Debug)]
enum Place {
    /// Nothing but blanks came yet.
    Start,
    /// In plain text.
    Text,
    /// In a call; with its text so far, should it turn out to be none.
    Call(Box<CallScan>, String),
    /// Behind a call.
    After,
}

/// Listens to one choice.
#[derive(Debug)]
struct Ear {
    format: CallFormat,
    names: Vec<String>,
    parallel: bool,
    place: Place,
    held: String,
    /// Blanks behind a call are no text.
    skips_blanks: bool,
    n_calls: u32,
    heard: Vec<Heard>,
}

impl Ear {
    fn new(format: CallFormat, names: Vec<String>, parallel: bool) -> Self {
        Self {
            format,
            names,
            parallel,
            place: Place::Start,
            held: String::new(),
            skips_blanks: false,
            n_calls: 0,
            heard: Vec::new(),
        }
    }

    fn push(&mut self, text: &str) {
        self.held.push_str(text);
        while self.step() {}
    }

    /// Nothing more comes.
    fn finish(&mut self) {
        while self.step() {}
        if let Place::Call(scan, raw) = &mut self.place {
            let raw = std::mem::take(raw);
            match scan.has_begun() {
                true => self.n_calls += 1,
                false => self.say(raw),
            }
        }
        let rest = std::mem::take(&mut self.held);
        match self.n_calls {
            0 => self.say(rest),
            _ => self.say(rest.trim_end().to_owned()),
        }
    }

    /// Takes one step through what is held; false once more must come.
    fn step(&mut self) -> bool {
        match self.place {
            Place::Start => self.start(),
            Place::Text => self.text(),
            Place::Call(..) => self.call(),
            Place::After => self.after(),
        }
    }

    fn start(&mut self) -> bool {
        let begun = self.held.trim_start();
        let is_call = match (self.format, begun.chars().next()) {
            (_, None) => return false,
            (CallFormat::Hermes, _) => false,
            (CallFormat::Llama, Some(first)) => first == '{',
            // Held by a grammar, the list comes without its marker, which is a special token. Otherwise text that begins
            // with a bracket may be a list, or the marker.
            (CallFormat::Mistral, _) if LIST.starts_with(begun) => return false,
            (CallFormat::Mistral, Some(first)) => first == '[' && begun[1..].trim_start().starts_with('{'),
        };
        self.place = match (is_call, self.format) {
            (true, CallFormat::Mistral) => Place::After,
            (true, _) => Place::Call(Box::new(CallScan::new()), String::new()),
            (false, _) => Place::Text,
        };
        if is_call {
            self.held = begun.strip_prefix('[').unwrap_or(begun).to_owned();
        }
        true
    }

    fn text(&mut self) -> bool {
        if self.skips_blanks {
            self.held = self.held.trim_start().to_owned();
            self.skips_blanks = self.held.is_empty();
        }
        let marker = match self.format {
            CallFormat::Hermes => BEGINS,
            CallFormat::Mistral => LIST,
            CallFormat::Llama => {
                let all = std::mem::take(&mut self.held);
                self.say(all);
                return false;
            }
        };
        if let Some(at) = self.held.find(marker) {
            let before = self.held[..at].trim_end().to_owned();
            self.held.drain(..at + marker.len());
            self.say(before);
            self.place = match self.format {
                CallFormat::Mistral => Place::After,
                _ => Place::Call(Box::new(CallScan::new()), marker.to_owned()),
            };
            return true;
        }
        // Blanks before a call are no text; whether one comes is not known yet.
        let open = self.held.len() - overlap(&self.held, marker);
        let open = self.held[..open].trim_end().len();
        let text: String = self.held.drain(..open).collect();
        self.say(text);
        false
    }

    fn call(&mut self) -> bool {
        let Place::Call(scan, raw) = &mut self.place else { return false };
        let (mut found, mut n_read, mut standing) = (Vec::new(), 0, Standing::Open);
        for c in self.held.chars() {
            n_read += c.len_utf8();
            raw.push(c);
            standing = scan.push(c, &mut found);
            let is_known = |found: &Found| match found {
                Found::Name(name) => self.format != CallFormat::Llama || self.names.contains(name),
                Found::Arguments(_) => true,
            };
            if !found.iter().all(is_known) {
                (found, standing) = (Vec::new(), Standing::Broken);
            }
            if standing != Standing::Open {
                break;
            }
        }
        self.held.drain(..n_read);
        let (raw, has_begun) = (std::mem::take(raw), scan.has_begun());
        self.note(found);
        match standing {
            Standing::Open => {
                if let Place::Call(_, kept) = &mut self.place {
                    *kept = raw;
                }
                false
            }
            Standing::Done => {
                self.n_calls += 1;
                self.place = Place::After;
                true
            }
            Standing::Broken => {
                // A call that has been told of stands, however it ends; anything else was text.
                match has_begun && self.format != CallFormat::Llama {
                    true => self.n_calls += 1,
                    false => self.say(raw),
                }
                self.place = Place::Text;
                true
            }
        }
    }

    fn after(&mut self) -> bool {
        let rest = self.held.trim_start();
        let (next, place) = match self.format {
            CallFormat::Hermes => match rest.strip_prefix(ENDS) {
                Some(rest) => (rest, Some(Place::Text)),
                None if ENDS.starts_with(rest) => (rest, None),
                None => (rest, Some(Place::Text)),
            },
            CallFormat::Llama | CallFormat::Mistral => {
                let rest = rest.trim_start_matches(|c: char| matches!(c, ';' | ',' | '[') || c.is_whitespace());
                match rest.chars().next() {
                    None => (rest, None),
                    Some('{') => (rest, Some(Place::Call(Box::new(CallScan::new()), String::new()))),
                    Some(_) => (rest.strip_prefix(']').unwrap_or(rest), Some(Place::Text)),
                }
            }
        };
        self.held = next.to_owned();
        match place {
            None => false,
            Some(place) => {
                self.skips_blanks = true;
                self.place = place;
                true
            }
        }
    }

    fn note(&mut self, found: Vec<Found>) {
        if self.n_calls > 0 && !self.parallel {
            return;
        }
        let index = self.n_calls;
        for found in found {
            match (found, self.heard.last_mut()) {
                (Found::Name(name), _) => self.heard.push(Heard::Begin { index, name }),
                (Found::Arguments(more), Some(Heard::Arguments { text, .. })) => text.push_str(&more),
                (Found::Arguments(text), _) => self.heard.push(Heard::Arguments { index, text }),
            }
        }
    }

    fn say(&mut self, text: String) {
        if !text.is_empty() {
            self.heard.push(Heard::Text(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Result,
        gathered::{Gathered, GatheredChoice},
    };
    use proptest::prelude::*;

    fn tools() -> Vec<Tool> {
        ["f", "g"]
            .map(|name| Tool { name: name.into(), description: None, parameters: serde_json::json!({}), strict: false })
            .into()
    }

    /// What is heard of a text that comes in these pieces: the gathered answer, and every piece of plain text.
    fn heard(format: CallFormat, parallel: bool, pieces: &[&str]) -> (GatheredChoice, Vec<String>) {
        let text = |text: &&str| Ok(Event::Text { choice: 0, text: text.to_string(), logprobs: vec![] });
        let end = Ok(Event::Finish { choice: 0, reason: FinishReason::Stop });
        let events: Vec<Result<Event>> = pieces.iter().map(text).chain([end]).collect();
        let events = hear(Box::pin(stream::iter(events)), format, &tools(), parallel, "trace_1");
        let events: Vec<Event> = futures::executor::block_on(events.map(|event| event.unwrap()).collect());
        let mut whole = Gathered::default();
        events.iter().for_each(|event| whole.add(event));
        let texts = events.iter().filter_map(|event| match event {
            Event::Text { text, .. } => Some(text.clone()),
            _ => None,
        });
        let starts = events.iter().filter(|event| matches!(event, Event::ToolCall { id: Some(_), name: Some(_), .. }));
        let choice = whole.choices.remove(0);
        assert_eq!(starts.count(), choice.tool_calls.len(), "each call has one beginning");
        (choice, texts.collect())
    }

    fn check(format: CallFormat, text: &str, said: &str, calls: &[(&str, &str)]) {
        let characters: Vec<String> = text.chars().map(String::from).collect();
        let one_by_one: Vec<&str> = characters.iter().map(String::as_str).collect();
        for pieces in [&[text][..], &one_by_one] {
            let (choice, _) = heard(format, true, pieces);
            let found: Vec<(&str, &str)> =
                choice.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
            assert_eq!((choice.text.as_str(), found.as_slice()), (said, calls), "{format:?} {pieces:?}");
            let reason = if calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
            assert_eq!(choice.reason(), reason);
        }
    }

    #[test]
    fn hermes_calls_are_heard_and_text_around_them_kept() {
        let check = |text: &str, said: &str, calls: &[(&str, &str)]| check(CallFormat::Hermes, text, said, calls);
        check("just text <b> and {", "just text <b> and {", &[]);
        check("  indented\n", "  indented\n", &[]);
        check("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", "", &[("f", "{\"a\": 1}")]);
        check(
            "I look.\n<tool_call>{\"name\": \"f\"}</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>\n",
            "I look.",
            &[("f", "{}"), ("g", "{}")],
        );
        check("<tool_call>{\"name\": \"f\"}</tool_call> done", "done", &[("f", "{}")]);
        check("<tool_call>not JSON</tool_call>", "<tool_call>not JSON</tool_call>", &[]);
        check("ends with <tool_", "ends with <tool_", &[]);
        check("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": ", "", &[("f", "{\"a\": ")]);
    }

    #[test]
    fn llama_and_mistral_calls_are_heard() {
        let llama = |text: &str, said: &str, calls: &[(&str, &str)]| check(CallFormat::Llama, text, said, calls);
        llama("{\"name\": \"f\", \"parameters\": {\"a\": 1}}", "", &[("f", "{\"a\": 1}")]);
        llama("{\"name\": \"f\"}; {\"name\": \"g\"}", "", &[("f", "{}"), ("g", "{}")]);
        llama("{\"city\": \"Paris\"} is JSON", "{\"city\": \"Paris\"} is JSON", &[]);
        llama("{\"name\": \"unknown\", \"parameters\": {}}", "{\"name\": \"unknown\", \"parameters\": {}}", &[]);
        llama("text {\"name\": \"f\"}", "text {\"name\": \"f\"}", &[]);
        let mistral = |text: &str, said: &str, calls: &[(&str, &str)]| check(CallFormat::Mistral, text, said, calls);
        mistral(
            "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\"}]",
            "",
            &[("f", "{}"), ("g", "{}")],
        );
        mistral("[{\"name\": \"f\", \"arguments\": {\"a\": [1]}}]", "", &[("f", "{\"a\": [1]}")]);
        mistral("[1, 2]", "[1, 2]", &[]);
        mistral("plain", "plain", &[]);
    }

    #[test]
    fn one_call_is_heard_where_only_one_may_be() {
        let text = "<tool_call>{\"name\": \"f\"}</tool_call><tool_call>{\"name\": \"g\"}</tool_call>";
        let (choice, _) = heard(CallFormat::Hermes, false, &[text]);
        assert_eq!(choice.tool_calls.len(), 1);
        let ids =
            |format| heard(format, true, &[text]).0.tool_calls.into_iter().map(|call| call.id).collect::<Vec<_>>();
        let first = ids(CallFormat::Hermes);
        assert_eq!(first, ids(CallFormat::Hermes));
        assert!(first[0].starts_with("call_") && first[0] != first[1]);
    }

    proptest! {
        /// However an answer is cut into pieces, the same is heard, and no piece of text holds a part of a marker.
        #[test]
        fn pieces_do_not_matter(
            parts in proptest::collection::vec(
                proptest::sample::select(vec!["<tool_call>", "</tool_call>", "{\"name\": \"f\"", ", \"arguments\": {\"a\": \"}\"}", "}", "hi", " ", "\n", "<", "["]),
                0..12,
            ),
            cuts in proptest::collection::vec(0usize..200, 0..8),
        ) {
            let text: String = parts.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|edge| &text[edge[0]..edge[1]]).collect();
            for format in [CallFormat::Hermes, CallFormat::Llama, CallFormat::Mistral] {
                prop_assert_eq!(heard(format, true, &pieces).0, heard(format, true, &[&text]).0, "{:?}", pieces);
            }
        }
    }
}
