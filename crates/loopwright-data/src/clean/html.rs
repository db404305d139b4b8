//! Takes HTML debris out of a text: tags, comments, character references.

/// The step's name.
pub const STEP: &str = "strip_html";

/// Elements after which the text goes on in a new line.
const BLOCKS: [&str; 14] =
    ["address", "article", "blockquote", "br", "div", "h1", "h2", "h3", "hr", "li", "p", "table", "tr", "ul"];
/// Elements inside a line.
const INLINE: [&str; 21] = [
    "a", "b", "body", "center", "code", "em", "font", "head", "html", "i", "img", "meta", "ol", "s", "small", "span",
    "strong", "sub", "sup", "td", "u",
];
/// Elements whose content is no text.
const SILENT: [&str; 3] = ["script", "style", "title"];

/// A tag, a comment or a silent element that is longer than this is left as it is, in bytes.
const MARKUP_BYTES_MAX: usize = 8 * 1024;

/// Named character references that mails use; the rest stays as written (HTML, section 13.5, has 2,231).
const REFERENCES: [(&str, &str); 24] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("ensp", " "),
    ("emsp", " "),
    ("shy", ""),
    ("zwnj", ""),
    ("ndash", "–"),
    ("mdash", "—"),
    ("hellip", "…"),
    ("lsquo", "‘"),
    ("rsquo", "’"),
    ("ldquo", "“"),
    ("rdquo", "”"),
    ("euro", "€"),
    ("pound", "£"),
    ("copy", "©"),
    ("eacute", "é"),
    ("auml", "ä"),
    ("ouml", "ö"),
    ("uuml", "ü"),
];

/// The text without tags and with its character references read. `a < b` and unknown words in angle brackets stay.
pub fn strip(text: &str) -> String {
    if !text.contains(['<', '&']) {
        return text.to_string();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (put, length) = if rest.starts_with('<') { tag(rest) } else { reference(rest) };
        plain.push_str(&put);
        rest = &rest[length..];
    }
    plain.push_str(rest);
    plain
}

/// What stands for the tag that begins here, and how many bytes it takes. What is no tag stands for itself.
fn tag(text: &str) -> (String, usize) {
    let itself = ("<".to_string(), 1);
    if text.starts_with("<!--") {
        return within(text, MARKUP_BYTES_MAX).find("-->").map_or(itself, |end| (" ".to_string(), end + 3));
    }
    let Some(close) = within(text, MARKUP_BYTES_MAX).find('>') else { return itself };
    let inner = text[1..close].trim_start_matches('/');
    let name = inner.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let name_ends = inner[name.len()..].chars().next().is_none_or(|c| c.is_ascii_whitespace() || c == '/');
    if !name_ends || inner.contains('<') {
        return itself;
    }
    match name.as_str() {
        name if SILENT.contains(&name) => (" ".to_string(), silent_end(text, name).unwrap_or(close + 1)),
        name if BLOCKS.contains(&name) => ("\n".to_string(), close + 1),
        name if INLINE.contains(&name) => (String::new(), close + 1),
        _ => itself,
    }
}

/// Where the element that begins here, whose content is no text, ends.
fn silent_end(text: &str, name: &str) -> Option<usize> {
    let end = format!("</{name}>");
    within(text, MARKUP_BYTES_MAX).to_ascii_lowercase().find(&end).map(|at| at + end.len())
}

/// The start of a text, at most so many bytes.
fn within(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// What the character reference that begins here stands for, and how many bytes it takes.
fn reference(text: &str) -> (String, usize) {
    let itself = ("&".to_string(), 1);
    let Some(end) = text.char_indices().take(12).find(|(_, c)| *c == ';').map(|(at, _)| at) else { return itself };
    let name = &text[1..end];
    let number = match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => name.strip_prefix('#').and_then(|digits| digits.parse().ok()),
    };
    match number.and_then(char::from_u32).filter(|c| !c.is_control()) {
        Some(c) => (c.to_string(), end + 1),
        None => {
            REFERENCES.iter().find(|(known, _)| *known == name).map_or(itself, |(_, put)| (put.to_string(), end + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(strip(text), expected);
    }

    #[test]
    fn markup_goes_and_text_stays() {
        check("<p>Hello&nbsp;<b>you</b> &amp; all</p>", "\nHello you & all\n");
        check("<div dir=\"ltr\">a<br/>b</DIV>", "\na\nb\n");
        check("a<!-- no -->b<style>p { x }</style>c", "a b c");
        check("it&#8217;s &#x41; &euro;5", "it’s A €5");
    }

    #[test]
    fn what_is_no_markup_stays() {
        check("3 < 4 and 5 > 2", "3 < 4 and 5 > 2");
        check("write <EMAIL> or <PERSON>", "write <EMAIL> or <PERSON>");
        check("<p unfinished", "<p unfinished");
        check("R&D; a & b &nosuch; &#0;", "R&D; a & b &nosuch; &#0;");
        check("<script>only", " only");
    }

    proptest! {
        #[test]
        fn any_text_can_be_stripped(text in "[<>/&#;xa-z !-é]{0,40}") {
            prop_assert!(strip(&text).len() <= text.len());
        }
    }
}
