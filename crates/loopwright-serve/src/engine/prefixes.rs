//! Pages of keys and values that later prompts may begin with.
//!
//! A whole page is found again by a digest over the model, the adapter and all tokens up to its end. Pages that nobody
//! reads any more stay until their memory is wanted, the longest unused going first.

use loopwright_lm::{KvCache, PAGE_TOKENS, Page};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, sync::Arc};

/// What a page holds: who computed it, from which tokens.
pub(crate) type PageKey = [u8; 32];

/// Pages by what they hold.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    pages: HashMap<PageKey, Kept>,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    page: Arc<Page>,
    last_used: u64,
}

/// The key that a sequence's first page goes on from.
pub(crate) fn root(version: &str) -> PageKey {
    Sha256::digest(version.as_bytes()).into()
}

/// The key of a page whose tokens follow what `before` stands for.
fn next_key(before: &PageKey, tokens: &[u32]) -> PageKey {
    let mut hash = Sha256::new_with_prefix(before);
    tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
    hash.finalize().into()
}

impl Prefixes {
    /// The longest run of kept pages that a prompt begins with, and their keys. One token at least is left to read.
    pub(crate) fn find(&mut self, root: PageKey, prompt: &[u32]) -> (Vec<Arc<Page>>, Vec<PageKey>) {
        self.clock += 1;
        let (mut pages, mut keys) = (Vec::new(), Vec::new());
        let readable = &prompt[..prompt.len().saturating_sub(1)];
        for tokens in readable.chunks_exact(PAGE_TOKENS) {
            let next = next_key(keys.last().unwrap_or(&root), tokens);
            let Some(kept) = self.pages.get_mut(&next) else { break };
            kept.last_used = self.clock;
            pages.push(Arc::clone(&kept.page));
            keys.push(next);
        }
        (pages, keys)
    }

    /// Keeps the pages of a cache that became whole: `keys` holds the keys of those known so far, `tokens` all that was read.
    pub(crate) fn keep(&mut self, root: PageKey, keys: &mut Vec<PageKey>, (cache, tokens): (&KvCache, &[u32])) {
        while let (Some(page), Some(tokens)) =
            (cache.whole_page(keys.len()), tokens.chunks_exact(PAGE_TOKENS).nth(keys.len()))
        {
            let key = next_key(keys.last().unwrap_or(&root), tokens);
            self.clock += 1;
            self.pages.entry(key).or_insert(Kept { page, last_used: 0 }).last_used = self.clock;
            keys.push(key);
        }
    }

    /// Lets go of about so many pages that nobody reads; how many went.
    pub(crate) fn release(&mut self, n: usize) -> usize {
        let mut idle: Vec<(u64, PageKey)> = self.pages.iter().filter_map(idle_entry).collect();
        idle.sort_unstable();
        idle.truncate(n.max(1));
        idle.iter().for_each(|(_, key)| drop(self.pages.remove(key)));
        idle.len()
    }

    /// Lets go of everything.
    pub(crate) fn clear(&mut self) {
        self.pages.clear();
    }
}

fn idle_entry((key, kept): (&PageKey, &Kept)) -> Option<(u64, PageKey)> {
    (Arc::strong_count(&kept.page) == 1).then_some((kept.last_used, *key))
}
