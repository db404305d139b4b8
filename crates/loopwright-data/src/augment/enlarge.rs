//! Version n + 1: the rows of version n, and new train rows made of its train rows.
//!
//! [`Base`] knows who may be a parent: train rows that somebody wrote, whose author allows training, and that are no
//! conversations (a generator would change one turn's words and tear it from the others). [`generate`] runs the generators
//! of this crate over a share of them; a caller may add rows of its own, such as a language model's. [`enlarge`] checks
//! all of them and joins what passes to the base. A new row is its parent with another text: label, person, group, source,
//! licence and date are the parent's, so whatever is done to the rows of a person, a source or a licence is done to it.

use super::{
    Parent, Synthetic,
    check::{self, Against, STEP, check},
    noise::{self, Rates},
    slots::Slots,
};
use crate::{
    Error, Result,
    extend::keep_consenting,
    linear::{Features, Linear},
    profile,
    recipe::{CurateContext, Curated, Recipe, StepSettings},
};
use loopwright_types::{
    Example, Split,
    dataset::{DroppedRow, Origin, StepCount},
    id::{RowId, SubjectId},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Which rows are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The share of the possible parents that rows are made of.
    pub share: f64,
    /// New rows per parent and generator.
    pub copies: usize,
    /// Noisy copies at these rates.
    pub noise: Option<Rates>,
    /// Copies with the values of their slots swapped.
    pub slots: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { share: 0.3, copies: 1, noise: None, slots: false }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Err(Error::setting("augment.share", self.share, "more than 0 and at most 1"));
        }
        if !(1..=100).contains(&self.copies) {
            return Err(Error::setting("augment.copies", self.copies, "1 to 100"));
        }
        self.noise.as_ref().map_or(Ok(()), Rates::check)
    }
}

/// The rows of a version that may be parents.
pub struct Base<'a> {
    parents: Vec<&'a Example>,
}

impl<'a> Base<'a> {
    /// Looks through the rows of a version.
    pub fn of(rows: &'a [Example], opted_out: &BTreeSet<SubjectId>) -> Self {
        let allows = |row: &Example| row.subject.as_ref().is_none_or(|subject| !opted_out.contains(subject));
        let may = |row: &&Example| {
            let is_made = matches!(row.origin, Origin::Augmented { .. });
            row.split == Split::Train && !is_made && row.conversation.is_none() && allows(row)
        };
        Self { parents: rows.iter().filter(may).collect() }
    }

    /// Everybody who may be a parent, in the order of the version.
    pub fn parents(&self) -> Vec<Parent<'a>> {
        self.parents.iter().map(|row| parent(row)).collect()
    }

    /// So many of the possible parents, in the order of the version. Which, is decided for each row by its id and the seed:
    /// a row that is not there any more changes nothing for the others but the number.
    pub fn some_parents(&self, n_rows: usize, seed: u64) -> Vec<Parent<'a>> {
        let mut lots: Vec<(u64, usize)> = self
            .parents
            .iter()
            .enumerate()
            .map(|(index, row)| (xxh3_64_with_seed(row.row_id.as_str().as_bytes(), seed), index))
            .collect();
        lots.sort_unstable();
        let mut chosen: Vec<usize> = lots.into_iter().take(n_rows).map(|(_, index)| index).collect();
        chosen.sort_unstable();
        chosen.into_iter().map(|index| parent(self.parents[index])).collect()
    }
}

fn labelled(parents: Vec<Parent<'_>>) -> Vec<Parent<'_>> {
    parents.into_iter().filter(|parent| !parent.label.is_empty()).collect()
}

fn parent(row: &Example) -> Parent<'_> {
    Parent { row_id: row.row_id.as_str(), text: &row.text, label: &row.label, subject: row.subject.as_ref() }
}

/// The rows that this crate's generators make; slots are swapped between rows with a label only. Fails on settings out of
/// range.
pub fn generate(base: &Base<'_>, settings: &Settings, seed: u64) -> Result<Vec<Synthetic>> {
    settings.check()?;
    let n_parents = (base.parents.len() as f64 * settings.share).ceil() as usize;
    let parents = base.some_parents(n_parents, seed);
    let mut made = Vec::new();
    if let Some(rates) = &settings.noise {
        made.extend(noise::noised_rows(&parents, rates, settings.copies, seed)?);
    }
    if settings.slots {
        let slots = Slots::learn(&labelled(base.parents()), &BTreeMap::new());
        made.extend(slots.swapped_rows(&labelled(parents), settings.copies, seed));
    }
    Ok(made)
}

/// Rows on their way into a version, with the books of those that fell out earlier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// The rows.
    pub rows: Vec<Synthetic>,
    /// What could not become a row.
    pub dropped: Vec<DroppedRow>,
    /// The same, counted by generator and reason class.
    pub counts: BTreeMap<String, BTreeMap<String, u64>>,
    /// Generators that may miss a label: their rows are also read by a classifier.
    pub doubted: BTreeSet<String>,
}

/// A version, and what came of the new rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Enlarged {
    /// The rows of the version, the new ones last.
    pub curated: Curated,
    /// Rows that were added, by generator.
    pub added: BTreeMap<String, u64>,
    /// Rows that were not, by generator and reason class.
    pub refused: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Checks the new rows and adds those that pass to the base, which loses the rows of people who opted out meanwhile.
pub fn enlarge(base: &[Example], made: Made, recipe: &Recipe, ctx: &CurateContext<'_>) -> Result<Enlarged> {
    let mut curated = Curated::default();
    let base = keep_consenting(base, ctx, &mut curated.card, &mut curated.dropped);
    let texts_of = |is_wanted: fn(&Example) -> bool| -> Vec<(&str, &str)> {
        let rows = base.iter().filter(|row| is_wanted(row));
        rows.map(|row| (row.row_id.as_str(), row.text.as_str())).collect()
    };
    let (train, held_out) = (texts_of(|row| row.split == Split::Train), texts_of(|row| row.split != Split::Train));
    let Made { rows, dropped, counts: mut refused, doubted } = made;
    let reader = Reader::of(&base, &rows, &doubted, ctx.seed);
    let classify = |row: &Synthetic| reader.as_ref().filter(|_| doubted.contains(&row.generator))?.read(&row.text);
    let against = Against { train: &train, held_out: &held_out, redactor: ctx.redactor, classify: &classify };
    let rows = with_ids_of_their_own(rows, &base);
    let n_made = rows.len() as u64;
    let checked = check(rows, &against, &check_settings(recipe))?;

    for (generator, counts) in checked.counts {
        let refused = refused.entry(generator).or_default();
        counts.into_iter().for_each(|(reason, n)| *refused.entry(reason).or_default() += n);
    }
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    refused.values().flatten().for_each(|(reason, n)| *reasons.entry(reason.clone()).or_default() += n);
    let n_in = n_made + dropped.len() as u64;
    curated.card.steps.push(StepCount {
        step: STEP.to_string(),
        n_in,
        n_out: checked.kept.len() as u64,
        n_changed: 0,
        dropped: reasons,
    });
    curated.dropped.extend(dropped);
    curated.dropped.extend(checked.dropped);
    let mut added: BTreeMap<String, u64> = BTreeMap::new();
    checked.kept.iter().for_each(|row| *added.entry(row.generator.clone()).or_default() += 1);
    let new = children(&base, checked.kept);
    curated.examples = base.into_iter().chain(new).collect();
    for row in &curated.examples {
        *curated.card.languages.entry(row.language.clone()).or_default() += 1;
    }
    profile::fill(&mut curated.card, &curated.examples, ctx.resources);
    Ok(Enlarged { curated, added, refused })
}

/// The bounds that the recipe puts on any row hold for new ones, too.
fn check_settings(recipe: &Recipe) -> check::Settings {
    let mut settings = check::Settings::default();
    settings.language.keep = Vec::new();
    for step in &recipe.steps {
        match step {
            StepSettings::Length(length) => {
                (settings.chars_min, settings.chars_max) = (length.chars_min, length.chars_max);
            }
            StepSettings::Language(language) => settings.language = language.clone(),
            _ => {}
        }
    }
    settings
}

/// A version that was enlarged before holds rows of the same name: the new ones are counted on.
fn with_ids_of_their_own(mut rows: Vec<Synthetic>, base: &[Example]) -> Vec<Synthetic> {
    let mut taken: BTreeSet<RowId> = base.iter().map(|row| row.row_id.clone()).collect();
    for row in &mut rows {
        let mut number = 1;
        while taken.contains(&row.row_id) {
            number += 1;
            row.row_id = RowId(format!("{}~{}-{number}", row.parent, row.generator));
        }
        taken.insert(row.row_id.clone());
    }
    rows
}

/// New rows as rows of a version: their parents with another text.
fn children(base: &[Example], rows: Vec<Synthetic>) -> Vec<Example> {
    let parents: BTreeMap<&RowId, &Example> = base.iter().map(|row| (&row.row_id, row)).collect();
    let child = |row: Synthetic| {
        let parent = *parents.get(&row.parent)?;
        let origin = Origin::Augmented { parent: row.parent, generator: row.generator };
        Some(Example { row_id: row.row_id, text: row.text, origin, ..parent.clone() })
    };
    rows.into_iter().filter_map(child).collect()
}

/// A classifier that learned from what people wrote.
struct Reader {
    names: Vec<String>,
    model: Linear,
}

impl Reader {
    /// Probability from which its reading counts.
    const SURE: f32 = 0.5;

    /// None where nothing is doubted, or where there are no two labels to tell apart.
    fn of(base: &[Example], made: &[Synthetic], doubted: &BTreeSet<String>, seed: u64) -> Option<Self> {
        if !made.iter().any(|row| doubted.contains(&row.generator)) {
            return None;
        }
        let rows = base.iter().filter(|row| row.split == Split::Train && !row.label.is_empty());
        let rows: Vec<(&str, &str)> = rows.map(|row| (row.text.as_str(), row.label.as_str())).collect();
        let (names, model) = learned(&rows, seed);
        (names.len() > 1).then_some(Self { names, model })
    }

    fn read(&self, text: &str) -> Option<String> {
        let probabilities = self.model.probabilities(&Features::of(text));
        let best = (0..probabilities.len()).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]))?;
        (probabilities[best] >= Self::SURE).then(|| self.names[best].clone())
    }
}

/// The names of the labels, sorted, and a classifier of these texts and labels.
fn learned(rows: &[(&str, &str)], seed: u64) -> (Vec<String>, Linear) {
    let names: Vec<String> =
        rows.iter().map(|(_, label)| label.to_string()).collect::<BTreeSet<_>>().into_iter().collect();
    let index: BTreeMap<&str, usize> = names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let features: Vec<Features> = rows.iter().map(|(text, _)| Features::of(text)).collect();
    let classes: Vec<(&Features, usize)> =
        features.iter().zip(rows).map(|(it, (_, label))| (it, index[label])).collect();
    let model = Linear::train(&classes, names.len(), seed);
    (names, model)
}

/// Learns the first rows with this crate's classifier, answers the second, and says which answers are right: what
/// [`super::report::report`] asks for.
pub fn judged_by_classifier(train: &[(&str, &str)], test: &[(&str, &str)], seed: u64) -> Vec<bool> {
    let (names, model) = learned(train, seed);
    let is_right = |(text, label): &(&str, &str)| {
        names.get(model.predict(&Features::of(text))).is_some_and(|answer| answer == label)
    };
    test.iter().map(is_right).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Resources;
    use loopwright_guard::{RedactPolicy, Redactor};

    fn row(id: &str, text: &str, label: &str, split: Split) -> Example {
        Example {
            row_id: id.into(),
            text: text.into(),
            label: label.into(),
            split,
            subject: Some(format!("s-{id}").as_str().into()),
            language: "eng".into(),
            source: "mail.csv".into(),
            licence: Some("CC0".into()),
            ..Example::default()
        }
    }

    fn base() -> Vec<Example> {
        vec![
            row("a", "i waited 3 weeks for the parcel that i ordered", "late", Split::Train),
            row("b", "after 2 weeks there is no parcel at my door yet", "late", Split::Train),
            row("c", "please send me the invoice of last week again", "invoice", Split::Train),
            row("d", "my kettle arrived with a crack in the glass lid", "damaged", Split::Test),
        ]
    }

    fn run(base: &[Example], made: impl Fn(&Base<'_>) -> Made, opted_out: &[&str]) -> Enlarged {
        let opted_out: BTreeSet<SubjectId> = opted_out.iter().map(|subject| (*subject).into()).collect();
        let redactor = Redactor::new(&RedactPolicy::default());
        let ctx = CurateContext {
            redactor: &redactor,
            known: &|_| Vec::new(),
            opted_out: &opted_out,
            seed: 3,
            resources: Resources::none(),
        };
        let made = made(&Base::of(base, &opted_out));
        enlarge(base, made, &Recipe::default(), &ctx).unwrap()
    }

    fn all(noise: bool, slots: bool) -> Settings {
        let noise = noise.then(|| Rates::default().times(3.0));
        Settings { share: 1.0, copies: 1, noise, slots }
    }

    fn made(settings: Settings) -> impl Fn(&Base<'_>) -> Made {
        move |base| Made { rows: generate(base, &settings, 5).unwrap(), ..Made::default() }
    }

    #[test]
    fn a_new_row_is_its_parent_with_another_text() {
        let base = base();
        let out = run(&base, made(all(false, true)), &[]);
        assert_eq!(out.curated.examples[..4], base);
        let new = &out.curated.examples[4];
        let origin = Origin::Augmented { parent: "a".into(), generator: "slots".into() };
        let text = "i waited 2 weeks for the parcel that i ordered".to_string();
        assert_eq!(*new, Example { row_id: "a~slots-1".into(), text, origin, ..base[0].clone() });
        assert_eq!(out.added, BTreeMap::from([("slots".to_string(), 2)]));
        assert_eq!(out.curated.card.n_augmented, out.added);
        let step = out.curated.card.steps.last().unwrap();
        assert_eq!((step.step.as_str(), step.n_in, step.n_out), (STEP, 2, 2));
    }

    #[test]
    fn only_train_rows_of_the_willing_are_parents_and_made_rows_are_not() {
        let mut base = base();
        let once = run(&base, made(all(true, false)), &["s-b"]);
        let parents: Vec<&str> =
            once.curated.examples[3..].iter().map(|row| row.subject.as_ref().unwrap().as_str()).collect();
        assert_eq!(parents, ["s-a", "s-c"], "s-b opted out, s-d is held out");
        assert!(once.curated.examples.iter().all(|row| row.row_id.as_str() != "b"));
        assert_eq!(once.curated.dropped[0].row_id.as_str(), "b");

        base = once.curated.examples;
        let made_of_made =
            |it: &Base<'_>| Made { rows: generate(it, &all(true, false), 6).unwrap(), ..Made::default() };
        let twice = run(&base, made_of_made, &[]);
        let ids: Vec<&str> = twice.curated.examples.iter().map(|row| row.row_id.as_str()).collect();
        assert_eq!(ids, ["a", "c", "d", "a~noise-1", "c~noise-1", "a~noise-2", "c~noise-2"]);
    }

    #[test]
    fn what_a_doubted_generator_says_must_read_like_its_label() {
        let mut base = base();
        for n in 0..8 {
            base.push(row(
                &format!("l{n}"),
                &format!("parcel {n} is late again, no parcel for weeks"),
                "late",
                Split::Train,
            ));
            base.push(row(&format!("i{n}"), &format!("send invoice {n} again please"), "invoice", Split::Train));
        }
        let text = "please send the invoice once more, again please".to_string();
        let out = run(
            &base,
            |it| {
                let rows = vec![Synthetic::new(&it.parents()[0], "model", 1, text.clone())];
                Made { rows, doubted: BTreeSet::from(["model".to_string()]), ..Made::default() }
            },
            &[],
        );
        assert_eq!(out.refused["model"], BTreeMap::from([("label".to_string(), 1)]));
        assert_eq!(out.curated.dropped[0].reason, "made for `late` but reads like `invoice`");
    }

    #[test]
    fn a_share_is_kept_to_and_settings_are_checked() {
        let base = base();
        let none = BTreeSet::new();
        let parents = |n| Base::of(&base, &none).some_parents(n, 9).iter().map(|it| it.row_id).collect::<Vec<_>>();
        let (two, three) = (parents(2), parents(3));
        assert_eq!((two.len(), three), (2, vec!["a", "b", "c"]));
        assert!(two.is_sorted());
        for bad in [0.0, 1.1, f64::NAN] {
            assert!(Settings { share: bad, ..Settings::default() }.check().is_err(), "{bad}");
        }
        assert!(Settings { copies: 0, ..Settings::default() }.check().is_err());
    }

    #[test]
    fn the_classifier_answers_what_it_learned() {
        let train =
            [("where is it", "track"), ("where was it", "track"), ("send the bill", "bill"), ("the bill", "bill")];
        assert_eq!(judged_by_classifier(&train, &[("where it is", "track"), ("bill", "track")], 1), [true, false]);
        assert_eq!(judged_by_classifier(&[], &[("a", "b")], 1), [false]);
    }
}
