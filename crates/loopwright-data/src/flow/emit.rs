//! The last phase: rows go out through the sinks.

use super::{
    part::{self, Rows},
    progress::Meter,
};
use crate::{
    Result,
    profile::Profile,
    recipe::example,
    rows::{ChangedRow, OfStep},
    version::Running,
};
use loopwright_types::{
    Digest, Example,
    dataset::{DataCard, DroppedRow, Origin},
};
use std::path::{Path, PathBuf};

/// Takes rows that go out, in batches.
pub type Sink<'a, T> = &'a mut dyn FnMut(&[T]) -> Result<()>;

/// Sends the rows of the version out; gives their number and digest, and writes their figures into the card.
pub(crate) fn examples(
    rows: &Rows,
    card: &mut DataCard,
    mut profile: Profile<'_>,
    sink: Sink<'_, Example>,
    meter: &mut Meter<'_>,
) -> Result<(u64, Digest)> {
    let (mut digest, mut n_examples) = (Running::default(), 0);
    for index in 0..rows.n_parts {
        let drafts = rows.part(index)?;
        let (n_rows, n_bytes) = (drafts.len() as u64, part::text_bytes(&drafts));
        let examples: Vec<Example> = drafts.into_iter().filter_map(|draft| example(draft, Origin::Source)).collect();
        profile.add(&examples);
        examples.iter().for_each(|row| digest.add(row));
        n_examples += examples.len() as u64;
        if !examples.is_empty() {
            sink(&examples)?;
        }
        meter.add(n_rows, n_bytes)?;
    }
    profile.fill(card);
    Ok((n_examples, digest.finish()))
}

/// A finished phase: its folder and how many steps it was made of.
pub(crate) type PhaseDone = (PathBuf, usize);

/// Sends the rows left out, in the order of the steps and then of the rows; gives their number.
pub(crate) fn dropped(phases: &[PhaseDone], sink: Sink<'_, DroppedRow>) -> Result<u64> {
    by_step(phases, part::dropped, sink)
}

/// Sends what was changed, in the same order; gives its number.
pub(crate) fn changed(phases: &[PhaseDone], sink: Sink<'_, ChangedRow>) -> Result<u64> {
    by_step(phases, part::changed, sink)
}

fn by_step<T>(
    phases: &[PhaseDone],
    read: impl Fn(&Path, usize) -> Result<Vec<OfStep<T>>>,
    sink: Sink<'_, T>,
) -> Result<u64> {
    let mut n_sent = 0;
    for (folder, n_steps) in phases {
        let n_parts = part::count(folder);
        for step in 0..*n_steps {
            for index in 0..n_parts {
                let records = read(folder, index)?.into_iter();
                let records: Vec<T> =
                    records.filter(|(of, _)| usize::from(*of) == step).map(|(_, record)| record).collect();
                n_sent += records.len() as u64;
                if !records.is_empty() {
                    sink(&records)?;
                }
            }
        }
    }
    Ok(n_sent)
}
