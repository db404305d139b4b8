//! Reading one call, `{"name": …, "arguments": …}`, character by character, so that its arguments can be passed on while
//! they are written.

/// What was found in a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// The tool's name. Comes first.
    Name(String),
    /// New text of the arguments.
    Arguments(String),
}

/// Where a reading stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// More must come.
    Open,
    /// The call is complete.
    Done,
    /// This is no call.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Before,
    Key,
    InKey,
    Colon,
    Value,
    InValue,
}

/// A call being read.
#[derive(Debug)]
pub(super) struct CallScan {
    place: Place,
    key: String,
    value: String,
    nest: Nest,
    name: Option<String>,
    /// The arguments so far, and how many bytes of them were passed on.
    arguments: Option<String>,
    n_sent: usize,
}

impl CallScan {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Before,
            key: String::new(),
            value: String::new(),
            nest: Nest::default(),
            name: None,
            arguments: None,
            n_sent: 0,
        }
    }

    /// Takes one character.
    pub(super) fn push(&mut self, c: char, found: &mut Vec<Found>) -> Standing {
        match self.place {
            Place::Before | Place::Key | Place::Colon | Place::Value if c.is_ascii_whitespace() => {}
            Place::Before if c == '{' => self.place = Place::Key,
            Place::Key if c == ',' => {}
            Place::Key if c == '}' => return self.finish(found),
            Place::Key if c == '"' => {
                self.key.clear();
                self.place = Place::InKey;
            }
            Place::InKey if c == '"' => self.place = Place::Colon,
            Place::InKey if c != '\\' => self.key.push(c),
            Place::Colon if c == ':' => self.place = Place::Value,
            Place::Value => {
                self.value.clear();
                self.nest = Nest::of(c);
                self.place = Place::InValue;
                return self.value_char(c, found);
            }
            Place::InValue if self.nest.is_scalar && matches!(c, ',' | '}') => {
                let standing = self.value_ended(found);
                return if c == '}' && standing == Standing::Open { self.finish(found) } else { standing };
            }
            Place::InValue => return self.value_char(c, found),
            Place::Before | Place::Key | Place::InKey | Place::Colon => return Standing::Broken,
        }
        Standing::Open
    }

    /// True once a name was found.
    pub(super) fn has_begun(&self) -> bool {
        self.name.is_some()
    }

    fn value_char(&mut self, c: char, found: &mut Vec<Found>) -> Standing {
        self.value.push(c);
        if self.nest.take(c) {
            return self.value_ended(found);
        }
        if self.is_arguments() && self.value.starts_with(['{', '[']) {
            self.arguments = Some(self.value.clone());
            self.pass_on(found);
        }
        Standing::Open
    }

    fn is_arguments(&self) -> bool {
        matches!(self.key.as_str(), "arguments" | "parameters")
    }

    fn value_ended(&mut self, found: &mut Vec<Found>) -> Standing {
        self.place = Place::Key;
        let text = || serde_json::from_str::<String>(&self.value);
        if self.is_arguments() {
            // Some models write the arguments as a text that holds JSON.
            self.arguments = Some(text().unwrap_or_else(|_| self.value.trim_end().to_owned()));
        } else if self.key == "name" {
            match text() {
                Ok(name) if self.name.is_none() => {
                    found.push(Found::Name(name.clone()));
                    self.name = Some(name);
                }
                _ => return Standing::Broken,
            }
        }
        self.pass_on(found);
        Standing::Open
    }

    /// Arguments are passed on once it is known whose they are.
    fn pass_on(&mut self, found: &mut Vec<Found>) {
        let arguments = self.arguments.as_deref().unwrap_or_default();
        if self.name.is_some() && self.n_sent < arguments.len() {
            found.push(Found::Arguments(arguments[self.n_sent..].to_owned()));
            self.n_sent = arguments.len();
        }
    }

    fn finish(&mut self, found: &mut Vec<Found>) -> Standing {
        if self.name.is_none() {
            return Standing::Broken;
        }
        if self.arguments.is_none() {
            found.push(Found::Arguments("{}".into()));
        }
        Standing::Done
    }
}

/// How deep in a JSON value we are.
#[derive(Debug, Default)]
struct Nest {
    /// A number or a word: it ends with what follows.
    is_scalar: bool,
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

impl Nest {
    fn of(first: char) -> Self {
        Self { is_scalar: !matches!(first, '{' | '[' | '"'), ..Self::default() }
    }

    /// Takes a character; true if the value ends with it.
    fn take(&mut self, c: char) -> bool {
        if self.in_text {
            match c {
                _ if self.is_escaped => self.is_escaped = false,
                '\\' => self.is_escaped = true,
                '"' => self.in_text = false,
                _ => {}
            }
        } else {
            match c {
                '"' => self.in_text = true,
                '{' | '[' => self.depth += 1,
                '}' | ']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        !self.is_scalar && !self.in_text && self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Found>, Standing, usize) {
        let (mut scan, mut found) = (CallScan::new(), Vec::new());
        for (i, c) in text.chars().enumerate() {
            let standing = scan.push(c, &mut found);
            if standing != Standing::Open {
                return (found, standing, i + 1);
            }
        }
        (found, Standing::Open, text.chars().count())
    }

    /// Name and arguments of a complete call.
    fn check(text: &str, name: &str, arguments: &str) {
        let (found, standing, n) = read(text);
        assert_eq!((standing, n), (Standing::Done, text.chars().count()), "{text}");
        assert_eq!(found[0], Found::Name(name.into()));
        let rest = found[1..].iter().map(|found| match found {
            Found::Arguments(text) => text.as_str(),
            Found::Name(name) => panic!("a second name: {name}"),
        });
        assert_eq!(rest.collect::<String>(), arguments, "{text}");
    }

    #[test]
    fn calls_are_read_however_they_are_written() {
        check(r#"{"name": "f", "arguments": {"a": [1, "}\""]}}"#, "f", r#"{"a": [1, "}\""]}"#);
        check("\n{ \"name\" : \"f\",\n\"parameters\":{}\n}", "f", "{}");
        check(r#"{"arguments": {"a": 1}, "name": "f"}"#, "f", r#"{"a": 1}"#);
        check(r#"{"name": "f", "arguments": "{\"a\": 1}"}"#, "f", r#"{"a": 1}"#);
        check(r#"{"name": "f"}"#, "f", "{}");
        check(r#"{"type": "function", "n": 3, "name": "f", "arguments": null}"#, "f", "null");
    }

    #[test]
    fn arguments_are_passed_on_as_they_come() {
        let (found, standing, _) = read(r#"{"name": "f", "arguments": {"a": "#);
        assert_eq!(standing, Standing::Open);
        assert_eq!(found.len(), 7, "the name and six characters: {found:?}");
    }

    #[test]
    fn what_is_no_call_is_told() {
        for text in ["x", "{1", r#"{"a": 1}"#, r#"{"name": 7}"#, r#"{"name" "f"}"#, r#"{"name": "f", "name": "g"}"#] {
            assert_eq!(read(text).1, Standing::Broken, "{text}");
        }
    }
}
