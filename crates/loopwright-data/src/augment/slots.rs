//! Values that change and leave the label as it is, swapped among the rows of a label.
//!
//! A slot is a place in a text with a value in it:
//!
//! | kind | value | its frame |
//! |---|---|---|
//! | number | digits, with `.` `,` `:` between them | the currency sign before and the word after: `£50`, `3 weeks` |
//! | quoted | words between `"…"`, `“…”` or backticks | the word before |
//! | name | capitalised words, not at the start of a sentence, that the set never writes in lower case | the word before: `in France` |
//! | listed | a value of a list that the user gives | the list |
//!
//! Values change places only within label, kind and frame: `in France` with `in Poland`, never with `on Monday`; `3 weeks`
//! with `2 weeks`, never with `3 cards`. A listed value may become any other of its list, which is the user's word that
//! they mean the same to the label. A label whose slot has one value only keeps it. With its values taken out a text is a
//! template ([`template`]); a swap is another filling of it. The value comes from another row, perhaps of another person,
//! so swap masked rows only, and let [`super::check`] look for personal data once more.

use super::{Parent, Synthetic, rng_of};
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};

/// The generator's name.
pub const GENERATOR: &str = "slots";

/// What kind of value a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotKind {
    /// A number.
    Number,
    /// Quoted words.
    Quoted,
    /// A name.
    Name,
    /// A value of the list with this name.
    Listed(String),
}

/// A slot of a text: byte positions of its value, and what stands around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The kind of its value.
    pub kind: SlotKind,
    /// First byte of the value.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// What must be the same for two values to change places.
    pub frame: String,
}

/// What the set says about slots: the user's lists, and which words it writes in lower case.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    lists: BTreeMap<String, Vec<String>>,
    lower_words: BTreeSet<String>,
    /// The values of each label, kind and frame.
    values: BTreeMap<(String, SlotKind, String), BTreeSet<String>>,
}

impl Slots {
    /// Learns the slots of a set. `lists` are the user's own, by name, e.g. `country` with its values.
    pub fn learn(rows: &[Parent<'_>], lists: &BTreeMap<String, Vec<String>>) -> Self {
        let words = rows.iter().flat_map(|row| row.text.split(|c: char| !c.is_alphanumeric()));
        let is_lower = |word: &&str| word.chars().next().is_some_and(char::is_lowercase);
        let lower_words = words.filter(is_lower).map(str::to_string).collect();
        let mut slots = Self { lists: lists.clone(), lower_words, values: BTreeMap::new() };
        for row in rows {
            for slot in slots.find(row.text) {
                let key = (row.label.to_string(), slot.kind, slot.frame);
                slots.values.entry(key).or_default().insert(row.text[slot.start..slot.end].to_string());
            }
        }
        slots
    }

    /// The slots of a text, in order, without overlaps: listed values first, the longest of them; then quoted words,
    /// numbers, names.
    pub fn find(&self, text: &str) -> Vec<Slot> {
        let mut found = self.listed(text);
        for more in [quoted(text), numbers(text), self.names(text)] {
            let is_free = |slot: &Slot| !found.iter().any(|it| slot.start < it.end && it.start < slot.end);
            let free: Vec<Slot> = more.into_iter().filter(is_free).collect();
            found.extend(free);
        }
        found.sort_by_key(|slot| slot.start);
        found
    }

    /// Up to `copies` fillings of each row, each different from the row and from each other. Slots that nothing else can
    /// stand in keep their value.
    pub fn swapped_rows(&self, rows: &[Parent<'_>], copies: usize, seed: u64) -> Vec<Synthetic> {
        rows.iter().flat_map(|row| self.swapped(row, copies, seed)).collect()
    }

    fn swapped(&self, row: &Parent<'_>, copies: usize, seed: u64) -> Vec<Synthetic> {
        let slots = self.find(row.text);
        let choices: Vec<Vec<&str>> = slots.iter().map(|slot| self.choices(row, slot)).collect();
        if choices.iter().all(Vec::is_empty) {
            return Vec::new();
        }
        let mut seen = BTreeSet::from([row.text.to_string()]);
        let fillings = (1..=copies).filter_map(|number| {
            let mut rng = rng_of(seed, row.row_id, number);
            let mut values: Vec<Option<&str>> = Vec::with_capacity(slots.len());
            for choices in &choices {
                values.push((!choices.is_empty()).then(|| choices[rng.random_range(0..choices.len())]));
            }
            let text = filled(row.text, &slots, &values);
            seen.insert(text.clone()).then(|| Synthetic::new(row, GENERATOR, number, text))
        });
        fillings.collect()
    }

    /// The other values that may stand in this slot.
    fn choices<'a>(&'a self, row: &Parent<'_>, slot: &Slot) -> Vec<&'a str> {
        let own = &row.text[slot.start..slot.end];
        let all: Vec<&str> = match &slot.kind {
            SlotKind::Listed(list) => self.lists[list].iter().map(String::as_str).collect(),
            kind => {
                let key = (row.label.to_string(), kind.clone(), slot.frame.clone());
                self.values.get(&key).into_iter().flatten().map(String::as_str).collect()
            }
        };
        all.into_iter().filter(|value| !value.eq_ignore_ascii_case(own)).collect()
    }

    fn listed(&self, text: &str) -> Vec<Slot> {
        let values = self.lists.iter().flat_map(|(list, values)| values.iter().map(move |value| (list, value)));
        let mut values: Vec<(&String, &String)> = values.filter(|(_, value)| !value.is_empty()).collect();
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let mut found: Vec<Slot> = Vec::new();
        // ASCII case only, so that positions stay those of the text.
        let lower = text.to_ascii_lowercase();
        for (list, value) in values {
            for (start, _) in lower.match_indices(&value.to_ascii_lowercase()) {
                let end = start + value.len();
                let is_free = !found.iter().any(|it| start < it.end && it.start < end);
                if is_free && stands_alone(text, start, end) {
                    found.push(Slot { kind: SlotKind::Listed(list.clone()), start, end, frame: list.clone() });
                }
            }
        }
        found
    }

    /// Capitalised words after another word, joined while the next is capitalised too.
    fn names(&self, text: &str) -> Vec<Slot> {
        let words: Vec<(usize, &str)> = words(text);
        let is_name = |word: &str| {
            let mut chars = word.chars();
            let starts = chars.next().is_some_and(char::is_uppercase);
            starts && chars.next().is_some_and(char::is_lowercase) && !self.lower_words.contains(&word.to_lowercase())
        };
        let mut found: Vec<Slot> = Vec::new();
        for (at, (start, word)) in words.iter().enumerate().skip(1) {
            let (before_at, before) = words[at - 1];
            let gap = &text[before_at + before.len()..*start];
            if gap != " " || !is_name(word) {
                continue;
            }
            let end = start + word.len();
            match found.last_mut() {
                Some(name) if name.end == before_at + before.len() => name.end = end,
                _ => found.push(Slot { kind: SlotKind::Name, start: *start, end, frame: before.to_lowercase() }),
            }
        }
        found
    }
}

/// The text with each slot's value replaced by its kind, e.g. `i waited {number} weeks in {name}`.
///
/// ```
/// use loopwright_data::augment::slots::{Slots, template};
///
/// let slots = Slots::default();
/// let text = "I waited 3 weeks in France";
/// assert_eq!(template(text, &slots.find(text)), "I waited {number} weeks in {name}");
/// ```
pub fn template(text: &str, slots: &[Slot]) -> String {
    let kinds: Vec<String> = slots
        .iter()
        .map(|slot| match &slot.kind {
            SlotKind::Number => "{number}".to_string(),
            SlotKind::Quoted => "{quoted}".to_string(),
            SlotKind::Name => "{name}".to_string(),
            SlotKind::Listed(list) => format!("{{{list}}}"),
        })
        .collect();
    filled(text, slots, &kinds.iter().map(|kind| Some(kind.as_str())).collect::<Vec<_>>())
}

/// The text with other values in its slots; none keeps what is there.
fn filled(text: &str, slots: &[Slot], values: &[Option<&str>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (slot, value) in slots.iter().zip(values) {
        out.push_str(&text[done..slot.start]);
        out.push_str(value.unwrap_or(&text[slot.start..slot.end]));
        done = slot.end;
    }
    out.push_str(&text[done..]);
    out
}

fn words(text: &str) -> Vec<(usize, &str)> {
    let mut at = 0;
    text.split_inclusive(|c: char| !c.is_alphanumeric())
        .filter_map(|part| {
            let start = at;
            at += part.len();
            let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
            (!word.is_empty()).then_some((start, word))
        })
        .collect()
}

/// Are there no letters or digits right before and after?
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// The last word before a position, in lower case.
fn word_before(text: &str, at: usize) -> String {
    words(&text[..at]).last().map_or_else(String::new, |(_, word)| word.to_lowercase())
}

fn quoted(text: &str) -> Vec<Slot> {
    let mut found = Vec::new();
    let mut open: Option<(char, usize)> = None;
    for (at, c) in text.char_indices() {
        match open {
            Some((closing, start)) if c == closing => {
                if at > start {
                    let frame = word_before(text, start);
                    found.push(Slot { kind: SlotKind::Quoted, start, end: at, frame });
                }
                open = None;
            }
            Some(_) => {}
            None => {
                let closing = match c {
                    '"' => Some('"'),
                    '“' => Some('”'),
                    '`' => Some('`'),
                    _ => None,
                };
                open = closing.map(|closing| (closing, at + c.len_utf8()));
            }
        }
    }
    found
}

fn numbers(text: &str) -> Vec<Slot> {
    let mut found: Vec<Slot> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        let joins =
            |at: usize| matches!(bytes[at], b'.' | b',' | b':') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        while at < bytes.len() && (bytes[at].is_ascii_digit() || joins(at)) {
            at += 1;
        }
        if stands_alone(text, start, at) {
            let sign = text[..start].chars().next_back().filter(|c| "£$€¥₹#".contains(*c));
            let after = &text[at..];
            let next = words(after).first().map_or_else(String::new, |(_, word)| word.to_lowercase());
            // Only the word right after tells what is counted.
            let counted = if after.starts_with([' ', '%', '-']) { next } else { String::new() };
            let percent = if after.starts_with('%') { "%" } else { "" };
            let frame = format!("{}|{percent}{counted}", sign.map_or_else(String::new, String::from));
            found.push(Slot { kind: SlotKind::Number, start, end: at, frame });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent<'a>(row_id: &'a str, text: &'a str, label: &'a str) -> Parent<'a> {
        Parent { row_id, text, label, subject: None }
    }

    fn check(text: &str, expected: &str) {
        let lists = BTreeMap::from([("card".to_string(), vec!["debit card".to_string(), "card".to_string()])]);
        let slots = Slots::learn(&[parent("-", "please say why and where, my dear", "-")], &lists);
        assert_eq!(template(text, &slots.find(text)), expected, "{text}");
    }

    #[test]
    fn slots_are_found() {
        check("I waited 3 weeks", "I waited {number} weeks");
        check("it took £1,250.50, at 10:30.", "it took £{number}, at {number}.");
        check("order A12 and b7", "order A12 and b7");
        check("it says \"not found\" in “My Cards”", "it says \"{quoted}\" in “{quoted}”");
        check("Hello, in New York or in Paris?", "Hello, in {name} or in {name}?");
        check("it is late. Paris is far", "it is late. Paris is far");
        check("tell me Why and ask the ATM", "tell me Why and ask the ATM");
        check("My debit card, a cardinal and a Card", "My {card}, a cardinal and a {card}");
        check("<PERSON> has 2 in <IBAN>", "<PERSON> has {number} in <IBAN>");
        check("é “ü", "é “ü");
        check("", "");
    }

    #[test]
    fn values_change_places_within_label_and_frame_only() {
        let rows = [
            parent("1", "i waited 3 weeks", "late"),
            parent("2", "after 2 weeks nothing came", "late"),
            parent("3", "i have 9 cards", "late"),
            parent("4", "i waited 8 weeks", "other"),
        ];
        let slots = Slots::learn(&rows, &BTreeMap::new());
        let swapped = slots.swapped_rows(&rows, 3, 7);
        let texts: Vec<(&str, &str, &str)> =
            swapped.iter().map(|row| (row.row_id.as_str(), row.text.as_str(), row.label.as_str())).collect();
        assert_eq!(
            texts,
            [("1~slots-1", "i waited 2 weeks", "late"), ("2~slots-1", "after 3 weeks nothing came", "late")],
            "one other value each; none for cards, nor in the other label"
        );
    }

    #[test]
    fn a_list_is_the_users_word() {
        let lists = BTreeMap::from([("country".to_string(), vec!["Peru".to_string(), "New Zealand".to_string()])]);
        let rows = [parent("1", "can I use it in new zealand?", "abroad")];
        let swapped = Slots::learn(&rows, &lists).swapped_rows(&rows, 5, 7);
        assert_eq!(swapped.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["can I use it in Peru?"]);
        assert_eq!((swapped[0].parent.as_str(), swapped[0].generator.as_str()), ("1", GENERATOR));
    }

    #[test]
    fn several_slots_are_filled_at_once_and_no_filling_comes_twice() {
        let rows: Vec<(String, String)> = (0..6)
            .map(|n| (n.to_string(), format!("in {} i paid {} pounds", ["Peru", "Chile", "Cuba"][n % 3], n)))
            .collect();
        let rows: Vec<Parent<'_>> = rows.iter().map(|(id, text)| parent(id, text, "x")).collect();
        let swapped = Slots::learn(&rows, &BTreeMap::new()).swapped_rows(&rows[..1], 8, 1);
        let texts: BTreeSet<&str> = swapped.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(texts.len(), swapped.len());
        assert!(
            texts.len() >= 4 && texts.iter().all(|text| !text.contains("Peru") && !text.contains(" 0 ")),
            "{texts:?}"
        );
    }
}
