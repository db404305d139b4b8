//! The customers of the example: invented people with phone and card numbers from ranges set aside for tests.

use super::words::{FIRST_NAMES, HOSTS, LAST_NAMES};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// The segment of private customers.
pub const CONSUMER: &str = "consumer";
/// The segment of companies.
pub const BUSINESS: &str = "business";

/// Share of business customers.
const BUSINESS_SHARE: f64 = 0.3;

/// A customer of the support desk.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// The desk's own number, e.g. `C-0042`.
    pub external_id: String,
    /// Given and family name.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Phone number as the customer writes it.
    pub phone: String,
    /// Payment card number.
    pub card: String,
    /// `consumer` or `business`.
    pub segment: String,
}

/// So many customers, numbered from 1, no two with the same name.
pub(super) fn customers(n: usize, rng: &mut ChaCha8Rng) -> Vec<Customer> {
    let mut names = BTreeSet::new();
    (1..=n).map(|number| customer(number, &mut names, rng)).collect()
}

fn customer(number: usize, names: &mut BTreeSet<String>, rng: &mut ChaCha8Rng) -> Customer {
    let mut pick = |list: &[&'static str]| list[rng.random_range(0..list.len())];
    let (first, mut last) = (pick(&FIRST_NAMES), pick(&LAST_NAMES).to_string());
    // The list gives 2,496 pairs; a pair that is taken gets a second family name.
    while !names.insert(format!("{first} {last}")) {
        last = format!("{last}-{}", pick(&LAST_NAMES));
    }
    let host = pick(&HOSTS);
    let local = match rng.random_range(0..4) {
        0 => format!("{first}.{last}"),
        1 => format!("{}{last}", &plain(first)[..1]),
        2 => format!("{first}{}", rng.random_range(60..99)),
        _ => format!("{last}_{first}"),
    };
    Customer {
        external_id: format!("C-{number:04}"),
        name: format!("{first} {last}"),
        email: format!("{}{number}@{host}", plain(&local)),
        phone: phone(rng),
        card: card(rng),
        segment: if rng.random_bool(BUSINESS_SHARE) { BUSINESS } else { CONSUMER }.to_string(),
    }
}

/// Lower case without accents, as in a mail address.
fn plain(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    name.nfd().filter(char::is_ascii).collect::<String>().to_lowercase()
}

/// Numbers that the regulators of the UK, the US and Germany keep for fiction (Ofcom; NANP 555-01xx; Bundesnetzagentur).
fn phone(rng: &mut ChaCha8Rng) -> String {
    let (a, b) = (rng.random_range(0..1000), rng.random_range(0..100));
    match rng.random_range(0..6) {
        0 => format!("+44 7700 900{a:03}"),
        1 => format!("07700 900{a:03}"),
        2 => format!("+1 {}-555-01{b:02}", [212, 303, 415, 617, 718][a % 5]),
        3 => format!("({}) 555-01{b:02}", [212, 303, 415, 617, 718][a % 5]),
        4 => format!("+49 30 23125{a:03}"),
        _ => format!("030 23125 {a:03}"),
    }
}

/// A number of a test range (4000 00…) with its check digit, in one of the usual groupings.
fn card(rng: &mut ChaCha8Rng) -> String {
    let body = format!("400000{:09}", rng.random_range(0..1_000_000_000_u64));
    let doubled = |(index, byte): (usize, u8)| {
        let value = u32::from(byte - b'0') * if index % 2 == 0 { 2 } else { 1 };
        if value > 9 { value - 9 } else { value }
    };
    let sum: u32 = body.bytes().rev().enumerate().map(doubled).sum();
    let number = format!("{body}{}", (10 - sum % 10) % 10);
    let joint = [" ", "-", ""][rng.random_range(0..3)];
    [&number[..4], &number[4..8], &number[8..12], &number[12..]].join(joint)
}
