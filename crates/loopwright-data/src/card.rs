//! A data card as a page of Markdown.

use loopwright_types::dataset::{DataCard, RowTokens, StepCount};
use std::{collections::BTreeMap, fmt::Write};

/// Signs of the longest bar of a plot.
const BAR_SIGNS: u64 = 40;

/// The card of the dataset version `name` (e.g. `support@1`).
pub fn to_markdown(card: &DataCard, name: &str) -> String {
    let n_rows: u64 = card.splits.values().sum();
    let mut page = format!("# Data card: {name}\n\n{n_rows} rows");
    let splits: Vec<String> = ["train", "validation", "test"]
        .iter()
        .filter_map(|split| card.splits.get(*split).map(|n| format!("{n} {split}")))
        .collect();
    if !splits.is_empty() {
        page += &format!(": {}", splits.join(", "));
    }
    page += ".\n\n## How they were made\n\n";
    page += "| step | rows in | rows out | changed | left out, by reason |\n|---|---:|---:|---:|---|\n";
    card.steps.iter().for_each(|step| page += &step_line(step));
    page += "\n## What was left out or masked\n\n";
    for (what, n) in [
        ("rows that could not be read", card.n_rejected),
        ("exact duplicates", card.n_exact_duplicates),
        ("near-duplicates", card.n_near_duplicates),
        ("rows with a label that the others contradict", card.n_label_conflicts),
        ("rows of people who opted out of training", card.n_opted_out),
        ("rows of people who were erased", card.n_erased),
    ] {
        page += &format!("- {n} {what}\n");
    }
    let masks: Vec<String> = card.pii.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    page += &format!(
        "- masked in the kept rows: {}\n",
        if masks.is_empty() { "nothing".to_string() } else { masks.join(", ") }
    );
    if card.n_corrections > 0 {
        page += &format!("\n{} rows are corrections from feedback.\n", card.n_corrections);
    }
    if !card.n_augmented.is_empty() {
        let made: Vec<String> = card.n_augmented.iter().map(|(generator, n)| format!("{n} {generator}")).collect();
        page += &format!("\nRows that nobody wrote, by what made them: {}. All are in train.\n", made.join(", "));
    }
    let [min, median, p95, max] = card.length_chars;
    page += &format!(
        "\n## What they hold\n\nLength in characters: {min} to {max}, median {median}, 95th percentile {p95}.\n"
    );
    page += &plot("characters", card.lengths.iter().map(|bin| (bin.chars_max, bin.n_rows)));
    if let Some(tokens) = &card.tokens {
        page += &tokens_of(tokens);
    }
    page += &table("label", &card.labels, n_rows);
    page += &table("group", &card.groups, n_rows);
    page += &table("language, before the filter", &card.languages, card.languages.values().sum());
    page += &table("source", &card.sources, n_rows);
    let months = card.months.iter().map(|(month, by_source)| (month.clone(), by_source.values().sum()));
    page += &bars("month", &months.collect::<Vec<(String, u64)>>());
    page
}

fn tokens_of(tokens: &RowTokens) -> String {
    let [min, median, p95, max] = tokens.per_row;
    let told = format!(
        "\n{} tokens in all, {min} to {max} a row, median {median}, 95th percentile {p95}; {}.\n",
        tokens.n_tokens,
        tokens.counted()
    );
    told + &plot("tokens", tokens.bins.iter().map(|bin| (bin.tokens_max, bin.n_rows)))
}

/// Rows by a length, in bins of which each begins behind the one before.
fn plot(title: &str, bins: impl Iterator<Item = (u64, u64)>) -> String {
    let mut above = None;
    let named = |(most, n_rows): (u64, u64)| match above.replace(most) {
        None => (format!("up to {most}"), n_rows),
        Some(below) => (format!("{} to {most}", below + 1), n_rows),
    };
    bars(title, &bins.map(named).collect::<Vec<(String, u64)>>())
}

/// Counts in their order, with bars; nothing if there is none.
fn bars(title: &str, counts: &[(String, u64)]) -> String {
    let Some(most) = counts.iter().map(|(_, n)| *n).max() else { return String::new() };
    let mut table = format!("\n| {title} | rows | |\n|---|---:|---|\n");
    for (name, n) in counts {
        // A count that is not nothing is not drawn as nothing.
        let bar = "█".repeat((n * BAR_SIGNS).div_ceil(most.max(1)) as usize);
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {name} | {n} | {bar} |");
    }
    table
}

fn step_line(step: &StepCount) -> String {
    let reasons: Vec<String> = step.dropped.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    format!("| {} | {} | {} | {} | {} |\n", step.step, step.n_in, step.n_out, step.n_changed, reasons.join(", "))
}

/// Counts, most frequent first, with their shares; nothing for an empty table.
fn table(title: &str, counts: &BTreeMap<String, u64>, total: u64) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let mut rows: Vec<(&String, &u64)> = counts.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut table = format!("\n| {title} | rows | share |\n|---|---:|---:|\n");
    for (name, n) in rows {
        let share = 100.0 * *n as f64 / total.max(1) as f64;
        let name = name.replace('|', "\\|").replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {name} | {n} | {share:.1}% |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::dataset::{LengthBin, TokensBin};

    #[test]
    fn the_page_shows_every_figure() {
        let mut card =
            DataCard { n_rejected: 2, length_chars: [4, 80, 200, 310], n_corrections: 5, ..DataCard::default() };
        card.splits = BTreeMap::from([("train".into(), 8), ("test".into(), 2)]);
        card.labels = BTreeMap::from([("refund".into(), 7), ("a|b".into(), 3)]);
        card.pii = BTreeMap::from([("email".into(), 4)]);
        card.n_augmented = BTreeMap::from([("noise".into(), 6), ("slots".into(), 1)]);
        card.lengths = vec![LengthBin { chars_max: 50, n_rows: 2 }, LengthBin { chars_max: 100, n_rows: 8 }];
        let bins = [(10, 9), (20, 0), (50, 1)].map(|(tokens_max, n_rows)| TokensBin { tokens_max, n_rows }).to_vec();
        let tokens = RowTokens { counted_by: "smollm@1".into(), n_tokens: 95, per_row: [1, 8, 40, 40], bins };
        card.tokens = Some(tokens.clone());
        card.sources = BTreeMap::from([("month-1.csv".into(), 10)]);
        card.months = BTreeMap::from([("2026-01".into(), BTreeMap::from([("a".into(), 1), ("b".into(), 3)]))]);
        let dropped = BTreeMap::from([("empty".into(), 3)]);
        card.steps = vec![StepCount { step: "length".into(), n_in: 13, n_out: 10, n_changed: 0, dropped }];
        let page = to_markdown(&card, "support@2");
        for line in [
            "# Data card: support@2",
            "10 rows: 8 train, 2 test.",
            "| length | 13 | 10 | 0 | 3 empty |",
            "- 2 rows that could not be read",
            "- masked in the kept rows: 4 email",
            "5 rows are corrections from feedback.",
            "Rows that nobody wrote, by what made them: 6 noise, 1 slots. All are in train.",
            "Length in characters: 4 to 310, median 80, 95th percentile 200.",
            "95 tokens in all, 1 to 40 a row, median 8, 95th percentile 40; counted with the tokenizer of smollm@1.",
            "| up to 50 | 2 | ██████████ |",
            "| tokens | rows | |",
            "| 11 to 20 | 0 |  |",
            "| 21 to 50 | 1 | █████ |",
            "| month-1.csv | 10 | 100.0% |",
            "| 2026-01 | 4 | ████████████████████████████████████████ |",
            "| refund | 7 | 70.0% |",
            "| a\\|b | 3 | 30.0% |",
        ] {
            assert!(page.contains(line), "`{line}` is missing in:\n{page}");
        }
        assert!(!page.contains("| group |"), "an empty table is left out");
        card.tokens = Some(RowTokens { counted_by: RowTokens::PIECES.into(), ..tokens });
        let page = to_markdown(&card, "support@2");
        assert!(page.contains("counted in pieces (runs of letters, digits and signs)"), "{page}");
        card.tokens = None;
        assert!(!to_markdown(&card, "support@2").contains("tokens"), "an earlier card has none");
    }
}
