//! Stages 10 and 11: an answer explained, and three people who exercise their rights.

use super::{Walk, serve};
use crate::{
    error::{Error, Result},
    jobs::{curate, customers, erase, explain, subject},
    runner::Marks,
    tables::rows_of_subject,
    work,
};
use loopwright_store::{TableKey, TraceQuery};
use loopwright_types::{
    DatasetVersion, Split,
    explain::Explanation,
    id::SubjectId,
    subject::{Erasure, Subject},
    trace::Trace,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Words in the message that is explained, at least: a short one has nothing to weigh.
const WORDS_MIN: usize = 8;

/// What was explained. The explanation itself stays a record of its own, which an erasure can remove.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The explanation's id.
    pub id: String,
}

pub(crate) async fn explain(walk: Walk, _: Marks) -> Result<Explained> {
    let live = crate::jobs::deploy::live(&walk.ctx, &walk.it).await?;
    let query = TraceQuery { route: Some(walk.it.name.clone()), limit: u32::MAX, ..Default::default() };
    let traces = walk.ctx.store.traces(&query).await?;
    let of_live = |trace: &&Trace| Some(&trace.model) == live.as_ref() && explain::label_of(&trace.output).is_some();
    let long = |trace: &&Trace| trace.input.split_whitespace().count() >= WORDS_MIN;
    let trace = traces.iter().filter(of_live).find(long).or_else(|| traces.iter().find(of_live));
    let trace = trace.ok_or_else(|| Error::user("no answer of the live version is kept"))?;
    Ok(Explained { id: explain::of_trace(&walk.ctx, &walk.it, &trace.id).await?.id })
}

pub(crate) fn say_explained(walk: &Walk, it: Option<&Explanation>) {
    let Some(it) = it else {
        return walk.ctx.say("the explanation quoted somebody who was erased since: it is gone");
    };
    walk.ctx.say(format!("“{}” was answered {} with probability {:.2}", it.input, it.answer, it.probability));
    let mut parts: Vec<_> = it.segments.iter().collect();
    parts.sort_by(|a, b| b.shapley.abs().total_cmp(&a.shapley.abs()));
    let part = |s: &&loopwright_types::explain::Segment| {
        format!("“{}” {:+.2} (LIME {:+.2})", s.text.trim(), s.shapley, s.lime)
    };
    walk.ctx.say(format!(
        "exact Shapley values, most telling first: {}",
        parts.iter().take(3).map(part).collect::<Vec<_>>().join(", ")
    ));
    if let Some(near) = it.nearest.first() {
        walk.ctx.say(format!("nearest row it learned from: “{}” ({})", near.text, near.label));
    }
}

/// Three people, three rights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Erased {
    /// What the first person was given: rows, traces and pieces of feedback.
    pub exported: [u64; 3],
    /// The version that leaves the second person's rows out.
    pub without_opted_out: DatasetVersion,
    /// Rows of the second person in that version: must be 0.
    pub n_rows_of_opted_out: u64,
    /// The third person's erasure, with its receipt.
    pub erasure: Erasure,
}

/// The three, chosen once: after the erasure the third cannot be found again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Three {
    exported: String,
    opted_out: String,
    /// Only the pseudonym: marks outlive the erasure.
    erased: SubjectId,
}

pub(crate) async fn erase(walk: Walk, marks: Marks) -> Result<Erased> {
    let ctx = &walk.ctx;
    let three: Three = match marks.read().await? {
        Some(three) => three,
        None => {
            let three = choose(&walk).await?;
            marks.write(&three).await?;
            three
        }
    };
    let exported = subject::export(ctx, &three.exported).await?;
    let second = subject::set_training_allowed(ctx, &three.opted_out, false).await?;
    let begun = erase::all(ctx).await?.into_iter().find(|erasure| erasure.subject == three.erased);
    if begun.is_none() {
        // The next version, before anybody is erased: it says how many rows were left out.
        curate::with_corrections(ctx, &walk.it).await?;
    }
    let erasure = match begun {
        Some(erasure) if erasure.done_at.is_some() => erasure,
        _ => {
            if let Some(third) = ctx.store.get::<Subject>(three.erased.as_str()).await? {
                erase::begin(ctx, &third.external_id).await?;
            }
            work::until_idle(ctx).await?;
            closed(&walk, &three.erased).await?
        }
    };
    if let Some(model) = &erasure.retrained {
        serve::wait_until_ready(&walk.door, model).await?;
    }
    let version = curate::require_newest(ctx, &walk.it).await?;
    let key = TableKey::Examples(version.dataset.clone());
    let n_rows_of_opted_out = rows_of_subject(ctx, &key, &second.id).await?.len() as u64;
    Ok(Erased {
        exported: [exported.n_rows, exported.n_traces, exported.n_feedback],
        without_opted_out: version,
        n_rows_of_opted_out,
        erasure,
    })
}

async fn closed(walk: &Walk, subject: &SubjectId) -> Result<Erasure> {
    let erasure = erase::all(&walk.ctx).await?.into_iter().find(|erasure| erasure.subject == *subject);
    let erasure = erasure.ok_or_else(|| Error::bug("the erasure was not recorded"))?;
    erase::close(&walk.ctx, &erasure.id).await
}

/// Three different people with rows that were learned from and with traces.
async fn choose(walk: &Walk) -> Result<Three> {
    let dataset = curate::require_newest(&walk.ctx, &walk.it).await?.dataset;
    let rows = walk.ctx.store.tables().read_examples(&dataset, Some(Split::Train)).await?;
    let mut n_rows: BTreeMap<SubjectId, u64> = BTreeMap::new();
    for subject in rows.into_iter().filter_map(|row| row.subject) {
        *n_rows.entry(subject).or_default() += 1;
    }
    let query = TraceQuery { route: Some(walk.it.name.clone()), limit: u32::MAX, ..Default::default() };
    let traced: BTreeSet<SubjectId> =
        walk.ctx.store.traces(&query).await?.into_iter().filter_map(|trace| trace.subject).collect();
    let mut people: Vec<Subject> = customers::all(&walk.ctx)
        .await?
        .into_iter()
        .filter(|s| n_rows.contains_key(&s.id) && traced.contains(&s.id))
        .collect();
    people.sort_by(|a, b| n_rows[&b.id].cmp(&n_rows[&a.id]).then_with(|| a.external_id.cmp(&b.external_id)));
    match people.as_slice() {
        [a, b, c, ..] => {
            Ok(Three { exported: b.external_id.clone(), opted_out: c.external_id.clone(), erased: a.id.clone() })
        }
        _ => Err(Error::user("fewer than three customers have both rows and traces")),
    }
}

pub(crate) fn say_erased(walk: &Walk, it: &Erased) {
    let [rows, traces, feedback] = it.exported;
    walk.ctx.say(format!("one customer asked for a copy: {rows} rows, {traces} traces, {feedback} pieces of feedback written to `exports/`"));
    walk.ctx.say(format!(
        "a second opted out of training: dataset {} leaves {} rows out",
        it.without_opted_out.dataset, it.without_opted_out.card.n_opted_out,
    ));
    let removed: u64 = it.erasure.removed.values().sum();
    let models = it.erasure.models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let new = it.erasure.retrained.as_ref().map_or("none".into(), ToString::to_string);
    walk.ctx.say(format!(
        "a third was erased: {removed} rows and records removed, {models} retired, {new} trained without them and live"
    ));
    walk.ctx.say(format!(
        "receipt signed after reading {} files ({:.1} MiB, compressed contents unpacked) and finding none of {} strings",
        it.erasure.n_files_scanned,
        it.erasure.n_bytes_scanned as f64 / f64::from(1 << 20),
        it.erasure.n_strings,
    ));
}
