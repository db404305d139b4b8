//! The only place that prints: data to stdout, talk to stderr.

use crate::failure::Failure;
use serde::Serialize;
use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

/// What a command found, for machines and for people.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// With `--json`: the one document on stdout.
    pub json: serde_json::Value,
    /// Without: what goes to stdout.
    pub text: String,
    /// Without `--json`: what is said on stderr beside it, such as what to do about an empty list.
    pub talk: Option<String>,
    /// False if what was asked about did not pass (a gate, the event log): then the exit code is 1.
    pub passed: bool,
}

impl Answer {
    /// An answer that passed.
    pub fn new(json: impl Serialize, text: impl Into<String>) -> Self {
        let json = serde_json::to_value(json).expect("records and reports have text keys only");
        Self { json, text: text.into(), talk: None, passed: true }
    }

    /// A list: its table, or what to do while it is empty.
    pub fn list<T: Serialize>(records: &[T], table: &crate::table::Table, empty: &str) -> Self {
        if records.is_empty() {
            return Self::new(records, "").with_talk(empty);
        }
        Self::new(records, table.to_string())
    }

    /// Nothing more to print: the command said it while it ran.
    pub fn silent() -> Self {
        Self::new(serde_json::Value::Null, "")
    }

    fn is_silent(&self) -> bool {
        self.json.is_null() && self.text.is_empty() && self.talk.is_none()
    }

    /// The same answer with another text.
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// The same answer with something said beside it.
    pub fn with_talk(mut self, talk: impl Into<String>) -> Self {
        self.talk = Some(talk.into());
        self
    }

    /// The same answer, passed or not.
    pub fn with_passed(mut self, passed: bool) -> Self {
        self.passed = passed;
        self
    }
}

/// Prints an answer.
pub fn answer(answer: &Answer, json: bool) {
    if answer.is_silent() {
        return;
    }
    if json {
        return data(&format!("{:#}\n", answer.json));
    }
    if !answer.text.is_empty() {
        data(&ended(&answer.text));
    }
    if let Some(line) = &answer.talk {
        talk(line);
    }
}

/// Prints what failed and gives the exit code.
pub fn failure(failure: &Failure, json: bool) -> ExitCode {
    if json {
        data(&format!("{:#}\n", serde_json::json!({ "error": failure })));
    }
    talk(failure.to_text().trim_end());
    ExitCode::FAILURE
}

/// Prints what is wrong with a command line (or the help that was asked for) and gives the exit code.
pub fn usage(error: &clap::Error) -> ExitCode {
    // Clap chooses stdout for help that was asked for, else stderr; nobody is left to tell if that fails.
    error.print().ok();
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

/// Says a line on stderr.
pub fn talk(line: &str) {
    // A closed stderr is the reader's choice.
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

fn data(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        // `loopwright traces | head` closes the pipe early, and means it.
        && error.kind() != ErrorKind::BrokenPipe
    {
        drop(stdout);
        talk(&format!("error: failed to write to stdout\n  because: {error}"));
    }
}

fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end_matches('\n'))
}
