//! Leaves out documents by where they come from: hosts and words of the address that you give.
//!
//! The first step of RefinedWeb (Penedo et al. 2023, section 3.1 and appendix G.1) and of FineWeb, whose rules these are: a
//! blocked host takes its subdomains along; one word of `words` in an address is enough; of `soft_words`, which also stand
//! in good addresses, it takes two; `parts` are found inside words, too. The lists are yours: we ship none.

use crate::{Error, Reason, Result};
use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The step's name.
pub const STEP: &str = "urls";

/// The lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Hosts, e.g. `spam.example`, which also means `www.spam.example`.
    pub hosts: Vec<String>,
    /// Words; one of them in an address is enough.
    pub words: Vec<String>,
    /// Words of which an address may have fewer than `soft_words_min`.
    pub soft_words: Vec<String>,
    /// From so many soft words on an address goes (RefinedWeb: 2).
    pub soft_words_min: usize,
    /// Strings; one of them anywhere in an address is enough.
    pub parts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hosts: Vec::new(), words: Vec::new(), soft_words: Vec::new(), soft_words_min: 2, parts: Vec::new() }
    }
}

/// The lists, ready to be looked up.
#[derive(Clone, Debug)]
pub struct UrlRules {
    hosts: HashSet<String>,
    words: HashSet<String>,
    soft_words: HashSet<String>,
    soft_words_min: usize,
    parts: AhoCorasick,
}

impl UrlRules {
    /// Sorts the lists for look-ups.
    pub fn new(settings: &Settings) -> Result<Self> {
        let lower = |list: &[String]| list.iter().map(|it| it.trim().to_lowercase()).collect::<HashSet<_>>();
        let all = [&settings.hosts, &settings.words, &settings.soft_words, &settings.parts];
        if all.iter().any(|list| list.iter().any(|it| it.trim().is_empty())) {
            return Err(Error::setting("urls", "a list with an empty entry", "hosts, words and parts"));
        }
        let parts = AhoCorasick::builder().ascii_case_insensitive(true).build(lower(&settings.parts));
        Ok(Self {
            hosts: lower(&settings.hosts),
            words: lower(&settings.words),
            soft_words: lower(&settings.soft_words),
            soft_words_min: settings.soft_words_min,
            parts: parts
                .map_err(|_| Error::setting("urls.parts", settings.parts.len(), "parts that fit one automaton"))?,
        })
    }

    /// A reason, if an address is on the lists.
    pub fn check(&self, url: &str) -> Option<Reason> {
        let url = url.trim().to_lowercase();
        self.blocked_host(host(&url)).or_else(|| self.listed_words(&url)).or_else(|| {
            let part = self.parts.find(url.as_str())?;
            Some(Reason::new("url_part", format!("the address holds `{}`", &url[part.range()])))
        })
    }

    /// The host or one that it is under.
    fn blocked_host(&self, host: &str) -> Option<Reason> {
        let ends = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        let blocked = std::iter::once(host).chain(ends).find(|it| self.hosts.contains(*it))?;
        Some(Reason::new("url_host", format!("the host is `{host}`, and `{blocked}` is blocked")))
    }

    fn listed_words(&self, url: &str) -> Option<Reason> {
        let words = || url.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        if let Some(word) = words().find(|word| self.words.contains(*word)) {
            return Some(Reason::new("url_word", format!("the address holds the word `{word}`")));
        }
        let soft = words().filter(|word| self.soft_words.contains(*word)).collect::<HashSet<_>>().len();
        let min = self.soft_words_min.max(1);
        (soft >= min)
            .then(|| Reason::new("url_soft_words", format!("the address holds {soft} soft words, {min} are enough")))
    }
}

/// The host of an address: what stands after the scheme and a name, before port and path.
fn host(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    let authority = after.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default().trim_end_matches('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_by_host_and_words() {
        let list = |words: &[&str]| words.iter().map(|it| (*it).to_string()).collect();
        let settings = Settings {
            hosts: list(&["Spam.example", "10.0.0.1"]),
            words: list(&["casino"]),
            soft_words: list(&["free", "win"]),
            parts: list(&["xyzzy"]),
            ..Settings::default()
        };
        let rules = UrlRules::new(&settings).unwrap();
        for (url, expected) in [
            ("https://good.example/page", None),
            ("https://spam.example", Some("url_host")),
            ("HTTPS://me:pw@www.SPAM.example.:8080/x?y", Some("url_host")),
            ("spam.example/path", Some("url_host")),
            ("https://notspam.example/", None),
            ("https://spam.example.org/", None),
            ("https://good.example/?u=spam.example", None),
            ("http://10.0.0.1/", Some("url_host")),
            ("http://[::1]:80/", None),
            ("https://good.example/best-casino/", Some("url_word")),
            ("https://good.example/casinos", None),
            ("https://good.example/free-software", None),
            ("https://good.example/free/win", Some("url_soft_words")),
            ("https://good.example/free/free", None),
            ("https://good.example/aXyzzyb", Some("url_part")),
            ("", None),
        ] {
            assert_eq!(rules.check(url).map(|reason| reason.class).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn an_empty_entry_is_refused() {
        let settings = Settings { hosts: vec![String::new()], ..Settings::default() };
        assert!(UrlRules::new(&settings).is_err());
    }
}
