//! The oldest rows first.

use loopwright_types::{Split, Timestamp};

/// The split of each row by its time; none for rows without one. A split ends after its share of the rows, and then after
/// the last row of that moment, so that rows of one moment are never parted.
pub(crate) fn splits(times: &[Option<Timestamp>], shares: &[(Split, f64)]) -> Vec<Option<Split>> {
    let mut dated: Vec<(Timestamp, usize)> =
        times.iter().enumerate().filter_map(|(row, at)| Some(((*at)?, row))).collect();
    dated.sort();
    let mut splits = vec![None; times.len()];
    let (mut start, mut share_before) = (0, 0.0);
    for (number, (split, share)) in shares.iter().enumerate() {
        share_before += share;
        let is_last = number + 1 == shares.len();
        let end = if is_last { dated.len() } else { end_of_moment(&dated, start, share_before) };
        dated[start..end].iter().for_each(|(_, row)| splits[*row] = Some(*split));
        start = end;
    }
    splits
}

/// The end of the part that starts at `start` and ends at this share of all, moved on to the end of a moment.
fn end_of_moment(dated: &[(Timestamp, usize)], start: usize, share: f64) -> usize {
    let end = ((dated.len() as f64 * share).round() as usize).clamp(start, dated.len());
    if end == start {
        return end;
    }
    let moment = dated[end - 1].0;
    end + dated[end..].iter().take_while(|(at, _)| *at == moment).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[Option<i64>], expected: &str) {
        let times: Vec<Option<Timestamp>> = times.iter().map(|at| at.map(Timestamp)).collect();
        let shares = [(Split::Train, 0.5), (Split::Validation, 0.25), (Split::Test, 0.25)];
        let digit = |split: &Option<Split>| match split {
            None => '-',
            Some(Split::Train) => '1',
            Some(Split::Validation) => '2',
            Some(Split::Test) => '3',
        };
        assert_eq!(splits(&times, &shares).iter().map(digit).collect::<String>(), expected, "{times:?}");
    }

    #[test]
    fn rows_are_cut_by_time_and_moments_stay_whole() {
        check(&[Some(4), Some(3), Some(2), Some(1)], "3211");
        // The first moment takes three of four rows, which leaves none for validation.
        check(&[Some(1), Some(1), Some(1), Some(9)], "1113");
        check(&[Some(1), Some(0), None, Some(2), Some(2)], "11-22");
        check(&[], "");
    }
}
