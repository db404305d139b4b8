//! Each expectation once broken and once kept, on rows small enough to count by hand.

use super::*;
use loopwright_guard::RedactPolicy;
use loopwright_types::{Split, dataset::Origin};
use proptest::prelude::*;

fn row(id: &str, text: &str, label: &str) -> Example {
    Example {
        row_id: id.into(),
        text: text.into(),
        label: label.into(),
        split: Split::Train,
        subject: None,
        group: Some("g".into()),
        language: "eng".into(),
        cluster: 1,
        source: "s".into(),
        origin: Origin::Source,
        ..Example::default()
    }
}

fn rows() -> Vec<Example> {
    let mut rows = vec![
        row("a", "where is my parcel of last week please", "track"),
        row("b", "Where is my parcel of last week, please!", "track"),
        row("c", "write to mara@mail.example about 4000", "contact"),
        row("d", "ja", "track"),
        row("d", "<EMAIL> is masked already", "track"),
    ];
    rows[3].language = "deu".into();
    rows[4].group = None;
    rows
}

/// What the settings find broken: expectation, measured value, number failing, the failing rows' ids and values.
fn broken_by(settings: &str) -> Vec<(String, String, u64, Vec<String>)> {
    let settings: Expectations = serde_json::from_str(settings).unwrap();
    let redactor = Redactor::new(&RedactPolicy::default());
    let show = |failing: &Failing| match &failing.row_id {
        Some(id) => format!("{id}: {}", failing.measured),
        None => failing.measured.clone(),
    };
    let found = check(&rows(), &settings, &redactor).unwrap();
    found
        .into_iter()
        .map(|it| (it.expectation, it.measured, it.n_failing, it.failing.iter().map(show).collect()))
        .collect()
}

fn check_broken(settings: &str, name: &str, measured: &str, n_failing: u64, failing: &[&str]) {
    let failing = failing.iter().map(|it| it.to_string()).collect();
    assert_eq!(broken_by(settings), [(name.to_string(), measured.to_string(), n_failing, failing)], "{settings}");
}

#[test]
fn every_expectation_can_break() {
    check_broken(r#"{"rows": {"min": 6}}"#, "rows", "5 rows", 5, &[]);
    check_broken(r#"{"required": ["group"]}"#, "required.group", "1 of 5 rows without", 1, &["d: no value"]);
    check_broken(
        r#"{"unique": ["row_id"]}"#,
        "unique.row_id",
        "1 of 5 rows repeat an earlier one",
        1,
        &["d: same as d"],
    );
    check_broken(
        r#"{"null_share_max": {"subject": 0.5}, "rows_shown_max": 2}"#,
        "null_share_max.subject",
        "1.0000, 5 of 5 rows",
        5,
        &["a: no value", "b: no value"],
    );
    check_broken(
        r#"{"allowed": {"label": ["track"]}}"#,
        "allowed.label",
        "1 of 5 rows have another",
        1,
        &["c: `contact`"],
    );
    check_broken(r#"{"ranges": {"chars": {"min": 3}}}"#, "ranges.chars", "2 to 40", 1, &["d: 2"]);
    check_broken(r#"{"ranges": {"words": {"max": 7}}}"#, "ranges.words", "1 to 8", 2, &["a: 8", "b: 8"]);
    check_broken(
        r#"{"label_rows_min": 2}"#,
        "label_rows_min",
        "the smallest label has 1 rows",
        1,
        &["`contact` has 1 rows"],
    );
    check_broken(
        r#"{"label_imbalance_max": 3.5}"#,
        "label_imbalance_max",
        "4.00",
        2,
        &["`track` has 4 rows", "`contact` has 1 rows"],
    );
    check_broken(r#"{"pii_share_max": 0.1}"#, "pii_share_max", "0.2000, 1 of 5 rows", 1, &["c: 1 email"]);
    check_broken(
        r#"{"language_share_min": {"eng": 0.9}}"#,
        "language_share_min.eng",
        "0.8000, 4 of 5 rows",
        1,
        &["d: `deu`"],
    );
    check_broken(
        r#"{"duplicate_share_max": 0.0}"#,
        "duplicate_share_max",
        "0.2000, 1 of 5 rows",
        1,
        &["b: like a (similarity 1.00)"],
    );
}

#[test]
fn every_expectation_can_hold() {
    for settings in [
        "{}",
        r#"{"rows": {"min": 5, "max": 5}}"#,
        r#"{"required": ["text", "label", "row_id", "split", "source"]}"#,
        r#"{"unique": ["text", "subject"]}"#,
        r#"{"null_share_max": {"group": 0.2, "language": 0.0}}"#,
        r#"{"allowed": {"label": ["track", "contact"], "subject": []}}"#,
        r#"{"ranges": {"chars": {"min": 2, "max": 40}, "letter_share": {"min": 0.7}}}"#,
        r#"{"label_rows_min": 1, "label_imbalance_max": 4.0}"#,
        r#"{"pii_share_max": 0.2, "duplicate_share_max": 0.2, "language_share_min": {"eng": 0.8}}"#,
    ] {
        assert_eq!(broken_by(settings), [], "{settings}");
    }
}

#[test]
fn a_report_shows_neither_texts_nor_people() {
    let mut rows = rows();
    rows[0].subject = Some("s-9f3".into());
    let settings = r#"{"allowed": {"text": [], "subject": []}, "unique": ["text"], "pii_share_max": 0.0}"#;
    let settings: Expectations = serde_json::from_str(settings).unwrap();
    let found = check(&rows, &settings, &Redactor::new(&RedactPolicy::default())).unwrap();
    assert_eq!(found.len(), 3);
    let page = serde_json::to_string(&found).unwrap();
    for secret in ["s-9f3", "parcel", "mara"] {
        assert!(!page.contains(secret), "{secret} in {page}");
    }
}

#[test]
fn settings_survive_json_and_nonsense_is_refused() {
    let settings: Expectations = serde_json::from_str(r#"{"ranges": {"chars": {"max": 9}}}"#).unwrap();
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<Expectations>(&json).unwrap(), settings);
    for unknown in [r#"{"pii_share": 0}"#, r#"{"ranges": {"lines": {}}}"#, r#"{"rows": {"least": 1}}"#] {
        assert!(serde_json::from_str::<Expectations>(unknown).is_err(), "{unknown}");
    }
    for (wrong, message) in [
        (r#"{"pii_share_max": 1.5}"#, "`expect.pii_share_max` is 1.5, expected 0 to 1"),
        (r#"{"rows": {"min": 2, "max": 1}}"#, "`expect.rows` is 2 to 1, expected finite ends, the lower first"),
        (r#"{"label_imbalance_max": 0.5}"#, "`expect.label_imbalance_max` is 0.5, expected 1 or more"),
    ] {
        let settings: Expectations = serde_json::from_str(wrong).unwrap();
        assert_eq!(settings.validate().unwrap_err().to_string(), message);
    }
}

fn messages() -> impl Strategy<Value = Vec<String>> {
    let part = ["my kettle ", "arrived broken ", "where is ", "the order ", "please ", "refund ", "today ", "now "];
    let message = prop::collection::vec(prop::sample::select(part.to_vec()), 1..6).prop_map(|parts| parts.concat());
    prop::collection::vec(message, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn near_duplicates_on_disk_are_those_in_memory(texts in messages(), batch in 1usize..60, shown in 0usize..9) {
        let named = |(index, text): (usize, &String)| row(&format!("r{index}"), text, "x");
        let rows: Vec<Example> = texts.iter().enumerate().map(named).collect();
        let expected = Expectations { duplicate_share_max: Some(0.1), rows_shown_max: shown, ..Default::default() };
        let redactor = Redactor::new(&RedactPolicy::default());
        let dir = tempfile::tempdir().unwrap();
        let mut checker = Checker::new(&expected, &dir.path().join("aside"), 16 * 1024).unwrap();
        rows.chunks(batch).for_each(|rows| checker.see(rows, &redactor).unwrap());
        prop_assert_eq!(checker.finish().unwrap(), check(&rows, &expected, &redactor).unwrap());
    }
}

#[test]
fn more_rows_than_the_memory_has_room_for_are_refused() {
    let expected = Expectations { duplicate_share_max: Some(0.1), ..Default::default() };
    let redactor = Redactor::new(&RedactPolicy::default());
    let dir = tempfile::tempdir().unwrap();
    let mut checker = Checker::new(&expected, dir.path(), 64).unwrap();
    checker.see(&rows(), &redactor).unwrap();
    let error = checker.finish().unwrap_err();
    assert!(error.kind() == crate::Kind::Memory && error.to_string().contains("duplicate_share_max"), "{error}");
}
