//! Version n + 1: the rows of version n, and what people corrected since.

use crate::{
    Result,
    clean::{
        consent, exact_dedup,
        split::{self, GroupBy},
    },
    dedup::{NearSettings, clusters, jaccard, shingles},
    draft::{Draft, Reason, StepOutput, drop_rows},
    profile,
    recipe::{CurateContext, Curated, Recipe, StepSettings, example, run_steps},
};
use loopwright_types::{
    Example, SourceRow, Split, Timestamp,
    dataset::{DataCard, DroppedRow, Origin, StepCount},
    id::{SubjectId, TraceId},
};
use std::collections::{BTreeMap, BTreeSet};

/// The source name of corrections.
pub const SOURCE: &str = "feedback";
/// The step that compares corrections with the rows there are.
pub const STEP: &str = "merge";

/// A served answer that somebody put right.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// The answer.
    pub trace: TraceId,
    /// The message that was answered.
    pub text: String,
    /// The right label.
    pub label: String,
    /// Whose words they are.
    pub subject: Option<SubjectId>,
    /// Group attribute, if known.
    pub group: Option<String>,
    /// When the correction was given.
    pub at: Timestamp,
}

/// Adds corrections to a version.
///
/// The base rows stay as they are, in their splits, but for the rows of people who opted out meanwhile. Corrections go
/// through the recipe's cleaning, not through its label checks (a person gave the label, and a new label has no
/// neighbours yet) and not through its balance and mixture. A correction then goes
/// - out, if it repeats a row there is (exactly, or nearly and with the same label),
/// - out, if it is like a test row: the test must stay unseen; where rows are split by group, also if its group, or a row
///   that it is like, is held out,
/// - in place of a train or validation row with the same text and another label, and of the rows made of it,
/// - otherwise into train or validation, beside the rows that it resembles (into train, where rows are split by group).
///
/// Splits by time are not dealt anew either: corrections are younger than the test rows of the base.
pub fn extend(
    base: &[Example],
    corrections: Vec<Correction>,
    recipe: &Recipe,
    ctx: &CurateContext<'_>,
) -> Result<Curated> {
    recipe.check()?;
    recipe.check_resources(ctx.resources)?;
    let mut extended = Curated::default();
    let base = keep_consenting(base, ctx, &mut extended.card, &mut extended.dropped);
    let traces: BTreeMap<String, TraceId> = corrections.iter().map(|c| (c.trace.0.clone(), c.trace.clone())).collect();
    let steps: Vec<StepSettings> = recipe.steps.iter().filter(|step| !is_about_the_whole(step)).cloned().collect();
    let drafts = corrections.into_iter().map(draft).collect();
    let drafts = run_steps(&steps, drafts, ctx, &mut extended)?;

    let likeness = Likeness::of(&base, &drafts, recipe);
    let (base, out) = merge(base, drafts, &likeness);
    let class = |name: &str| out.count.dropped.get(name).copied().unwrap_or(0);
    extended.card.n_exact_duplicates += class("exact_duplicate");
    extended.card.n_near_duplicates += class("near_duplicate");
    let merged = extended.enter(out);

    let added = place(&base, merged, recipe, ctx.seed);
    extended.card.n_corrections = added.len() as u64;
    for row in &base {
        *extended.card.languages.entry(row.language.clone()).or_default() += 1;
    }
    let corrected = added.into_iter().filter_map(|draft| {
        let trace = traces.get(&draft.row.row_id)?.clone();
        example(draft, Origin::Correction { trace })
    });
    extended.examples = base.into_iter().chain(corrected).collect();
    profile::fill(&mut extended.card, &extended.examples, ctx.resources);
    Ok(extended)
}

/// Steps that say something of a version as a whole, and nothing of a few rows that are added to it.
fn is_about_the_whole(step: &StepSettings) -> bool {
    matches!(
        step,
        StepSettings::LabelConflict(_)
            | StepSettings::LabelCheck(_)
            | StepSettings::Balance(_)
            | StepSettings::Mix(_)
            | StepSettings::Split(_)
    )
}

fn draft(correction: Correction) -> Draft {
    Draft::new(SourceRow {
        row_id: correction.trace.0,
        source: SOURCE.to_string(),
        row_index: 0,
        text: correction.text,
        label: Some(correction.label),
        subject: correction.subject,
        group: correction.group,
        at: Some(correction.at),
        ..SourceRow::default()
    })
}

/// The base rows without those of people who opted out.
pub(crate) fn keep_consenting(
    base: &[Example],
    ctx: &CurateContext<'_>,
    card: &mut DataCard,
    dropped: &mut Vec<DroppedRow>,
) -> Vec<Example> {
    let opted_out = |row: &&Example| row.subject.as_ref().is_some_and(|subject| ctx.opted_out.contains(subject));
    for row in base.iter().filter(opted_out) {
        dropped.push(DroppedRow {
            row_id: row.row_id.clone(),
            step: consent::STEP.to_string(),
            reason: "the author opted out of training".to_string(),
            subject: row.subject.clone(),
        });
    }
    let kept: Vec<Example> = base.iter().filter(|row| !opted_out(row)).cloned().collect();
    let n_out = (base.len() - kept.len()) as u64;
    card.n_opted_out += n_out;
    let mut reasons = BTreeMap::new();
    if n_out > 0 {
        reasons.insert(consent::OPTED_OUT.to_string(), n_out);
    }
    let (n_in, n_kept) = (base.len() as u64, kept.len() as u64);
    card.steps.push(StepCount { step: "base".to_string(), n_in, n_out: n_kept, n_changed: 0, dropped: reasons });
    kept
}

/// For each correction, the base rows that it resembles.
struct Likeness {
    /// Base rows in the same loose cluster, most alike first, with the similarity.
    alike: Vec<Vec<(usize, f64)>>,
    near_threshold: f64,
    /// What makes a group, if rows are split by group, and the groups of the base that are not in train.
    held_out: Option<(GroupBy, BTreeSet<String>)>,
}

impl Likeness {
    fn of(base: &[Example], drafts: &[Draft], recipe: &Recipe) -> Self {
        let near = recipe.near_dedup();
        let loose = NearSettings::looser(recipe.split().cluster_threshold);
        let texts: Vec<&str> = base
            .iter()
            .map(|row| row.text.as_str())
            .chain(drafts.iter().map(|draft| draft.row.text.as_str()))
            .collect();
        let found = clusters(&texts, &loose);
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (row, first) in found.first[..base.len()].iter().enumerate() {
            members.entry(*first).or_default().push(row);
        }
        let alike = drafts.iter().enumerate().map(|(index, draft)| {
            let Some(rows) = members.get(&found.first[base.len() + index]) else { return Vec::new() };
            let own = shingles(&draft.row.text, near.shingle_chars);
            let similarity = |row: &usize| jaccard(&own, &shingles(&base[*row].text, near.shingle_chars));
            let mut rows: Vec<(usize, f64)> = rows.iter().map(|row| (*row, similarity(row))).collect();
            rows.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            rows
        });
        Self { alike: alike.collect(), near_threshold: near.threshold, held_out: held_out(base, &recipe.split()) }
    }

    /// Why a correction may not go to train, where rows are split by group.
    fn against_group(&self, index: usize, draft: &Draft, base: &[Example]) -> Option<Reason> {
        let (by, groups) = self.held_out.as_ref()?;
        let row = &draft.row;
        let key = by.key(row.subject.as_ref(), row.group.as_deref(), &row.source);
        if key.is_some_and(|key| groups.contains(key)) {
            return Some(Reason::new("held_out_group", "its group is held out"));
        }
        let (like, _) = self.alike[index].iter().find(|(row, _)| base[*row].split != Split::Train)?;
        Some(Reason::new("like_held_out", format!("like {}, which is held out", base[*like].row_id)))
    }
}

fn held_out(base: &[Example], settings: &split::Settings) -> Option<(GroupBy, BTreeSet<String>)> {
    let by = (settings.by == split::By::Group).then_some(settings.group_by)?;
    let rows = base.iter().filter(|row| row.split != Split::Train);
    let key = |row: &Example| by.key(row.subject.as_ref(), row.group.as_deref(), &row.source).map(str::to_string);
    Some((by, rows.filter_map(key).collect()))
}

/// Takes out the corrections that repeat or leak, and the base rows that corrections put right.
fn merge(base: Vec<Example>, drafts: Vec<Draft>, likeness: &Likeness) -> (Vec<Example>, StepOutput) {
    let mut superseded: BTreeSet<usize> = BTreeSet::new();
    let mut out = drop_rows(STEP, drafts, |index, draft| {
        let rows = &likeness.alike[index];
        if let Some((row, _)) = rows.iter().find(|(row, _)| base[*row].split == Split::Test) {
            return Some(Reason::new("like_test", format!("like {} of the test split", base[*row].row_id)));
        }
        if let Some(reason) = likeness.against_group(index, draft, &base) {
            return Some(reason);
        }
        let key = exact_dedup::key(&draft.row.text);
        let same: Vec<usize> =
            rows.iter().map(|(row, _)| *row).filter(|row| exact_dedup::key(&base[*row].text) == key).collect();
        if let Some(row) = same.iter().find(|row| base[**row].label == draft.label()) {
            return Some(Reason::new("exact_duplicate", format!("same text as {}", base[*row].row_id)));
        }
        if !same.is_empty() {
            superseded.extend(same.iter().flat_map(|row| with_made_of(&base, *row)));
            return None;
        }
        let (row, similarity) = rows.iter().find(|(row, _)| base[*row].label == draft.label())?;
        let repeats = *similarity >= likeness.near_threshold;
        let text = || format!("near-duplicate of {} (similarity {similarity:.2})", base[*row].row_id);
        repeats.then(|| Reason::new("near_duplicate", text()))
    });
    for row in &superseded {
        out.dropped.push(DroppedRow {
            row_id: base[*row].row_id.clone(),
            step: STEP.to_string(),
            reason: "a correction gives this text another label".to_string(),
            subject: base[*row].subject.clone(),
        });
    }
    if !superseded.is_empty() {
        out.count.dropped.insert("superseded_base_row".to_string(), superseded.len() as u64);
    }
    let kept = base.into_iter().enumerate().filter(|(row, _)| !superseded.contains(row)).map(|(_, example)| example);
    (kept.collect(), out)
}

/// A row, and the rows that a generator made of it: they carry its label.
fn with_made_of(base: &[Example], row: usize) -> Vec<usize> {
    let is_made_of =
        |it: &Example| matches!(&it.origin, Origin::Augmented { parent, .. } if *parent == base[row].row_id);
    let made = base.iter().enumerate().filter(|(_, it)| is_made_of(it)).map(|(index, _)| index);
    std::iter::once(row).chain(made).collect()
}

/// Gives corrections a cluster and a split: that of the base rows they resemble, or train or validation by their shares.
fn place(base: &[Example], mut drafts: Vec<Draft>, recipe: &Recipe, seed: u64) -> Vec<Draft> {
    let settings = recipe.split();
    let texts: Vec<&str> =
        base.iter().map(|row| row.text.as_str()).chain(drafts.iter().map(|draft| draft.row.text.as_str())).collect();
    let found = clusters(&texts, &NearSettings::looser(settings.cluster_threshold));
    let mut homes: BTreeMap<usize, (u64, Option<Split>)> = BTreeMap::new();
    for (row, example) in base.iter().enumerate() {
        homes.entry(found.first[row]).or_insert((example.cluster, Some(example.split)));
    }
    let mut next = base.iter().map(|row| row.cluster).max().unwrap_or(0) + 1;
    for (index, draft) in drafts.iter_mut().enumerate() {
        let home = homes.entry(found.first[base.len() + index]).or_insert_with(|| {
            next += 1;
            (next - 1, None)
        });
        (draft.cluster, draft.split) = *home;
    }
    let learned = settings.train + settings.validation;
    let shares = match settings.by {
        split::By::Group => [(Split::Train, 1.0), (Split::Validation, 0.0)],
        split::By::Stratified | split::By::Time => {
            [(Split::Train, settings.train / learned), (Split::Validation, settings.validation / learned)]
        }
    };
    let homeless: Vec<(u64, &str)> =
        drafts.iter().filter(|draft| draft.split.is_none()).map(|draft| (draft.cluster, draft.label())).collect();
    let dealt = split::deal(&homeless, &shares, seed);
    for draft in &mut drafts {
        draft.split = draft.split.or_else(|| dealt.get(&draft.cluster).copied());
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Resources;
    use loopwright_guard::{RedactPolicy, Redactor};

    fn base_row(id: &str, text: &str, label: &str, split: Split, cluster: u64) -> Example {
        Example {
            row_id: id.into(),
            text: text.into(),
            label: label.into(),
            split,
            subject: Some(format!("s-{id}").as_str().into()),
            group: None,
            language: "eng".into(),
            cluster,
            source: "mail.csv".into(),
            origin: Origin::Source,
            ..Example::default()
        }
    }

    fn correction(trace: &str, text: &str, label: &str) -> Correction {
        let (trace, label, text) = (trace.into(), label.into(), text.into());
        Correction { trace, text, label, subject: Some("s-new".into()), group: None, at: Timestamp(0) }
    }

    fn run(corrections: Vec<Correction>, opted_out: &[&str]) -> Curated {
        run_with(corrections, opted_out, &Recipe::default())
    }

    fn run_with(corrections: Vec<Correction>, opted_out: &[&str], recipe: &Recipe) -> Curated {
        let base = vec![
            base_row("a", "please send me the invoice for the order of last week", "invoice", Split::Train, 1),
            base_row("b", "my kettle arrived with a crack in the glass lid", "damaged", Split::Test, 2),
            base_row("c", "i cannot sign in with my password any more", "refund", Split::Train, 3),
            base_row("d", "do you have the green backpack in the shop", "stock", Split::Validation, 4),
            Example {
                origin: Origin::Augmented { parent: "c".into(), generator: "noise".into() },
                ..base_row("c~noise-1", "i cannot sgin in with my pasword any more", "refund", Split::Train, 3)
            },
        ];
        let opted_out = opted_out.iter().map(|subject| (*subject).into()).collect();
        let redactor = Redactor::new(&RedactPolicy::default());
        let ctx = CurateContext {
            redactor: &redactor,
            known: &|_| Vec::new(),
            opted_out: &opted_out,
            seed: 3,
            resources: Resources::none(),
        };
        extend(&base, corrections, recipe, &ctx).unwrap()
    }

    #[test]
    fn each_correction_finds_its_place_or_its_reason() {
        let out = run(
            vec![
                correction("t1", "Please send me the invoice for the order of last week!", "invoice"),
                correction("t2", "my kettle arrived with a crack in the glass lid ok", "warranty"),
                correction("t3", "I cannot sign in with my password any more", "password"),
                correction("t4", "do you have the green backpack in the shop today", "stock_question"),
                correction("t5", "the ring does not pair with my phone", "pair_device"),
            ],
            &["s-d"],
        );
        let place = |id: &str| {
            out.examples.iter().find(|row| row.row_id.as_str() == id).map(|row| (row.label.as_str(), row.split))
        };
        assert_eq!(place("t1"), None);
        assert_eq!(place("t2"), None, "a twin of a test row");
        assert_eq!((place("t3"), place("c")), (Some(("password", Split::Train)), None));
        assert_eq!(place("c~noise-1"), None, "what was made of a wrong row is wrong, too");
        assert!(place("t4").is_some() && place("d").is_none(), "its twin's author opted out");
        assert!(matches!(place("t5"), Some(("pair_device", Split::Train | Split::Validation))));
        assert_eq!((place("a"), place("b")), (Some(("invoice", Split::Train)), Some(("damaged", Split::Test))));
        let reason = |id: &str| out.dropped.iter().find(|row| row.row_id.as_str() == id).map(|row| row.reason.as_str());
        assert_eq!(reason("t1"), Some("same text as a"));
        assert_eq!(reason("t2"), Some("like b of the test split"));
        assert_eq!(reason("c"), Some("a correction gives this text another label"));
        assert_eq!((out.card.n_opted_out, out.card.n_corrections, out.card.n_exact_duplicates), (1, 3, 1));
        let t5 = out.examples.iter().find(|row| row.row_id.as_str() == "t5").unwrap();
        assert_eq!(t5.origin, Origin::Correction { trace: "t5".into() });
        assert_eq!(t5.source, SOURCE);
    }

    #[test]
    fn where_rows_are_split_by_group_no_held_out_person_gets_into_train() {
        let mut recipe = Recipe::default();
        recipe.steps.pop();
        recipe.steps.push(StepSettings::Split(split::Settings { by: split::By::Group, ..Default::default() }));
        let mut of_tester = correction("t1", "the ring does not pair with my phone", "pair_device");
        of_tester.subject = Some("s-b".into());
        let corrections = vec![
            of_tester,
            correction("t2", "do you have the green backpack in the shop today", "stock"),
            correction("t3", "my new lamp flickers every evening", "damaged"),
        ];
        let out = run_with(corrections, &[], &recipe);
        let reason = |id: &str| out.dropped.iter().find(|row| row.row_id.as_str() == id).map(|row| row.reason.as_str());
        assert_eq!(reason("t1"), Some("its group is held out"));
        assert_eq!(reason("t2"), Some("like d, which is held out"));
        let t3 = out.examples.iter().find(|row| row.row_id.as_str() == "t3").unwrap();
        assert_eq!(t3.split, Split::Train);
    }

    #[test]
    fn without_corrections_the_base_is_unchanged() {
        let out = run(Vec::new(), &[]);
        assert_eq!(out.examples.len(), 5);
        assert_eq!((out.card.n_corrections, out.dropped.len()), (0, 0));
    }
}
