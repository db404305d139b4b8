//! The mistakes that people make while typing.
//!
//! | operator | what happens | its rate is per |
//! |---|---|---|
//! | `keyboard` | a letter becomes one beside it on a QWERTY keyboard | letter |
//! | `swap` | a letter changes places with the next | letter |
//! | `drop` | a letter is missing; no word loses its only one | letter |
//! | `double` | a letter is typed twice | letter |
//! | `casing` | a word is typed in capitals, in lower case, or with its first letter's case turned | word |
//! | `spacing` | a space is missing or typed twice | space |
//! | `punctuation` | a mark is missing or typed twice | mark |
//!
//! A letter suffers at most one of the first four. Digits and masks such as `<EMAIL>` stay as they are, since they carry
//! what no context restores. The default rates alter about 3 letters in 100; typists at a desk leave about one wrong
//! (Dhakal et al. 2018, "Observations on Typing from 136 Million Keystrokes").

use super::{Parent, Synthetic, rng_of};
use crate::{Error, Result};
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The generator's name.
pub const GENERATOR: &str = "noise";

/// A rate from 0 to 1 per operator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Per letter: a neighbour on the keyboard.
    pub keyboard: f64,
    /// Per letter: changed places with the next.
    pub swap: f64,
    /// Per letter: missing.
    pub drop: f64,
    /// Per letter: typed twice.
    pub double: f64,
    /// Per word: another case.
    pub casing: f64,
    /// Per space: missing or typed twice.
    pub spacing: f64,
    /// Per mark: missing or typed twice.
    pub punctuation: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Self { keyboard: 0.01, swap: 0.005, drop: 0.01, double: 0.005, casing: 0.05, spacing: 0.02, punctuation: 0.1 }
    }
}

impl Rates {
    /// No noise.
    pub const NONE: Self =
        Self { keyboard: 0.0, swap: 0.0, drop: 0.0, double: 0.0, casing: 0.0, spacing: 0.0, punctuation: 0.0 };

    /// Every rate times `factor`.
    pub fn times(self, factor: f64) -> Self {
        let Self { keyboard, swap, drop, double, casing, spacing, punctuation } = self;
        let [keyboard, swap, drop, double, casing, spacing, punctuation] =
            [keyboard, swap, drop, double, casing, spacing, punctuation].map(|rate| rate * factor);
        Self { keyboard, swap, drop, double, casing, spacing, punctuation }
    }

    /// Refuses rates out of range.
    pub fn check(&self) -> Result<()> {
        let Self { keyboard, swap, drop, double, casing, spacing, punctuation } = *self;
        let letter = keyboard + swap + drop + double;
        let rates = [
            ("keyboard", keyboard),
            ("swap", swap),
            ("drop", drop),
            ("double", double),
            ("keyboard + swap + drop + double", letter),
            ("casing", casing),
            ("spacing", spacing),
            ("punctuation", punctuation),
        ];
        match rates.into_iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            Some((name, rate)) => Err(Error::setting(&format!("noise.{name}"), rate, "0 to 1")),
            None => Ok(()),
        }
    }
}

/// `copies` noisy copies of each parent, without those that came out unchanged. Fails only on rates out of range.
pub fn noised_rows(parents: &[Parent<'_>], rates: &Rates, copies: usize, seed: u64) -> Result<Vec<Synthetic>> {
    rates.check()?;
    let of_parent = |parent: &Parent<'_>| {
        let copy = |number: usize| noised(parent.text, rates, &mut rng_of(seed, parent.row_id, number));
        let texts = (1..=copies).map(|number| (number, copy(number))).filter(|(_, text)| text != parent.text);
        texts.map(|(number, text)| Synthetic::new(parent, GENERATOR, number, text)).collect::<Vec<_>>()
    };
    Ok(parents.par_iter().flat_map_iter(of_parent).collect())
}

/// The text as somebody might have typed it. The rates must have passed [`Rates::check`].
///
/// ```
/// use loopwright_data::augment::noise::{Rates, noised};
/// use rand::SeedableRng;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let rates = Rates { drop: 1.0, ..Rates::NONE };
/// assert_eq!(noised("ring <PHONE> at 10!", &rates, &mut rng), "g <PHONE> t 10!");
/// ```
pub fn noised(text: &str, rates: &Rates, rng: &mut impl Rng) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, is_mask) = run(rest, first);
        let (part, after) = rest.split_at(length);
        match first {
            _ if is_mask => out.push_str(part),
            _ if first.is_alphabetic() => {
                let cased = recased(part, rates.casing, rng);
                out.push_str(&mistyped(&cased, rates, rng));
            }
            ' ' => repeated(&mut out, part, rates.spacing, rng),
            _ if first.is_ascii_punctuation() => repeated(&mut out, part, rates.punctuation, rng),
            _ => out.push_str(part),
        }
        rest = after;
    }
    out
}

/// How many bytes belong together from the start: a mask, a word, or one character; and whether it is a mask.
fn run(text: &str, first: char) -> (usize, bool) {
    if first == '<' {
        let inside = text[1..].bytes().take_while(u8::is_ascii_uppercase).count();
        if inside > 0 && text[1 + inside..].starts_with('>') {
            return (inside + 2, true);
        }
    }
    let word = text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len());
    (word.max(first.len_utf8()), false)
}

fn repeated(out: &mut String, part: &str, rate: f64, rng: &mut impl Rng) {
    let times = if rng.random_bool(rate) { [0, 2][rng.random_range(0..2)] } else { 1 };
    (0..times).for_each(|_| out.push_str(part));
}

fn recased(word: &str, rate: f64, rng: &mut impl Rng) -> String {
    if !rng.random_bool(rate) {
        return word.to_string();
    }
    match rng.random_range(0..3) {
        0 => word.to_uppercase(),
        1 => word.to_lowercase(),
        _ => {
            let mut chars = word.chars();
            let first = chars.next().into_iter().flat_map(|c| turned(c, c));
            first.chain(chars).collect()
        }
    }
}

/// `c` in the other case than `model`'s.
fn turned(c: char, model: char) -> Vec<char> {
    if model.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
}

fn mistyped(word: &str, rates: &Rates, rng: &mut impl Rng) -> String {
    let letters: Vec<char> = word.chars().collect();
    let mut out = String::with_capacity(word.len() + 2);
    let mut at = 0;
    while at < letters.len() {
        let c = letters[at];
        let mut draw: f64 = rng.random();
        let mut falls = |rate: f64| {
            draw -= rate;
            draw < 0.0
        };
        if falls(rates.keyboard) {
            out.push(neighbour(c, rng));
        } else if falls(rates.swap) {
            if let Some(next) = letters.get(at + 1) {
                out.push(*next);
                at += 1;
            }
            out.push(c);
        } else if falls(rates.drop) {
            // The last letter stays if all before it are gone.
            if at + 1 == letters.len() && out.is_empty() {
                out.push(c);
            }
        } else if falls(rates.double) {
            out.extend([c, c]);
        } else {
            out.push(c);
        }
        at += 1;
    }
    out
}

/// Neighbours on a QWERTY keyboard, from `a` on.
const NEIGHBOURS: [&str; 26] = [
    "qwsz", "vghn", "xdfv", "serfcx", "wsdr", "drtgvc", "ftyhbv", "gyujnb", "ujko", "huikmn", "jiolm", "kop", "njk",
    "bhjm", "iklp", "ol", "wa", "edft", "awedxz", "rfgy", "yhji", "cfgb", "qase", "zsdc", "tghu", "asx",
];

/// A letter beside this one, in its case; a letter that is not on the keyboard stays.
fn neighbour(c: char, rng: &mut impl Rng) -> char {
    let lower = c.to_ascii_lowercase();
    if !lower.is_ascii_lowercase() {
        return c;
    }
    let beside = NEIGHBOURS[usize::from(lower as u8 - b'a')].as_bytes();
    let found = char::from(beside[rng.random_range(0..beside.len())]);
    if c.is_uppercase() { found.to_ascii_uppercase() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn check(text: &str, rates: Rates, expected: &str) {
        assert_eq!(noised(text, &rates, &mut ChaCha8Rng::seed_from_u64(1)), expected, "{text} {rates:?}");
    }

    #[test]
    fn operators_that_always_act() {
        check("ab c", Rates { double: 1.0, ..Rates::NONE }, "aabb cc");
        check("abcde f", Rates { swap: 1.0, ..Rates::NONE }, "badce f");
        check("abc d 42", Rates { drop: 1.0, ..Rates::NONE }, "c d 42");
        check("Ein Gruß, <EMAIL>", Rates::NONE, "Ein Gruß, <EMAIL>");
    }

    #[test]
    fn a_wrong_key_is_beside_the_right_one() {
        for seed in 0..20 {
            let rates = Rates { keyboard: 1.0, ..Rates::NONE };
            let out = noised("P <IP> é", &rates, &mut ChaCha8Rng::seed_from_u64(seed));
            assert!(["O <IP> é", "L <IP> é"].contains(&out.as_str()), "{out}");
        }
    }

    #[test]
    fn marks_and_spaces_are_lost_or_doubled() {
        let rates = Rates { spacing: 1.0, punctuation: 1.0, ..Rates::NONE };
        let mut seen = std::collections::BTreeSet::new();
        (0..64).for_each(|seed| {
            seen.insert(noised("a, b", &rates, &mut ChaCha8Rng::seed_from_u64(seed)));
        });
        let expected = ["a  b", "a,,  b", "a,,b", "ab"].map(str::to_string);
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn neighbours_are_mutual() {
        for (place, beside) in NEIGHBOURS.iter().enumerate() {
            let letter = char::from(b'a' + place as u8);
            for other in beside.bytes() {
                let back = NEIGHBOURS[usize::from(other - b'a')];
                assert!(back.contains(letter), "{letter} beside {}", char::from(other));
            }
        }
    }

    /// Binomial with 20,000 letters at 0.02: mean 400, standard deviation 19.8; four of them.
    #[test]
    fn rates_are_kept() {
        let text = "a".repeat(20_000);
        let out = noised(&text, &Rates { double: 0.02, ..Rates::NONE }, &mut ChaCha8Rng::seed_from_u64(3));
        assert!((320..=480).contains(&(out.len() - text.len())), "{}", out.len());
    }

    #[test]
    fn rates_out_of_range_are_named() {
        let error = Rates { casing: 1.5, ..Rates::NONE }.check().unwrap_err();
        assert_eq!(error.to_string(), "`noise.casing` is 1.5, expected 0 to 1");
        let error = Rates { drop: 0.6, swap: 0.6, ..Rates::NONE }.check().unwrap_err();
        assert!(error.to_string().contains("keyboard + swap + drop + double"), "{error}");
        assert!(Rates::default().times(3.0).check().is_ok());
    }

    #[test]
    fn copies_name_their_parent_and_do_not_depend_on_the_other_rows() {
        let subject = "s-1".into();
        let parent = |row_id, text| Parent { row_id, text, label: "x", subject: Some(&subject) };
        let all = [parent("a", "where is my parcel now"), parent("b", "please send the invoice again")];
        let rows = noised_rows(&all, &Rates::default().times(4.0), 3, 9).unwrap();
        let of_b: Vec<Synthetic> = rows.into_iter().filter(|row| row.parent.as_str() == "b").collect();
        assert_eq!(of_b, noised_rows(&all[1..], &Rates::default().times(4.0), 3, 9).unwrap());
        assert!(of_b.len() >= 2 && of_b[0].row_id.as_str().starts_with("b~noise-") && of_b[0].label == "x");
        assert_ne!(of_b[0].text, of_b[1].text);
        assert!(of_b.iter().all(|row| row.subject.as_ref() == Some(&subject)));
        assert_eq!(noised_rows(&all, &Rates::NONE, 3, 9).unwrap(), [], "unchanged copies are left out");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_survives_any_rate(text in ".{0,60}", rate in 0.0f64..=0.25, seed in any::<u64>()) {
            let rates = Rates { keyboard: rate, swap: rate, drop: rate, double: rate, casing: rate, spacing: rate, punctuation: rate };
            let out = noised(&text, &rates, &mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert_eq!(&out, &noised(&text, &rates, &mut ChaCha8Rng::seed_from_u64(seed)));
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            prop_assert_eq!(digits(&out), digits(&text));
            prop_assert_eq!(noised(&text, &Rates::NONE, &mut ChaCha8Rng::seed_from_u64(seed)), text);
        }
    }
}
