//! The main text of a web page: what its author wrote, without menus, footers and lists of links.
//!
//! A page is cut into blocks at its block elements. For each block we count words and the share of them inside links
//! (the *link density*). The decision tree of Kohlschütter, Fankhauser and Nejdl ("Boilerplate Detection using Shallow
//! Text Features", WSDM 2010, Algorithm 2, the number-of-words rules) then keeps or leaves a block by its own figures
//! and those of its neighbours:
//!
//! ```text
//! keep if  density ≤ 1/3 and
//!   density of the previous ≤ 5/9:  words > 16, or next words > 15, or previous words > 4
//!   density of the previous > 5/9:  words > 40, or next words > 17
//! ```
//!
//! Before that the page's own word counts: `nav`, `aside`, `footer`, forms and scripts are left out, and if there is a
//! `main` or `article` only what is inside. A heading is kept if the block after it is. Where nothing is kept (short
//! pages), all blocks are.

use html5gum::{DefaultEmitter, Token, Tokenizer};

/// Elements whose content is no text.
const SILENT: [&str; 8] = ["script", "style", "noscript", "template", "svg", "head", "iframe", "object"];
/// Elements that hold something else than the page's subject.
const ASIDE: [&str; 8] = ["nav", "aside", "footer", "form", "button", "select", "menu", "dialog"];
/// Elements that hold the subject.
const MAIN: [&str; 2] = ["main", "article"];
/// Elements that stay inside their block.
const INLINE: [&str; 30] = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd", "label",
    "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
];
/// Elements that have no end tag.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
const HEADINGS: [&str; 6] = ["h1", "h2", "h3", "h4", "h5", "h6"];

/// Stands for a line break of the page; line ends of the source are spaces.
const BREAK: char = '\u{2028}';

/// What a page holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) title: Option<String>,
    /// The `lang` attribute.
    pub(super) language: Option<String>,
    /// Blocks, an empty line between them.
    pub(super) text: String,
}

#[derive(Clone, Debug, Default)]
struct Block {
    text: String,
    n_words: usize,
    n_linked: usize,
    is_heading: bool,
    is_aside: bool,
    is_main: bool,
}

impl Block {
    fn link_density(&self) -> f64 {
        if self.n_words == 0 { 0.0 } else { self.n_linked as f64 / self.n_words as f64 }
    }
}

/// Reads a page.
pub(super) fn read(html: &str) -> Page {
    let mut cut = Cut::default();
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
        match token {
            Token::StartTag(tag) => {
                let language = tag.attributes.get(b"lang".as_slice());
                if *tag.name == b"html"[..] {
                    cut.page.language = language.map(|lang| lossy(&lang.value)).filter(|lang| !lang.is_empty());
                }
                cut.open(&lossy(&tag.name), tag.self_closing);
            }
            Token::EndTag(tag) => cut.close(&lossy(&tag.name)),
            Token::String(text) => cut.text(&lossy(&text.value)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    cut.end_block();
    let Cut { mut page, blocks, .. } = cut;
    page.text = main_text(&blocks);
    page
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The page while it is cut into blocks.
#[derive(Default)]
struct Cut {
    page: Page,
    blocks: Vec<Block>,
    block: Block,
    in_title: bool,
    n_silent: usize,
    n_aside: usize,
    n_main: usize,
    n_links: usize,
    n_preformatted: usize,
}

impl Cut {
    fn open(&mut self, name: &str, self_closing: bool) {
        if name == "br" {
            self.block.text.push(BREAK);
        }
        if !INLINE.contains(&name) && name != "br" {
            self.end_block();
        }
        if VOID.contains(&name) || (self_closing && name == "svg") {
            return;
        }
        match name {
            "title" if self.page.title.is_none() => self.in_title = true,
            "body" => self.n_silent = 0,
            "a" => self.n_links += 1,
            "pre" => self.n_preformatted += 1,
            _ if SILENT.contains(&name) => self.n_silent += 1,
            _ if ASIDE.contains(&name) => self.n_aside += 1,
            _ if MAIN.contains(&name) => self.n_main += 1,
            _ if HEADINGS.contains(&name) => self.block.is_heading = true,
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        if !INLINE.contains(&name) {
            self.end_block();
        }
        match name {
            "title" => self.in_title = false,
            "a" => self.n_links = self.n_links.saturating_sub(1),
            "pre" => self.n_preformatted = self.n_preformatted.saturating_sub(1),
            _ if SILENT.contains(&name) => self.n_silent = self.n_silent.saturating_sub(1),
            _ if ASIDE.contains(&name) => self.n_aside = self.n_aside.saturating_sub(1),
            _ if MAIN.contains(&name) => self.n_main = self.n_main.saturating_sub(1),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.in_title {
            self.page.title.get_or_insert_default().push_str(text.trim());
        }
        if self.n_silent > 0 || self.in_title {
            return;
        }
        let n_words = text.split_whitespace().count();
        self.block.n_words += n_words;
        self.block.n_linked += if self.n_links > 0 { n_words } else { 0 };
        match self.n_preformatted {
            0 => self.block.text.push_str(text),
            _ => self.block.text.push_str(&text.replace('\n', &BREAK.to_string())),
        }
    }

    fn end_block(&mut self) {
        let mut block = std::mem::take(&mut self.block);
        block.text = tidy(&block.text);
        if !block.text.is_empty() {
            (block.is_aside, block.is_main) = (self.n_aside > 0, self.n_main > 0);
            self.blocks.push(block);
        }
    }
}

/// Single spaces, and line ends only where the page breaks a line.
fn tidy(text: &str) -> String {
    let lines = text.split(BREAK).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn main_text(blocks: &[Block]) -> String {
    let has_main = blocks.iter().any(|block| block.is_main);
    let subject: Vec<&Block> = blocks.iter().filter(|block| !block.is_aside && (block.is_main || !has_main)).collect();
    let kept = kept(&subject);
    let chosen: Vec<&str> = match kept.iter().any(|kept| *kept) {
        true => subject.iter().zip(kept).filter(|(_, kept)| *kept).map(|(block, _)| block.text.as_str()).collect(),
        false if !subject.is_empty() => subject.iter().map(|block| block.text.as_str()).collect(),
        false => blocks.iter().map(|block| block.text.as_str()).collect(),
    };
    chosen.join("\n\n")
}

/// The decision tree over each block and its neighbours, then the headings.
fn kept(blocks: &[&Block]) -> Vec<bool> {
    let none = Block::default();
    let at = |index: Option<usize>| index.and_then(|index| blocks.get(index)).map_or(&none, |block| *block);
    let mut kept: Vec<bool> =
        (0..blocks.len()).map(|i| is_content(at(i.checked_sub(1)), blocks[i], at(Some(i + 1)))).collect();
    for i in (0..blocks.len().saturating_sub(1)).rev() {
        kept[i] |= blocks[i].is_heading && kept[i + 1];
    }
    kept
}

fn is_content(previous: &Block, block: &Block, next: &Block) -> bool {
    if block.link_density() > 1.0 / 3.0 {
        return false;
    }
    if previous.link_density() > 5.0 / 9.0 {
        return block.n_words > 40 || next.n_words > 17;
    }
    block.n_words > 16 || next.n_words > 15 || previous.n_words > 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONG: &str =
        "This is a sentence of the article which has more than sixteen words in it, so that the rules keep it.";

    #[test]
    fn the_article_is_kept_and_the_menus_are_not() {
        let html = format!(
            "<!doctype html><html lang=en><head><title>On &amp; on</title><style>p {{}}</style></head><body>\
             <nav><a href=/>Home</a> <a>About</a></nav><ul><li><a>One</a><li><a>Two</a></ul>\
             <h1>A heading</h1><p>{LONG} <b>Bold</b> &eacute;<br>next line</p><script>var x = '<p>';</script>\
             <footer><p>{LONG}</footer></body></html>"
        );
        let page = read(&html);
        assert_eq!((page.title.as_deref(), page.language.as_deref()), (Some("On & on"), Some("en")));
        assert_eq!(page.text, format!("A heading\n\n{LONG} Bold é\nnext line"));
    }

    #[test]
    fn an_article_element_has_the_last_word() {
        let page = read(&format!("<p>{LONG}</p><article><p>Short but meant, {LONG}</p></article>"));
        assert_eq!(page.text, format!("Short but meant, {LONG}"));
    }

    #[test]
    fn short_pages_are_kept_whole() {
        assert_eq!(read("<p>hello</p><p>world</p>").text, "hello\n\nworld");
        assert_eq!(read("<nav>only a menu").text, "only a menu");
        assert_eq!(read("<p>a\nb</p><pre>c\nd</pre>").text, "a b\n\nc\nd");
        assert_eq!(read("").text, "");
    }

    #[test]
    fn the_tree_decides_as_in_the_paper() {
        let block = |n_words, n_linked| Block { n_words, n_linked, ..Block::default() };
        for (previous, current, next, content) in [
            ((0, 0), (17, 0), (0, 0), true),
            ((0, 0), (16, 0), (15, 0), false),
            ((0, 0), (16, 0), (16, 0), true),
            ((5, 0), (3, 0), (0, 0), true),
            ((4, 0), (3, 0), (0, 0), false),
            ((10, 6), (40, 0), (17, 0), false),
            ((10, 6), (41, 0), (0, 0), true),
            ((10, 6), (3, 0), (18, 0), true),
            ((0, 0), (30, 11), (30, 0), false),
        ] {
            let [p, c, n] = [previous, current, next].map(|(words, linked)| block(words, linked));
            assert_eq!(is_content(&p, &c, &n), content, "{previous:?} {current:?} {next:?}");
        }
    }

    proptest! {
        #[test]
        fn any_tag_soup_is_read(html in "(<|>|/|p|nav|main|a| |head|title|script|x|&amp;|\"|=){0,40}") {
            read(&html);
        }
    }
}
