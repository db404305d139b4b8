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
    id::{RowId, SubjectId, TraceId},
};
use std::collections::{BTreeSet, HashMap};

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
    let drafts = cleaned(corrections, recipe, ctx, &mut extended)?;
    let firsts = |base: &[Example], drafts: &[Draft]| {
        let texts = base.iter().map(|row| row.text.as_str());
        let texts: Vec<&str> = texts.chain(drafts.iter().map(|draft| draft.row.text.as_str())).collect();
        clusters(&texts, &loose(recipe)).first
    };

    let found = firsts(&base, &drafts);
    let mut meeting = Meeting::new(&drafts, &found[base.len()..], recipe);
    base.iter().enumerate().for_each(|(row, example)| meeting.see(row, found[row], example));
    let (mut out, superseded) = meeting.judge(drafts);
    let (gone, base): (Vec<Example>, Vec<Example>) = {
        let rows = base.into_iter().enumerate().map(|(row, example)| (superseded.has(row, &example), example));
        let (gone, kept): (Vec<_>, Vec<_>) = rows.partition(|(is_gone, _)| *is_gone);
        let alone = |rows: Vec<(bool, Example)>| rows.into_iter().map(|(_, example)| example).collect();
        (alone(gone), alone(kept))
    };
    gone.iter().for_each(|example| enter_superseded(&mut out, example));

    let found = firsts(&base, &out.drafts);
    let mut homes = Homes::new(&found[base.len()..]);
    base.iter().enumerate().for_each(|(row, example)| homes.see(found[row], example));
    for row in &base {
        *extended.card.languages.entry(row.language.clone()).or_default() += 1;
    }
    let corrected = settled(out, homes, &mut extended, recipe, ctx.seed);
    extended.examples = base.into_iter().chain(corrected).collect();
    profile::fill(&mut extended.card, &extended.examples, ctx.resources);
    Ok(extended)
}

/// When a correction and a row are alike.
pub(crate) fn loose(recipe: &Recipe) -> NearSettings {
    NearSettings::looser(recipe.split().cluster_threshold)
}

/// The corrections after the steps that say something of a row.
pub(crate) fn cleaned(
    corrections: Vec<Correction>,
    recipe: &Recipe,
    ctx: &CurateContext<'_>,
    extended: &mut Curated,
) -> Result<Vec<Draft>> {
    let steps: Vec<StepSettings> = recipe.steps.iter().filter(|step| !is_about_the_whole(step)).cloned().collect();
    run_steps(&steps, corrections.into_iter().map(draft).collect(), ctx, extended)
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

/// A correction's row has the id of its answer.
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
    dropped.extend(base.iter().filter_map(|row| opted_out(row, ctx)));
    let kept: Vec<Example> = base.iter().filter(|row| opted_out(row, ctx).is_none()).cloned().collect();
    enter_base(card, base.len() as u64, kept.len() as u64);
    kept
}

/// The record of a row whose author opted out.
pub(crate) fn opted_out(row: &Example, ctx: &CurateContext<'_>) -> Option<DroppedRow> {
    let subject = row.subject.as_ref().filter(|subject| ctx.opted_out.contains(*subject))?;
    Some(DroppedRow {
        row_id: row.row_id.clone(),
        step: consent::STEP.to_string(),
        reason: "the author opted out of training".to_string(),
        subject: Some(subject.clone()),
    })
}

/// Keeps the book of the base.
pub(crate) fn enter_base(card: &mut DataCard, n_in: u64, n_kept: u64) {
    let n_out = n_in - n_kept;
    card.n_opted_out += n_out;
    let reasons = (n_out > 0).then(|| (consent::OPTED_OUT.to_string(), n_out));
    let dropped = reasons.into_iter().collect();
    card.steps.push(StepCount { step: "base".to_string(), n_in, n_out: n_kept, n_changed: 0, dropped });
}

/// Corrections among the base rows, which go by in their order.
pub(crate) struct Meeting {
    /// The corrections in each loose cluster, by the cluster's first row.
    by_cluster: HashMap<usize, Vec<usize>>,
    met: Vec<Met>,
    near: NearSettings,
    held_out: Option<HeldOut>,
}

/// What is known of a correction so far.
struct Met {
    shingles: Vec<u64>,
    key: u128,
    label: String,
    /// The base row of the test split, of no train split, with the same label, that it resembles most.
    test: Option<Like>,
    not_train: Option<Like>,
    same_label: Option<Like>,
    /// The first base row with the same text and label, and all rows with the same text.
    repeated: Option<RowId>,
    same_text: Vec<(usize, RowId)>,
}

/// A row, and how alike it is.
struct Like {
    row_id: RowId,
    similarity: f64,
}

/// Where rows are split by group: the corrections' groups, and those of them that are not in train.
struct HeldOut {
    by: GroupBy,
    asked: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Meeting {
    /// Corrections with their loose clusters, before any base row.
    pub(crate) fn new(drafts: &[Draft], clusters: &[usize], recipe: &Recipe) -> Self {
        let near = recipe.near_dedup();
        let mut by_cluster: HashMap<usize, Vec<usize>> = HashMap::new();
        clusters.iter().enumerate().for_each(|(index, first)| by_cluster.entry(*first).or_default().push(index));
        let met = drafts.iter().map(|draft| Met::new(draft, &near)).collect();
        let split = recipe.split();
        let held_out = (split.by == split::By::Group).then(|| HeldOut::new(split.group_by, drafts));
        Self { by_cluster, met, near, held_out }
    }

    /// The next base row, with its loose cluster.
    pub(crate) fn see(&mut self, row: usize, cluster: usize, example: &Example) {
        if let Some(held_out) = self.held_out.as_mut().filter(|_| example.split != Split::Train) {
            held_out.see(example);
        }
        let Some(corrections) = self.by_cluster.get(&cluster) else { return };
        let shingles = shingles(&example.text, self.near.shingle_chars);
        let key = exact_dedup::key(&example.text);
        for index in corrections {
            let met = &mut self.met[*index];
            met.see(row, key, jaccard(&met.shingles, &shingles), example);
        }
    }

    /// Takes out the corrections that repeat or leak; names the base rows that the others put right.
    pub(crate) fn judge(self, drafts: Vec<Draft>) -> (StepOutput, Superseded) {
        let Self { met, near, held_out, .. } = self;
        let mut superseded = Superseded::default();
        let out = drop_rows(STEP, drafts, |index, draft| {
            let met = &met[index];
            if let Some(like) = &met.test {
                return Some(Reason::new("like_test", format!("like {} of the test split", like.row_id)));
            }
            if let Some(reason) = held_out.as_ref().and_then(|held_out| held_out.against(draft, met)) {
                return Some(reason);
            }
            if let Some(row_id) = &met.repeated {
                return Some(Reason::new("exact_duplicate", format!("same text as {row_id}")));
            }
            if !met.same_text.is_empty() {
                superseded.add(&met.same_text);
                return None;
            }
            let Like { row_id, similarity } = met.same_label.as_ref()?;
            let text = || format!("near-duplicate of {row_id} (similarity {similarity:.2})");
            (*similarity >= near.threshold).then(|| Reason::new("near_duplicate", text()))
        });
        (out, superseded)
    }
}

impl Met {
    fn new(draft: &Draft, near: &NearSettings) -> Self {
        Self {
            shingles: shingles(&draft.row.text, near.shingle_chars),
            key: exact_dedup::key(&draft.row.text),
            label: draft.label().to_string(),
            test: None,
            not_train: None,
            same_label: None,
            repeated: None,
            same_text: Vec::new(),
        }
    }

    fn see(&mut self, row: usize, key: u128, similarity: f64, example: &Example) {
        // Of rows that are as alike the first counts.
        let closer = |like: &mut Option<Like>| {
            if like.as_ref().is_none_or(|like| similarity > like.similarity) {
                *like = Some(Like { row_id: example.row_id.clone(), similarity });
            }
        };
        if example.split == Split::Test {
            closer(&mut self.test);
        }
        if example.split != Split::Train {
            closer(&mut self.not_train);
        }
        if example.label == self.label {
            closer(&mut self.same_label);
        }
        if key == self.key {
            self.same_text.push((row, example.row_id.clone()));
            if example.label == self.label {
                self.repeated.get_or_insert_with(|| example.row_id.clone());
            }
        }
    }
}

impl HeldOut {
    fn new(by: GroupBy, drafts: &[Draft]) -> Self {
        let key = |draft: &Draft| {
            by.key(draft.row.subject.as_ref(), draft.row.group.as_deref(), &draft.row.source).map(str::to_string)
        };
        Self { by, asked: drafts.iter().filter_map(key).collect(), groups: BTreeSet::new() }
    }

    fn see(&mut self, example: &Example) {
        let key = self.by.key(example.subject.as_ref(), example.group.as_deref(), &example.source);
        if let Some(key) = key.filter(|key| self.asked.contains(*key)) {
            self.groups.insert(key.to_string());
        }
    }

    /// Why a correction may not go to train.
    fn against(&self, draft: &Draft, met: &Met) -> Option<Reason> {
        let row = &draft.row;
        let key = self.by.key(row.subject.as_ref(), row.group.as_deref(), &row.source);
        if key.is_some_and(|key| self.groups.contains(key)) {
            return Some(Reason::new("held_out_group", "its group is held out"));
        }
        let like = met.not_train.as_ref()?;
        Some(Reason::new("like_held_out", format!("like {}, which is held out", like.row_id)))
    }
}

/// Base rows that corrections put right, and their ids: what a generator made of them carries their label and goes, too.
#[derive(Default)]
pub(crate) struct Superseded {
    rows: BTreeSet<usize>,
    ids: BTreeSet<RowId>,
}

impl Superseded {
    fn add(&mut self, same_text: &[(usize, RowId)]) {
        self.rows.extend(same_text.iter().map(|(row, _)| *row));
        self.ids.extend(same_text.iter().map(|(_, row_id)| row_id.clone()));
    }

    /// Whether the base row at this place goes.
    pub(crate) fn has(&self, row: usize, example: &Example) -> bool {
        let is_made_of_one =
            || matches!(&example.origin, Origin::Augmented { parent, .. } if self.ids.contains(parent));
        self.rows.contains(&row) || is_made_of_one()
    }
}

/// Keeps the book of a base row that a correction puts right.
pub(crate) fn enter_superseded(out: &mut StepOutput, example: &Example) {
    out.dropped.push(DroppedRow {
        row_id: example.row_id.clone(),
        step: STEP.to_string(),
        reason: "a correction gives this text another label".to_string(),
        subject: example.subject.clone(),
    });
    *out.count.dropped.entry("superseded_base_row".to_string()).or_default() += 1;
}

/// Where corrections belong: beside the base rows that they resemble.
pub(crate) struct Homes {
    /// Each correction's loose cluster, by the cluster's first row.
    clusters: Vec<usize>,
    /// Number and split of those clusters that have a base row.
    homes: HashMap<usize, Option<(u64, Split)>>,
    cluster_max: u64,
}

impl Homes {
    /// Corrections with their loose clusters, before any base row.
    pub(crate) fn new(clusters: &[usize]) -> Self {
        let homes = clusters.iter().map(|first| (*first, None)).collect();
        Self { clusters: clusters.to_vec(), homes, cluster_max: 0 }
    }

    /// The next base row, with its loose cluster.
    pub(crate) fn see(&mut self, cluster: usize, example: &Example) {
        self.cluster_max = self.cluster_max.max(example.cluster);
        if let Some(home) = self.homes.get_mut(&cluster) {
            home.get_or_insert((example.cluster, example.split));
        }
    }

    /// Gives corrections a cluster and a split: those of the base rows they resemble, or train or validation by their
    /// shares.
    fn place(self, mut drafts: Vec<Draft>, recipe: &Recipe, seed: u64) -> Vec<Draft> {
        let mut next = self.cluster_max + 1;
        let mut homes: HashMap<usize, (u64, Option<Split>)> = HashMap::new();
        let known = |first: &usize| self.homes.get(first).copied().flatten();
        for (first, draft) in self.clusters.iter().zip(&mut drafts) {
            let home = homes.entry(*first).or_insert_with(|| match known(first) {
                Some((cluster, split)) => (cluster, Some(split)),
                None => {
                    next += 1;
                    (next - 1, None)
                }
            });
            (draft.cluster, draft.split) = *home;
        }
        let settings = recipe.split();
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
}

/// Keeps the book of the merge, and gives the corrections that stay as rows of the version.
pub(crate) fn settled(
    out: StepOutput,
    homes: Homes,
    extended: &mut Curated,
    recipe: &Recipe,
    seed: u64,
) -> Vec<Example> {
    let class = |name: &str| out.count.dropped.get(name).copied().unwrap_or(0);
    extended.card.n_exact_duplicates += class("exact_duplicate");
    extended.card.n_near_duplicates += class("near_duplicate");
    let added = homes.place(extended.enter(out), recipe, seed);
    extended.card.n_corrections = added.len() as u64;
    let corrected = |draft: Draft| {
        let trace = TraceId::new(draft.row.row_id.clone());
        example(draft, Origin::Correction { trace })
    };
    added.into_iter().filter_map(corrected).collect()
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
