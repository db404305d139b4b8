//! The example data gives the same version today as on the day its digest was written down: a faster or leaner way of
//! curating must not be another way of curating.
#![allow(clippy::unwrap_used)]

use loopwright_data::{
    example::{ExampleRow, ExampleSettings, generate},
    extend::{Correction, extend},
    recipe::{CurateContext, Curated, Recipe, curate},
    version,
};
use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_types::{Digest, SourceRow, id::SubjectId};
use std::collections::{BTreeMap, BTreeSet};

fn source_row(index: usize, row: &ExampleRow) -> SourceRow {
    SourceRow {
        row_id: row.id.clone(),
        source: "month-1.csv".into(),
        row_index: index as u64 + 1,
        text: row.text.clone(),
        label: (!row.label.is_empty()).then(|| row.label.clone()),
        subject: Some(row.customer.as_str().into()),
        group: Some(row.segment.clone()),
        at: Some(row.created_at),
        ..SourceRow::default()
    }
}

/// The first month curated, and the second month's first messages put on top of it as corrections.
fn curated() -> (Curated, Curated) {
    let project = generate(&ExampleSettings::default());
    let rows: Vec<SourceRow> = project.month_1.iter().enumerate().map(|(index, row)| source_row(index, row)).collect();
    let names: BTreeMap<SubjectId, Vec<String>> = project
        .customers
        .iter()
        .map(|customer| (customer.external_id.as_str().into(), vec![customer.name.clone(), customer.email.clone()]))
        .collect();
    let opted_out: BTreeSet<SubjectId> = names.keys().take(5).cloned().collect();
    let redactor = Redactor::new(&RedactPolicy::default());
    let known = |subject: &SubjectId| names.get(subject).cloned().unwrap_or_default();
    let ctx = CurateContext { redactor: &redactor, known: &known, opted_out: &opted_out, seed: 11 };
    let curated = curate(rows, &Recipe::default(), &ctx).unwrap();
    let corrections = project.month_2.iter().take(300).map(|row| Correction {
        trace: row.id.as_str().into(),
        text: row.text.clone(),
        label: row.label.clone(),
        subject: Some(row.customer.as_str().into()),
        group: None,
        at: row.created_at,
    });
    let extended = extend(&curated.examples, corrections.collect(), &Recipe::default(), &ctx).unwrap();
    (curated, extended)
}

/// Everything a curation tells, as one digest each: the rows, the rows left out in their order, the card.
fn digests(curated: &Curated) -> [String; 3] {
    let json = |value: serde_json::Value| Digest::of(value.to_string().as_bytes()).to_string();
    [
        version::digest(&curated.examples).to_string(),
        json(serde_json::to_value(&curated.dropped).unwrap()),
        json(serde_json::to_value(&curated.card).unwrap()),
    ]
}

#[test]
fn the_example_data_gives_the_version_it_always_gave() {
    let (curated, extended) = curated();
    assert!(curated.examples.len() > 2500 && extended.card.n_corrections > 50, "{:?}", extended.card.n_corrections);
    let curated_then = [
        "sha256:ad2e60315bd5cfa1d984b2bc20d49abc3f42cbb46f636734668fcd64694f04ae",
        "sha256:2ba437559df1fe03e6563d514c2432186c2d86411c2d5d8d5beeab1983dfd813",
        "sha256:95e43ebba9b89c8f4bafce667ce066f2ce8fe3f065b8ffec1d41fb931e56c80d",
    ];
    let extended_then = [
        "sha256:8532dafc2076dccbb5c28b7f8d97c507635aa6354187310c4d0bd2598d982310",
        "sha256:02a8728abc10bd4cd3e074b15e444f50c702bfb1918f9ef8082c25b041e2197e",
        "sha256:f88f797cc5cf2ec8c35d541f7d8dbd70588d89a9deffcc0e305cd3945e7ec157",
    ];
    assert_eq!(digests(&curated), curated_then);
    assert_eq!(digests(&extended), extended_then);
}
