//! Secrets that a word before them gives away: "my password is …", `api_key = "…"`, `postgres://user:password@host`.

use super::entropy_bits;

/// Shortest value after "password is", in characters.
const PASSWORD_CHARS_MIN: usize = 6;
/// Shortest value that a program assigns to a key, in characters.
const KEY_CHARS_MIN: usize = 16;
/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 512;
/// Entropy of an assigned key, in bits per character; a name of several words is near 3.
const KEY_BITS_MIN: f64 = 3.3;
/// White space and names between a word and its value, in bytes.
const GAP_BYTES_MAX: usize = 24;

/// Parts of values that stand for a value.
const PLACEHOLDERS: [&str; 12] = [
    "example",
    "placeholder",
    "changeme",
    "change_me",
    "your_",
    "your-",
    "yourkey",
    "dummy",
    "redacted",
    "xxxx",
    "insert",
    "secrets.",
];

/// The value behind a word for a password: after `is`, `:` or `=`, quotes left out.
pub(super) fn password(text: &str, end: usize) -> Option<(usize, usize)> {
    let quoted = end + usize::from(text[end..].starts_with(['"', '\'']));
    let at = skip_space(text, quoted);
    let rest = &text[at..];
    let operator = ["is", "was", "ist", "est", "es", ":", "="].into_iter().filter(|it| starts_with_any_case(rest, it));
    let operator = operator.max_by_key(|it| it.len())?;
    let at = skip_space(text, at + operator.len());
    let start = at + usize::from(text[at..].starts_with(['"', '\'', '`']));
    let value = value(text, start).trim_end_matches(['.', '!', '?', ')']);
    (looks_chosen(value) && !is_template(value)).then_some((start, start + value.len()))
}

/// The value that is assigned to a key, or follows `Bearer`.
pub(super) fn key(text: &str, end: usize) -> Option<(usize, usize)> {
    let bytes = &text.as_bytes()[..(end + GAP_BYTES_MAX).min(text.len())];
    let skip = |at: usize, fits: &dyn Fn(u8) -> bool| at + bytes[at..].iter().take_while(|byte| fits(**byte)).count();
    let name = skip(end, &|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let operator = skip(name, &|byte| b"\"' =:>]".contains(&byte));
    let start = skip(operator, &|byte| b"`({".contains(&byte));
    let value = value(text, start).trim_end_matches(['.', ')', '}', '`']);
    let is_assigned = text[name..operator].contains(['=', ':']) || ends_with_any_case(&text[..end], "bearer");
    (is_assigned && looks_random(value)).then_some((start, start + value.len()))
}

/// User and password between `://` and `@`.
pub(super) fn userinfo(text: &str, end: usize) -> Option<(usize, usize)> {
    let length = text[end..]
        .bytes()
        .take(VALUE_BYTES_MAX)
        .take_while(|byte| !byte.is_ascii_whitespace() && !b"/\"'<>@`".contains(byte))
        .count();
    let info = text.get(end..end + length)?;
    let (_, password) = info.split_once(':')?;
    let is_secret = text[end + length..].starts_with('@') && !password.is_empty() && !is_template(password);
    is_secret.then_some((end, end + length))
}

/// What stands here up to white space, a quote, `<`, `>`, `,` or `;`.
fn value(text: &str, start: usize) -> &str {
    let mut end = start;
    for c in text[start..].chars() {
        if c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',' | ';') || end - start > VALUE_BYTES_MAX {
            break;
        }
        end += c.len_utf8();
    }
    &text[start..end]
}

/// A value that a person would choose as a password: letters with digits or signs, not a plain word.
fn looks_chosen(word: &str) -> bool {
    word.chars().count() >= PASSWORD_CHARS_MIN
        && word.chars().any(char::is_alphabetic)
        && word.chars().any(|c| !c.is_alphabetic() && !matches!(c, '-' | '\'' | '’' | '.' | '/'))
}

/// A value that a program would make: letters and digits without the repetition of words.
fn looks_random(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+/=.~-".contains(&byte);
    let lower = word.to_ascii_lowercase();
    word.len() >= KEY_CHARS_MIN
        && word.bytes().all(fits)
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
        && entropy_bits(word) >= KEY_BITS_MIN
        && !PLACEHOLDERS.iter().any(|it| lower.contains(it))
}

/// A place that a template fills: `${PASSWORD}`, `{{ password }}`, `%s`, `****`.
fn is_template(value: &str) -> bool {
    value.starts_with(['$', '{', '%', '[']) || value.bytes().all(|byte| byte == b'*' || byte == b'x')
}

fn skip_space(text: &str, at: usize) -> usize {
    at + text[at..].chars().take(GAP_BYTES_MAX).take_while(|c| c.is_whitespace()).map(char::len_utf8).sum::<usize>()
}

fn starts_with_any_case(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word))
}

fn ends_with_any_case(text: &str, word: &str) -> bool {
    text.len() >= word.len() && text.as_bytes()[text.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use crate::detect::{check, marks::Marks};

    #[test]
    fn assigned_values_are_found_and_placeholders_are_not() {
        check(
            |text, found| find(text, &Marks::of(text), found),
            &[
                ("auth_token = 'a8f5f167f44f4964e6c998de'", &["a8f5f167f44f4964e6c998de"]),
                ("client-secret: 9f86d081884c7d659a2feaa0c55ad015", &["9f86d081884c7d659a2feaa0c55ad015"]),
                ("Authorization: Bearer 9f86d081884c7d659a2feaa0", &["9f86d081884c7d659a2feaa0"]),
                ("postgres://ana:s3cr3t@db.example:5432/x", &["ana:s3cr3t"]),
                ("token = your_token_goes_here_1, token: xxxxxxxxxxxxxxxxxxx1", &[]),
                ("password=${DB_PASSWORD}, password: ********", &[]),
                ("https://ana:${PASS}@db.example, https://x.example:80/@me", &[]),
                ("the token holder 20481 and token_count = 12345678901234567", &[]),
            ],
        );
    }
}
