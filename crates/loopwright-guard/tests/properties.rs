//! Properties of redaction on arbitrary and on hostile text.

use loopwright_guard::{RedactPolicy, Redactor, check_input};
use proptest::prelude::*;

/// Pieces that detectors react to, so that random sequences of them meet at awkward places.
const PIECES: [&str; 58] = [
    "my name is ",
    "Ana Ruiz",
    "ana",
    "Dear ",
    "Thanks,\n",
    "Regards, ",
    "this is ",
    "Will",
    "<EMAIL>",
    "<PERSON",
    ">",
    "<ID>",
    "a.b@mail.example",
    "@",
    "x",
    "+44 7700 900123",
    "07700 900123",
    "(212) 555-0142",
    "4111 1111 1111 1111",
    "4111-1111",
    "DE89 3704 0044 0532 0130 00",
    "203.0.113.7",
    "2001:db8::1",
    "::",
    "sk-abcdefghij0123456789",
    "password is ",
    "hunter22",
    " ",
    " ",
    "\n",
    "-",
    ".",
    ",",
    "0",
    "12",
    "é",
    "e\u{301}",
    "ß",
    "C-0042",
    "Mr ",
    "phone ",
    "order ",
    "I'm ",
    "日本",
    "AB 12 34 56 C",
    "536-90-4399",
    "12345678Z",
    "02:42:ac:11:00:02",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "born ",
    "12/03/1985",
    "passport ",
    "C01X00T47",
    "lat 52.5200, 13.4050",
    "://u:pa55@",
    "token=a8f5f167f44f4964e6c998de",
    "-----BEGIN PRIVATE KEY-----\n",
    "<NATIONAL_ID>",
];

fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..14).prop_map(|pieces| pieces.concat())
}

fn known() -> impl Strategy<Value = Vec<String>> {
    let author =
        ["Ana Ruiz", "a.b@mail.example", "+44 7700 900123", "4111 1111 1111 1111", "C-0042", "Will é", "日本 ß"];
    prop::collection::vec(prop::sample::select(author.to_vec()), 0..4)
        .prop_map(|known| known.into_iter().map(String::from).collect())
}

fn check(text: &str, known: &[String]) -> Result<(), TestCaseError> {
    let redactor = Redactor::new(&RedactPolicy::default());
    let once = redactor.redact(text, known);
    let twice = redactor.redact(&once.text, known);
    prop_assert_eq!(&twice.text, &once.text, "masking twice is masking once");
    prop_assert!(twice.findings.is_empty());
    let mut done = 0;
    for finding in &once.findings {
        prop_assert!(finding.start >= done && finding.start < finding.end, "in order, disjoint, not empty");
        prop_assert!(text.is_char_boundary(finding.start) && text.is_char_boundary(finding.end));
        done = finding.end;
        let secret = &text[finding.start..finding.end];
        prop_assert!(!stands_alone(&once.text, secret), "`{}` is still in `{}`", secret, once.text);
    }
    check_input(text).iter().try_for_each(|flag| {
        prop_assert!(text.get(flag.start..flag.end).is_some());
        Ok(())
    })
}

/// Does `secret` stand in `text` as a word of its own, outside masks?
fn stands_alone(text: &str, secret: &str) -> bool {
    text.match_indices(secret).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + secret.len()..].chars().next();
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '<' || c == '>');
        !joined(before) && !joined(after)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_texts_hold_the_promises(text in hostile(), known in known()) {
        check(&text, &known)?;
    }

    #[test]
    fn arbitrary_texts_hold_the_promises(text in "\\PC{0,80}|.{0,40}", known in prop::collection::vec(".{0,12}", 0..3)) {
        check(&text, &known)?;
    }
}
