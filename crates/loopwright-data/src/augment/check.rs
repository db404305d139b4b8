//! Which synthetic rows may be learned from.
//!
//! A row is dropped, with its reason, at the first of these that it fails:
//!
//! 1. `personal_data`: the redactor finds anything in it, masks aside;
//! 2. `length`: it is shorter or longer than allowed;
//! 3. `language`: it is surely in another language than the kept ones;
//! 4. `copy`: its words are those of a train row (its parent included), of a held-out row or of an earlier synthetic one;
//! 5. `like_held_out`: it is a near-copy of a held-out row. Synthetic rows must not carry the test into train by the back
//!    door, so this threshold is the lower one;
//! 6. `like_train`, `like_synthetic`: it is a near-copy of a train row or of an earlier synthetic one, and so teaches
//!    nothing;
//! 7. `label`: the classifier that the caller supplies reads another label.
//!
//! A near-copy is a text with at least so high a Jaccard similarity of 5-character n-grams ([`super::near`]).

use super::{Synthetic, near::NearIndex};
use crate::{
    Error, Result,
    clean::{
        exact_dedup::key,
        language::{self, UNDECIDED},
    },
};
use loopwright_guard::Redactor;
use loopwright_types::dataset::DroppedRow;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The step's name in lists of dropped rows.
pub const STEP: &str = "check_synthetic";

/// What a synthetic row must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Similarity from which a row is too like a train row or another synthetic one.
    pub like_train: f64,
    /// Similarity from which a row is too like a held-out row.
    pub like_held_out: f64,
    /// Fewest characters.
    pub chars_min: usize,
    /// Most characters.
    pub chars_max: usize,
    /// Languages kept, as in the cleaning.
    pub language: language::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            like_train: 0.95,
            like_held_out: 0.8,
            chars_min: 3,
            chars_max: 4000,
            language: language::Settings::default(),
        }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("like_train", self.like_train), ("like_held_out", self.like_held_out)] {
            if !(value > 0.0 && value <= 1.0) {
                return Err(Error::setting(&format!("{STEP}.{name}"), value, "more than 0 and at most 1"));
            }
        }
        if self.chars_min > self.chars_max {
            return Err(Error::setting(&format!("{STEP}.chars_min"), self.chars_min, "at most `chars_max`"));
        }
        Ok(())
    }
}

/// What the rows are checked against.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    /// Train rows as id and text.
    pub train: &'a [(&'a str, &'a str)],
    /// Validation and test rows as id and text.
    pub held_out: &'a [(&'a str, &'a str)],
    /// Finds personal data.
    pub redactor: &'a Redactor,
    /// The label that a classifier reads in a row; none lets the row pass, which is right for generators that cannot change
    /// a label: noise that the classifier fails on is the very noise it should learn from.
    pub classify: &'a (dyn Fn(&Synthetic) -> Option<String> + Sync),
}

/// The rows that passed, and those that did not.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Rows to learn from, in their order.
    pub kept: Vec<Synthetic>,
    /// The others, each with its reason.
    pub dropped: Vec<DroppedRow>,
    /// Dropped rows by generator and reason class.
    pub counts: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Checks synthetic rows. The earlier of two alike stays. Fails only on settings out of range.
pub fn check(rows: Vec<Synthetic>, against: &Against<'_>, settings: &Settings) -> Result<Checked> {
    settings.check()?;
    let known = Known::new(against, settings);
    let found: Vec<Option<Found>> = rows.par_iter().map(|row| known.fails(row, against, settings)).collect();
    let mut out = Checked { kept: Vec::new(), dropped: Vec::new(), counts: BTreeMap::new() };
    let mut seen = Siblings::new(&rows, settings.like_train);
    for (index, (row, found)) in rows.into_iter().zip(found).enumerate() {
        match found.or_else(|| seen.fails(index)) {
            None => {
                seen.keep(index);
                out.kept.push(row);
            }
            Some((class, reason)) => {
                *out.counts.entry(row.generator).or_default().entry(class.to_string()).or_default() += 1;
                let (row_id, subject) = (row.row_id, row.subject);
                out.dropped.push(DroppedRow { row_id, step: STEP.to_string(), reason, subject });
            }
        }
    }
    Ok(out)
}

/// A reason class and the reason.
type Found = (&'static str, String);

/// The rows that nobody made.
struct Known<'a> {
    ids: HashMap<u128, &'a str>,
    train: NearIndex,
    held_out: NearIndex,
}

impl<'a> Known<'a> {
    fn new(against: &Against<'a>, settings: &Settings) -> Self {
        let all = against.train.iter().chain(against.held_out).rev();
        let texts = |rows: &[(&str, &'a str)]| rows.iter().map(|row| row.1).collect::<Vec<_>>();
        Self {
            ids: all.map(|(id, text)| (key(text), *id)).collect(),
            train: NearIndex::build(&texts(against.train), settings.like_train),
            held_out: NearIndex::build(&texts(against.held_out), settings.like_held_out),
        }
    }

    fn fails(&self, row: &Synthetic, against: &Against<'_>, settings: &Settings) -> Option<Found> {
        self.own_faults(row, against, settings)
            .or_else(|| self.is_known(row, against))
            .or_else(|| wrong_label(row, against))
    }

    fn own_faults(&self, row: &Synthetic, against: &Against<'_>, settings: &Settings) -> Option<Found> {
        let kinds = against.redactor.redact(&row.text, &[]).counts();
        if !kinds.is_empty() {
            let kinds: Vec<&str> = kinds.keys().map(|kind| kind.as_str()).collect();
            return Some(("personal_data", format!("holds {}", kinds.join(", "))));
        }
        let n = row.text.chars().count();
        if !(settings.chars_min..=settings.chars_max).contains(&n) {
            return Some((
                "length",
                format!("{n} characters, expected {} to {}", settings.chars_min, settings.chars_max),
            ));
        }
        let kept = &settings.language.keep;
        let found = language::detect(&row.text, settings.language.confidence_min);
        let is_other = found != UNDECIDED && !kept.is_empty() && !kept.contains(&found);
        is_other.then(|| ("language", format!("written in `{found}`, not in {}", kept.join(", "))))
    }

    fn is_known(&self, row: &Synthetic, against: &Against<'_>) -> Option<Found> {
        if let Some(id) = self.ids.get(&key(&row.text)) {
            return Some(("copy", format!("same words as {id}")));
        }
        if let Some((other, similarity)) = self.held_out.nearest(&row.text) {
            let id = against.held_out[other].0;
            return Some(("like_held_out", format!("near-copy of held-out {id} (similarity {similarity:.2})")));
        }
        let (other, similarity) = self.train.nearest(&row.text)?;
        Some(("like_train", format!("near-copy of {} (similarity {similarity:.2})", against.train[other].0)))
    }
}

fn wrong_label(row: &Synthetic, against: &Against<'_>) -> Option<Found> {
    let read = (against.classify)(row)?;
    (read != row.label).then(|| ("label", format!("made for `{}` but reads like `{read}`", row.label)))
}

/// The synthetic rows kept so far.
struct Siblings {
    ids: Vec<String>,
    keys: Vec<u128>,
    kept: HashMap<u128, usize>,
    /// For each row the earlier rows that it is like, most alike first.
    alike: Vec<Vec<(usize, f64)>>,
    is_kept: Vec<bool>,
}

impl Siblings {
    fn new(rows: &[Synthetic], threshold: f64) -> Self {
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        let index = NearIndex::build(&texts, threshold);
        let alike = texts
            .par_iter()
            .enumerate()
            .map(|(row, text)| index.all(text).into_iter().filter(|(other, _)| *other < row).collect());
        Self {
            ids: rows.iter().map(|row| row.row_id.0.clone()).collect(),
            keys: texts.iter().map(|text| key(text)).collect(),
            kept: HashMap::new(),
            alike: alike.collect(),
            is_kept: vec![false; rows.len()],
        }
    }

    fn fails(&self, row: usize) -> Option<Found> {
        if let Some(other) = self.kept.get(&self.keys[row]) {
            return Some(("copy", format!("same words as {}", self.ids[*other])));
        }
        let (other, similarity) = self.alike[row].iter().find(|(other, _)| self.is_kept[*other])?;
        Some(("like_synthetic", format!("near-copy of {} (similarity {similarity:.2})", self.ids[*other])))
    }

    fn keep(&mut self, row: usize) {
        self.kept.insert(self.keys[row], row);
        self.is_kept[row] = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Parent;
    use loopwright_guard::RedactPolicy;

    const TRAIN: [(&str, &str); 2] =
        [("t1", "where is the parcel that i ordered last week"), ("t2", "please send the invoice for june again")];
    const HELD_OUT: [(&str, &str); 1] = [("h1", "my kettle arrived with a crack in the glass lid")];

    fn run(texts: &[&str]) -> Checked {
        let parent = Parent { row_id: "t1", text: "", label: "track", subject: None };
        let rows =
            texts.iter().enumerate().map(|(n, text)| Synthetic::new(&parent, "g", n, text.to_string())).collect();
        let redactor = Redactor::new(&RedactPolicy::default());
        let classify = |row: &Synthetic| row.text.contains("refund").then(|| "refund".to_string());
        let against = Against { train: &TRAIN, held_out: &HELD_OUT, redactor: &redactor, classify: &classify };
        check(rows, &against, &Settings::default()).unwrap()
    }

    #[test]
    fn each_fault_has_its_reason() {
        for (text, expected) in [
            ("where was the parcel which i ordered last week", None),
            ("write to mara@mail.example about the parcel", Some("holds email")),
            ("hm", Some("2 characters, expected 3 to 4000")),
            ("Hola, mi pedido todavía no ha llegado y quiero saber dónde está", Some("written in `spa`, not in eng")),
            ("Where is the parcel, that I ordered last week?!", Some("same words as t1")),
            ("My kettle arrived with a crack in the glass lid", Some("same words as h1")),
            ("my kettle arrived with a crack in the glass lids", Some("near-copy of held-out h1 (similarity 0.98)")),
            ("where is my refund please", Some("made for `track` but reads like `refund`")),
        ] {
            let out = run(&[text]);
            assert_eq!(out.dropped.first().map(|row| row.reason.as_str()), expected, "{text}");
            assert_eq!(out.kept.len() + out.dropped.len(), 1);
        }
    }

    #[test]
    fn the_earlier_of_two_alike_stays() {
        let long = "where might that parcel be which we two ordered on monday of the week before this one my friend";
        let out = run(&[long, &format!("{long}!"), &format!("{long}s"), "where is it now, the parcel"]);
        let kept: Vec<&str> = out.kept.iter().map(|row| row.row_id.as_str()).collect();
        assert_eq!(kept, ["t1~g-0", "t1~g-3"]);
        assert_eq!(out.counts["g"], BTreeMap::from([("copy".to_string(), 1), ("like_synthetic".to_string(), 1)]));
        assert_eq!(out.dropped[1].reason, "near-copy of t1~g-0 (similarity 0.99)");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let error = Settings { like_train: 0.0, ..Settings::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "`check_synthetic.like_train` is 0, expected more than 0 and at most 1");
        assert!(Settings { chars_min: 9, chars_max: 8, ..Settings::default() }.check().is_err());
    }
}
