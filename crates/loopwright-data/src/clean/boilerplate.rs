//! Takes lines out that many rows share, and rows of which nothing is left; see [`loopwright_corpus::quality::boilerplate`].

use super::line_dedup::emptied;
use crate::{
    Error, Result,
    draft::{Draft, StepOutput, Verdict, judge_rows},
    rows::rewrite::{Rewritten, parts},
};
use loopwright_corpus::quality::boilerplate::{Counts, STEP, Settings, Unit, count, drop};
use loopwright_types::SourceRow;
use rayon::prelude::*;

/// Bytes that a different line takes while lines are counted: hash and count, in a table at most half empty.
pub(crate) const LINE_BYTES: u64 = 32;

/// Refuses bounds by which everything would be boilerplate.
pub(crate) fn check(settings: &Settings) -> Result<()> {
    let is_fine = settings.documents_min >= 2;
    is_fine
        .then_some(())
        .ok_or_else(|| Error::setting("boilerplate.documents_min", settings.documents_min, "2 or more"))
}

/// Takes out what stands in many of these rows.
pub fn apply(drafts: Vec<Draft>, settings: &Settings) -> StepOutput {
    let mut counts = counted(&drafts, settings);
    counts.keep_boilerplate(settings);
    judge_rows(STEP, drafts, |_, draft| without(&draft.row, &counts, settings))
}

/// In how many of these rows each line stands.
pub(crate) fn counted(drafts: &[Draft], settings: &Settings) -> Counts {
    let separator = match settings.unit {
        Unit::Lines => "\n",
        Unit::Paragraphs => "\n\n",
    };
    let counts = drafts.par_iter().fold(Counts::default, |mut counts, draft| {
        count(&mut counts, &parts(&draft.row).join(separator), settings);
        counts
    });
    counts.reduce(Counts::default, |mut sum, part| {
        sum.merge(part);
        sum
    })
}

/// A row without its boilerplate.
pub(crate) fn without(row: &SourceRow, counts: &Counts, settings: &Settings) -> Verdict {
    emptied(Rewritten::of(row, |part| drop(part, counts, settings)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_rows_share_goes() {
        let row = |text: &str| Draft::new(SourceRow { text: text.to_string(), ..SourceRow::default() });
        let settings = Settings { documents_min: 2, ..Settings::default() };
        let rows = vec![row("All about cats\nPage 3 of 12, please turn"), row("page 4 of 12, please turn")];
        let out = apply(rows, &settings);
        assert_eq!(out.drafts.len(), 1);
        assert_eq!(out.drafts[0].row.text, "All about cats");
        assert_eq!(out.count.dropped["emptied"], 1);
        assert!(check(&settings).is_ok() && check(&Settings { documents_min: 1, ..settings }).is_err());
    }
}
