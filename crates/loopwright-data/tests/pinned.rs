//! The example data gives the same version today as on the day its digest was written down: a faster or leaner way of
//! curating must not be another way of curating.
#![allow(clippy::unwrap_used)]

use loopwright_data::{
    example::{ExampleRow, ExampleSettings, generate},
    extend::{Correction, extend},
    recipe::{CurateContext, Curated, Recipe, Resources, curate},
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
    let ctx = CurateContext {
        redactor: &redactor,
        known: &known,
        opted_out: &opted_out,
        seed: 11,
        resources: Resources::none(),
    };
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

/// Everything a curation tells, as one digest each: the rows, the rows left out in their order, the card but its tokens.
fn digests(curated: &Curated) -> [String; 3] {
    let mut card = serde_json::to_value(&curated.card).unwrap();
    card.as_object_mut().unwrap().remove("tokens");
    let json = |value: serde_json::Value| Digest::of(sorted(value).to_string().as_bytes()).to_string();
    [version::digest(&curated.examples).to_string(), json(serde_json::to_value(&curated.dropped).unwrap()), json(card)]
}

/// The same with the fields of objects in the order of their names, whatever order `serde_json` was built to keep.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(fields) => {
            let fields: BTreeMap<String, serde_json::Value> = fields.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            fields.into_iter().collect()
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[test]
fn the_example_data_gives_the_version_it_always_gave() {
    let (curated, extended) = curated();
    assert!(curated.examples.len() > 2500 && extended.card.n_corrections > 50, "{:?}", extended.card.n_corrections);
    let curated_then = [
        "sha256:adb996d981048b264cf020d1a35e01c9b7d1fe149f57d7aed2c8942c586d7620",
        "sha256:2ba437559df1fe03e6563d514c2432186c2d86411c2d5d8d5beeab1983dfd813",
        "sha256:704009edee2f7a3f326bc77f8574955595737801fb4fb86de45e8104433828f8",
    ];
    let extended_then = [
        "sha256:5c3fe82886a110cdeef1de39c725e427432090ed99937033c905493ec5f6bcd2",
        "sha256:02a8728abc10bd4cd3e074b15e444f50c702bfb1918f9ef8082c25b041e2197e",
        "sha256:369607e2370842cbbc3d2cdafa64ae76133549cf41527b725d0894d53e93efe7",
    ];
    assert_eq!(digests(&curated), curated_then);
    assert_eq!(digests(&extended), extended_then);
}
