//! Rust text without its comments and literals: what is left is code.

/// The same text, line for line, with comments, strings and characters emptied.
///
/// ```text
/// let a = "todo!()"; // todo!()   →   let a = "";
/// ```
pub fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match chars[i] {
            '/' if chars.get(i + 1) == Some(&'/') => end_of_line(&chars, i),
            '/' if chars.get(i + 1) == Some(&'*') => end_of_block_comment(&chars, i),
            '"' => end_of_string(&chars, i),
            '\'' => end_of_character(&chars, i),
            'r' | 'b' | 'c' if i == 0 || !is_word(chars[i - 1]) => end_of_raw_string(&chars, i),
            _ => i,
        };
        if end == i {
            code.push(chars[i]);
            i += 1;
            continue;
        }
        if chars[i] != '/' {
            code.push_str("\"\"");
        }
        code.extend(chars[i..end].iter().filter(|&&c| c == '\n'));
        i = end;
    }
    code
}

/// The part of a file before its module of tests.
pub fn before_tests(code: &str) -> &str {
    let mut start = 0;
    for line in code.split_inclusive('\n') {
        let rest = code[start + line.len()..].trim_start();
        if line.trim() == "#[cfg(test)]"
            && rest.starts_with("mod ")
            && rest.lines().next().is_some_and(|l| l.contains('{'))
        {
            return &code[..start];
        }
        start += line.len();
    }
    code
}

/// Positions (lines from 1) at which `word` stands by itself.
pub fn lines_with(code: &str, word: &str) -> Vec<usize> {
    code.lines().enumerate().filter(|(_, line)| has_word(line, word)).map(|(index, _)| index + 1).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let starts_apart = !word.starts_with(is_word) || !before.is_some_and(is_word);
        let ends_apart = !word.ends_with(is_word) || !after.is_some_and(is_word);
        starts_apart && ends_apart
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_line(chars: &[char], start: usize) -> usize {
    chars[start..].iter().position(|&c| c == '\n').map_or(chars.len(), |length| start + length)
}

/// Block comments nest.
fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start, 0);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (i, depth) = (i + 2, depth + 1),
            ('*', Some('/')) => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// The end of a character, or `start` where the quote belongs to a lifetime.
fn end_of_character(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), Some(_)) => {
            let closing = chars[start + 3..].iter().position(|&c| c == '\'');
            closing.map_or(chars.len(), |length| start + 4 + length)
        }
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

/// The end of `r"…"`, `r#"…"#`, `br"…"` or `cr"…"`, or `start` where none begins.
fn end_of_raw_string(chars: &[char], start: usize) -> usize {
    let r = if chars[start] == 'r' { start } else { start + 1 };
    if chars.get(r) != Some(&'r') {
        return start;
    }
    let hashes = chars[r + 1..].iter().take_while(|&&c| c == '#').count();
    let opening = r + 1 + hashes;
    if chars.get(opening) != Some(&'"') {
        return start;
    }
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    (opening + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_emptied() {
        let cases = [
            ("a // b\nc", "a \nc"),
            ("/// b\nc", "\nc"),
            ("a /* b /* c\n */ d */ e", "a \n e"),
            (r#"a("b // \" c")"#, r#"a("")"#),
            ("a('\"', '\\'', '\\u{41}', b)", r#"a("", "", "", b)"#),
            ("fn a<'b>(c: &'b str)", "fn a<'b>(c: &'b str)"),
            ("a(r#\"b\"c\"#, d)", r#"a("", d)"#),
            ("a(br\"b\\\", c)", r#"a("", c)"#),
            ("r#type + bar + crate", "r#type + bar + crate"),
        ];
        for (text, code) in cases {
            assert_eq!(code_only(text), code, "{text}");
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = "a\n/* b\nb */ \"c\nc\" todo\n";
        assert_eq!(code_only(text).lines().count(), text.lines().count());
        assert_eq!(lines_with(&code_only(text), "todo"), [4]);
    }

    #[test]
    fn words_stand_by_themselves() {
        for (line, found) in [("sqlx::query()", true), ("my_sqlx()", false), ("sqlx_x()", false), ("a::sqlx", true)] {
            assert_eq!(has_word(line, "sqlx"), found, "{line}");
        }
        assert!(!has_word("eprintln!()", "println!"));
        assert!(has_word("x(#[ignore = \"\"])", "#[ignore"));
    }

    #[test]
    fn tests_are_cut_off_but_single_test_items_are_not() {
        assert_eq!(before_tests("a\n#[cfg(test)]\nmod tests {\nb\n}\n"), "a\n");
        let code = "#[cfg(test)]\nmod samples;\nfn a() {}\n";
        assert_eq!(before_tests(code), code);
    }
}
