//! The example project *support desk*: a shop's customers and two months of their messages, written by a seeded
//! generator.
//!
//! The first month has fourteen intents and the dirt of real life: repeated and nearly repeated messages, HTML debris,
//! wrongly decoded text, other languages, empty rows, wrong labels, names, mail addresses, phone and card numbers in
//! the text, and a few lines that are no CSV rows. The second month brings a new product, new phrasings for five of the
//! intents and one new intent. Nothing is copied from anywhere; every person is invented.

mod customer;
mod dirt;
mod grammar;
mod intents;
mod message;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub use customer::{BUSINESS, CONSUMER, Customer};
pub use write::{customers_to_csv_bytes, to_csv_bytes};

use intents::{INTENTS, Intent, NEW_INTENT};
use loopwright_guard::PiiKind;
use loopwright_types::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The months begin here: 2026-01-01 and 2026-02-01, 00:00 UTC.
const MONTH_1_START: Timestamp = Timestamp(1_767_225_600_000);
const MONTH_2_START: Timestamp = Timestamp(1_769_904_000_000);
const DAY_MS: i64 = 86_400_000;

/// Share of the second month's messages with the new intent.
const NEW_INTENT_SHARE: f64 = 0.14;
/// Customers that only the second month has, relative to the others.
const NEW_CUSTOMERS_SHARE: f64 = 0.1;
/// How far back a repeated message lies, at most, in rows.
const REPEAT_ROWS: usize = 300;

/// How much to write, and the seed of it all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExampleSettings {
    /// Seed: the same settings give the same bytes.
    pub seed: u64,
    /// Messages of the first month.
    pub n_month_1: usize,
    /// Messages of the second month.
    pub n_month_2: usize,
    /// Customers of the first month; the second has a tenth more.
    pub n_customers: usize,
}

impl Default for ExampleSettings {
    fn default() -> Self {
        Self { seed: 7, n_month_1: 3600, n_month_2: 1800, n_customers: 300 }
    }
}

/// What the generator writes.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleProject {
    /// The customers, those of the second month last.
    pub customers: Vec<Customer>,
    /// Messages of the first month, in order of time.
    pub month_1: Vec<ExampleRow>,
    /// Messages of the second month, in order of time.
    pub month_2: Vec<ExampleRow>,
}

/// One message as the desk's export has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleRow {
    /// `m1-00001` …
    pub id: String,
    /// The message, dirt included.
    pub text: String,
    /// The label that the desk gave it; a few are wrong.
    pub label: String,
    /// The author's [`Customer::external_id`].
    pub customer: String,
    /// The author's segment.
    pub segment: String,
    /// When it came in.
    pub created_at: Timestamp,
    /// What is true about the row; only this crate's tests look.
    truth: Truth,
}

/// What the generator did to a row.
#[derive(Clone, Debug, PartialEq)]
struct Truth {
    label: String,
    kind: RowKind,
    planted: Vec<(PiiKind, String)>,
}

/// How a row came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RowKind {
    Fresh,
    Repeated,
    NearlyRepeated,
    Empty,
    Foreign,
    Markup,
    Misread,
}

/// Shares of what goes wrong in a month.
struct Dirt {
    repeated: f64,
    nearly_repeated: f64,
    empty: f64,
    foreign: f64,
    markup: f64,
    misread: f64,
    wrong_label: f64,
}

const DIRT_1: Dirt = Dirt {
    repeated: 0.03,
    nearly_repeated: 0.05,
    empty: 0.01,
    foreign: 0.03,
    markup: 0.04,
    misread: 0.025,
    wrong_label: 0.027,
};
/// The second month is replayed as traffic: nobody sends an empty message to a model, and its labels were checked again.
const DIRT_2: Dirt = Dirt { empty: 0.0, wrong_label: 0.01, ..DIRT_1 };

/// Writes the example project.
pub fn generate(settings: &ExampleSettings) -> ExampleProject {
    let rng = |stream| {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        rng.set_stream(stream);
        rng
    };
    let n_known = settings.n_customers.max(1);
    let n_new = (n_known as f64 * NEW_CUSTOMERS_SHARE).ceil() as usize;
    let customers = customer::customers(n_known + n_new, &mut rng(0));
    let month_1 = month(1, settings.n_month_1, &customers[..n_known], &mut rng(1));
    let month_2 = month(2, settings.n_month_2, &customers, &mut rng(2));
    ExampleProject { customers, month_1, month_2 }
}

fn month(number: u32, n_rows: usize, customers: &[Customer], rng: &mut ChaCha8Rng) -> Vec<ExampleRow> {
    let (start, days, dirt) = if number == 1 { (MONTH_1_START, 31, DIRT_1) } else { (MONTH_2_START, 28, DIRT_2) };
    let step_ms = days * DAY_MS / n_rows.max(1) as i64;
    let mut rows: Vec<ExampleRow> = Vec::with_capacity(n_rows);
    for index in 0..n_rows {
        let mut row = next_row(number, &rows, customers, &dirt, rng);
        row.id = format!("m{number}-{:05}", index + 1);
        // Whole seconds, in order: the step of 3,600 rows a month is about twelve minutes.
        let within = rng.random_range(0..step_ms.max(1000) / 1000) * 1000;
        row.created_at = start.plus_ms((index as i64 * step_ms) / 1000 * 1000 + within);
        rows.push(row);
    }
    rows
}

/// The next row, without id and time.
fn next_row(month: u32, rows: &[ExampleRow], customers: &[Customer], dirt: &Dirt, rng: &mut ChaCha8Rng) -> ExampleRow {
    let mut chance: f64 = rng.random();
    let mut falls = |share: f64| {
        chance -= share;
        chance < 0.0
    };
    let fresh = |kind: RowKind, rng: &mut ChaCha8Rng| fresh_row(month, kind, customers, dirt.wrong_label, rng);
    if falls(dirt.repeated) {
        repeated(rows, RowKind::Repeated, rng).unwrap_or_else(|| fresh(RowKind::Fresh, rng))
    } else if falls(dirt.nearly_repeated) {
        repeated(rows, RowKind::NearlyRepeated, rng).unwrap_or_else(|| fresh(RowKind::Fresh, rng))
    } else if falls(dirt.empty) {
        fresh(RowKind::Empty, rng)
    } else if falls(dirt.foreign) {
        fresh(RowKind::Foreign, rng)
    } else if falls(dirt.markup) {
        fresh(RowKind::Markup, rng)
    } else if falls(dirt.misread) {
        fresh(RowKind::Misread, rng)
    } else {
        fresh(RowKind::Fresh, rng)
    }
}

/// An earlier message of the month once more, by the same customer; none if the one drawn is no ordinary message.
fn repeated(rows: &[ExampleRow], kind: RowKind, rng: &mut ChaCha8Rng) -> Option<ExampleRow> {
    let from = rows.len().saturating_sub(REPEAT_ROWS);
    let earlier = rows.get(rng.random_range(from..rows.len().max(1)))?;
    if earlier.truth.kind != RowKind::Fresh {
        return None;
    }
    let mut row = earlier.clone();
    row.truth.kind = kind;
    if kind == RowKind::NearlyRepeated {
        row.text = dirt::sent_again(&earlier.text, rng);
        // Lower case and typing mistakes may touch what was planted.
        row.truth.planted.retain(|(_, value)| row.text.contains(value.as_str()));
    }
    Some(row)
}

fn fresh_row(month: u32, kind: RowKind, customers: &[Customer], wrong_label: f64, rng: &mut ChaCha8Rng) -> ExampleRow {
    let customer = &customers[rng.random_range(0..customers.len())];
    let intent = draw_intent(month, rng);
    let mut label = intent.label;
    let mut message = message::write(intent, customer, month, rng);
    match kind {
        RowKind::Empty => (message.text, message.planted) = (" ".repeat(rng.random_range(0..3)), Vec::new()),
        RowKind::Foreign => {
            (label, message.text) = message::write_foreign(month, rng);
            message.planted.clear();
        }
        RowKind::Markup => message.text = dirt::with_markup(&message.text, rng),
        RowKind::Misread => message.text = dirt::misread(&message.text, rng),
        RowKind::Fresh | RowKind::Repeated | RowKind::NearlyRepeated => {}
    }
    let given = match kind {
        RowKind::Empty | RowKind::Foreign => label,
        _ if rng.random_bool(wrong_label) => other_label(label, rng),
        _ => label,
    };
    ExampleRow {
        id: String::new(),
        text: message.text,
        label: given.to_string(),
        customer: customer.external_id.clone(),
        segment: customer.segment.clone(),
        created_at: Timestamp::default(),
        truth: Truth { label: label.to_string(), kind, planted: message.planted },
    }
}

fn draw_intent(month: u32, rng: &mut ChaCha8Rng) -> &'static Intent {
    if month > 1 && rng.random_bool(NEW_INTENT_SHARE) {
        return &NEW_INTENT;
    }
    let total: u32 = INTENTS.iter().map(|intent| intent.weight).sum();
    let mut at = rng.random_range(0..total);
    INTENTS
        .iter()
        .find(|intent| {
            at < intent.weight || {
                at -= intent.weight;
                false
            }
        })
        .unwrap_or(&INTENTS[0])
}

fn other_label(label: &str, rng: &mut ChaCha8Rng) -> &'static str {
    let others: Vec<&str> = INTENTS.iter().map(|intent| intent.label).filter(|other| *other != label).collect();
    others[rng.random_range(0..others.len())]
}
