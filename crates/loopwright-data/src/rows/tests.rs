use super::*;
use crate::clean::{language, length, redact};
use loopwright_corpus::quality::{c4, gopher_quality, symbols, words_list};
use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_types::{
    Conversation, SourceRow,
    conversation::{Role, Turn},
};
use proptest::prelude::*;

fn steps() -> Vec<StepSettings> {
    vec![
        StepSettings::StripHtml,
        StepSettings::Whitespace,
        StepSettings::Length(length::Settings::default()),
        StepSettings::Language(language::Settings::default()),
    ]
}

fn run_rows(steps: &[StepSettings], rows: Vec<SourceRow>) -> RowOutput {
    let redactor = Redactor::new(&RedactPolicy::default());
    let opted_out = BTreeSet::new();
    let resources = Resources { surrogate_key: Some([1; 32]), ..Resources::default() };
    let ctx = CurateContext {
        redactor: &redactor,
        known: &|_| Vec::new(),
        opted_out: &opted_out,
        seed: 1,
        resources: &resources,
    };
    let steps = RowSteps::prepare(steps, &resources).unwrap();
    run(&steps, rows.into_iter().map(Draft::new).collect(), &ctx).unwrap()
}

fn run_on(steps: &[StepSettings], texts: &[&str]) -> RowOutput {
    let row = |(index, text): (usize, &&str)| {
        let (row_id, label) = (format!("r{index}"), Some("x".into()));
        SourceRow { row_id, text: text.to_string(), label, ..SourceRow::default() }
    };
    run_rows(steps, texts.iter().enumerate().map(row).collect())
}

#[test]
fn each_row_leaves_its_trail() {
    let spanish = "Hola, mi pedido todavía no ha llegado y quiero saber dónde está.";
    let out = run_on(&steps(), &["<b>where</b>  is it?", "<p> </p>", "where is my order", spanish]);
    assert_eq!(
        out.drafts.iter().map(|draft| draft.row.text.as_str()).collect::<Vec<_>>(),
        ["where is it?", "where is my order"]
    );
    let dropped: Vec<(u16, &str, &str)> =
        out.dropped.iter().map(|(step, row)| (*step, row.row_id.as_str(), row.step.as_str())).collect();
    assert_eq!(dropped, [(2, "r1", "length"), (3, "r3", "language")]);
    let changed: Vec<(&str, &str)> =
        out.changed.iter().map(|(_, row)| (row.row_id.as_str(), row.step.as_str())).collect();
    assert_eq!(changed, [("r0", "strip_html"), ("r0", "whitespace"), ("r1", "strip_html"), ("r1", "whitespace")]);
    assert_eq!(out.changed[0].1.after, out.changed[1].1.before, "changes of one row chain");
    let counts: Vec<(u64, u64, u64)> =
        out.book.steps.iter().map(|count| (count.n_in, count.n_out, count.n_changed)).collect();
    assert_eq!(counts, [(4, 4, 2), (4, 4, 2), (4, 3, 0), (3, 2, 0)]);
    assert_eq!(out.book.languages, BTreeMap::from([("und".to_string(), 2), ("spa".to_string(), 1)]));
}

/// Filters that share a view say what each of them says alone, also behind a change.
#[test]
fn neighbouring_filters_are_told_apart() {
    let steps = vec![
        StepSettings::Symbols(symbols::Settings::default()),
        StepSettings::C4(c4::Settings { sentences_min: 1, ..Default::default() }),
        StepSettings::GopherQuality(gopher_quality::Settings { words_min: 4, ..Default::default() }),
        StepSettings::WordsList(words_list::Settings { words: vec!["cat".into()], ..Default::default() }),
    ];
    let out = run_on(
        &steps,
        &[
            "The dog and the parrot.\nHome",
            "The dog and the cat.",
            "The cat and the dog go.\nNot of them",
            "One dog here.",
            "345 678 901.",
            "The menu of cats",
        ],
    );
    let dropped: Vec<(&str, &str)> =
        out.dropped.iter().map(|(_, row)| (row.row_id.as_str(), row.step.as_str())).collect();
    let expected =
        [("r1", "words_list"), ("r2", "words_list"), ("r3", "gopher_quality"), ("r4", "symbols"), ("r5", "c4")];
    assert_eq!(dropped, expected);
    assert_eq!(out.drafts[0].row.text, "The dog and the parrot.");
    let changed: Vec<(u16, &str)> = out.changed.iter().map(|(step, row)| (*step, row.row_id.as_str())).collect();
    assert_eq!(changed, [(1, "r0"), (1, "r2")]);
    let counts: Vec<(u64, u64, u64)> =
        out.book.steps.iter().map(|count| (count.n_in, count.n_out, count.n_changed)).collect();
    assert_eq!(counts, [(6, 5, 0), (5, 4, 2), (4, 3, 0), (3, 1, 0)]);
    assert_eq!(out.book.steps[2].dropped["few_words"], 1);
}

/// What dirties a turn, and what must be gone after masking.
fn content() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "Please write to ana.ruiz@mail.example today.",
        "<b>bold</b>",
        "  ",
        "\n\n",
        "It is fine as it stands. ",
        "Ã¤",
        "My name is Katarzyna Nowak.",
        "user: not a turn",
        "\u{7}",
        "[12] a line",
    ]);
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn conversation() -> impl Strategy<Value = Conversation> {
    let role = prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]);
    let turn = (role, content()).prop_map(|(role, content)| Turn::new(role, content));
    let turns = prop::collection::vec(turn, 0..4).boxed();
    let preference = (turns.clone(), turns.clone(), turns.clone())
        .prop_map(|(prompt, chosen, rejected)| Conversation::Preference { prompt, chosen, rejected });
    prop_oneof![turns.prop_map(Conversation::Turns), preference]
}

/// Every row step that changes texts.
fn changing() -> Vec<StepSettings> {
    vec![
        StepSettings::RepairText,
        StepSettings::StripHtml,
        StepSettings::Whitespace,
        StepSettings::Redact(redact::Settings::default()),
        StepSettings::Redact(redact::Settings { surrogates: true, ..Default::default() }),
        StepSettings::C4(c4::Settings { sentences_min: 0, lines_end_sentences: false, ..Default::default() }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn turns_and_text_never_differ(
        conversation in conversation(), order in Just(changing()).prop_shuffle(), n_steps in 0usize..6,
        source_text in content()
    ) {
        let roles: Vec<Role> = conversation.turns().map(|turn| turn.role).collect();
        let row = SourceRow { text: source_text, conversation: Some(conversation), ..SourceRow::default() };
        let out = run_rows(&order[..n_steps], vec![row]);
        let row = &out.drafts[0].row;
        let after = row.conversation.as_ref().unwrap();
        prop_assert_eq!(&row.text, &after.render());
        prop_assert_eq!(after.turns().map(|turn| turn.role).collect::<Vec<_>>(), roles);
        if order[..n_steps].iter().any(|step| matches!(step, StepSettings::Redact(_))) {
            prop_assert!(!row.text.contains("ana.ruiz@mail.example"), "{}", row.text);
        }
    }
}
