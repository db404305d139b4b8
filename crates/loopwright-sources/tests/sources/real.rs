//! Real sets, as published. The figures were counted with Python's own readers of CSV, JSON, gzip and tar.

use super::{All, at, datasets, read};
use loopwright_sources::{Conversation, Limits, Mapping, OpenSettings, Spec, TextUnit, open};
use std::path::Path;

fn mapped(text: &str) -> Mapping {
    Mapping { text: Some(text.into()), ..Mapping::default() }
}

#[test]
fn real_sets_have_the_rows_they_should_have() {
    let Some(sets) = datasets() else { return };
    let plain = Mapping::default;
    let document = TextUnit::Document;
    for (path, mapping, unit, n_rows) in [
        ("banking77/train.csv", plain(), document, 10_003),
        ("banking77/test.csv", plain(), document, 3_080),
        ("banking77/*.csv", plain(), document, 13_083),
        ("gsm8k/train.jsonl", plain(), document, 7_473),
        ("gsm8k", plain(), document, 8_792),
        ("openai-moderation", plain(), document, 1_680),
        ("crows-pairs/crows_pairs_anonymized.csv", mapped("sent_more"), document, 1_508),
        ("hatecheck/test_suite_cases.csv", mapped("test_case"), document, 3_728),
        ("hatecheck/all_cases.csv", mapped("test_case"), document, 3_901),
        ("wikitext2-valid-test/valid.txt", plain(), TextUnit::Line, 2_461),
        ("wikitext2-valid-test/valid.txt", plain(), TextUnit::Paragraph, 1_160),
        ("wikitext2-valid-test/test.txt", plain(), TextUnit::Line, 2_891),
        ("wikitext2-valid-test/test.txt", plain(), TextUnit::Paragraph, 1_320),
        ("tinyshakespeare/input.txt", plain(), TextUnit::Line, 32_777),
        ("tinyshakespeare/input.txt", plain(), TextUnit::Paragraph, 7_222),
        ("tinyshakespeare/input.txt", plain(), document, 1),
        ("pypa-advisories/pypa-advisories.tar", mapped("details"), document, 2_661),
    ] {
        let all = read(&Spec { mapping, text_unit: unit, ..at(&sets.join(path)) });
        assert_eq!(all.texts().len() + all.rejected.len(), n_rows, "{path} {unit:?}");
        assert_eq!(all.rejected, [], "{path} {unit:?}");
    }
}

#[test]
fn real_sets_are_understood() {
    let Some(sets) = datasets() else { return };
    let row = |path: &str, mapping: Mapping| read(&Spec { mapping, ..at(&sets.join(path)) }).rows.swap_remove(0);
    let bank = row("banking77/train.csv", Mapping::default());
    assert_eq!((bank.text.as_str(), bank.label.as_deref()), ("I am still waiting on my card?", Some("card_arrival")));
    assert_eq!(bank.split.as_deref(), Some("train"));
    let maths = row("gsm8k/train.jsonl", Mapping::default());
    let Some(Conversation::Turns(turns)) = maths.conversation else { panic!("no turns") };
    assert!(turns[0].content.starts_with("Natalia sold clips") && turns[1].content.ends_with("#### 72"));
    let advisory = row("pypa-advisories/pypa-advisories.tar", mapped("details"));
    assert!(advisory.row_id.starts_with("PYSEC-") && advisory.at.is_some(), "{advisory:?}");
    let shakespeare = row("tinyshakespeare/input.txt", Mapping::default());
    assert_eq!(shakespeare.text.len(), 1_115_394);
}

#[test]
fn two_readings_are_the_same_to_the_byte() {
    let Some(sets) = datasets() else { return };
    let small = OpenSettings { limits: Limits { batch_bytes_max: 1000, ..Limits::default() }, child: None };
    for path in ["gsm8k", "hatecheck/test_suite_cases.csv"] {
        let spec = Spec {
            mapping: if path == "gsm8k" { Mapping::default() } else { mapped("test_case") },
            ..at(&sets.join(Path::new(path)))
        };
        assert_eq!(All::of(open(&spec, &small)).rows, read(&spec).rows);
    }
}
