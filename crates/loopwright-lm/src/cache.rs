//! Keys and values of the tokens already read, so that the next token costs one row instead of all.
//!
//! They lie in pages of [`PAGE_TOKENS`] tokens (Kwon et al. 2023). A page that is full never changes again, so sequences that
//! begin alike share pages, and one that ends gives its own back. A page holds all layers of the model; within a head the
//! keys lie by element, [width][tokens], so that scores of a page's tokens are sums over vectors, and the values by token,
//! [tokens][width].

use crate::{
    error::{Error, Kind, Result},
    model::Model,
    ops::Heads,
};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Tokens of a page.
pub const PAGE_TOKENS: usize = 16;

/// Bounds the memory that the pages of many caches may take together. Clones share the bound.
#[derive(Clone, Debug)]
pub struct PagePool(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    used_bytes: AtomicUsize,
    most_bytes: usize,
}

impl PagePool {
    /// A pool of so many bytes.
    pub fn new(most_bytes: usize) -> Self {
        Self(Arc::new(Budget { used_bytes: AtomicUsize::new(0), most_bytes }))
    }

    /// Bytes of all pages that are held.
    pub fn used_bytes(&self) -> usize {
        self.0.used_bytes.load(Relaxed)
    }

    /// Bytes that pages may take.
    pub fn most_bytes(&self) -> usize {
        self.0.most_bytes
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.0.most_bytes);
        self.0.used_bytes.fetch_update(Relaxed, Relaxed, more).is_ok()
    }
}

/// Keys and values of some neighbouring tokens in all layers.
#[derive(Debug)]
pub struct Page {
    keys: Box<[f32]>,
    values: Box<[f32]>,
    pool: PagePool,
}

impl Page {
    fn new(pool: &PagePool, shape: Shape) -> Option<Self> {
        pool.take(shape.page_bytes()).then(|| {
            let zeros = || vec![0f32; shape.page_numbers()].into_boxed_slice();
            Self { keys: zeros(), values: zeros(), pool: pool.clone() }
        })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.pool.0.used_bytes.fetch_sub((self.keys.len() + self.values.len()) * size_of::<f32>(), Relaxed);
    }
}

/// How a model's pages are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    layers: usize,
    kv_heads: usize,
    dim: usize,
}

impl Shape {
    fn of(model: &Model) -> Self {
        let config = model.config();
        let (kv_heads, dim) = (config.num_key_value_heads, config.head_dim);
        Self { layers: config.num_hidden_layers, kv_heads, dim }
    }

    /// Numbers of the keys of a page, or of its values.
    fn page_numbers(self) -> usize {
        self.layers * self.kv_heads * self.dim * PAGE_TOKENS
    }

    fn page_bytes(self) -> usize {
        2 * self.page_numbers() * size_of::<f32>()
    }

    /// Where a head's numbers lie in a page.
    fn head(self, layer: usize, head: usize) -> Range<usize> {
        let size = self.dim * PAGE_TOKENS;
        let start = (layer * self.kv_heads + head) * size;
        start..start + size
    }
}

/// What a model remembers of one sequence. Made for one model and used with it alone.
#[derive(Clone, Debug)]
pub struct KvCache {
    shape: Shape,
    pages: Vec<Arc<Page>>,
    n_tokens: usize,
    capacity: usize,
    pool: PagePool,
}

impl KvCache {
    /// An empty cache for a model, bounded by nothing but the model's positions.
    pub fn new(model: &Model) -> Self {
        Self::in_pool(model, &PagePool::new(usize::MAX))
    }

    /// An empty cache whose pages count in a pool.
    pub fn in_pool(model: &Model, pool: &PagePool) -> Self {
        let capacity = model.config().max_position_embeddings;
        Self { shape: Shape::of(model), pages: Vec::new(), n_tokens: 0, capacity, pool: pool.clone() }
    }

    /// The same with whole pages that another cache of the same model, under the same adapter, made of the same first tokens.
    pub fn with_prefix(mut self, pages: Vec<Arc<Page>>) -> Self {
        self.n_tokens = pages.len() * PAGE_TOKENS;
        self.pages = pages;
        self
    }

    /// Bytes of one page of a model's caches.
    pub fn page_bytes(model: &Model) -> usize {
        Shape::of(model).page_bytes()
    }

    /// Tokens read so far.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Tokens that may still be read.
    pub fn room(&self) -> usize {
        self.capacity - self.n_tokens
    }

    /// A page whose tokens have all been read; it never changes again.
    pub fn whole_page(&self, page: usize) -> Option<Arc<Page>> {
        ((page + 1) * PAGE_TOKENS <= self.n_tokens).then(|| Arc::clone(&self.pages[page]))
    }

    /// Takes pages for so many more tokens. False if the pool has none left; what was taken stays for the next attempt.
    pub fn reserve(&mut self, n: usize) -> bool {
        let wanted = (self.n_tokens + n).div_ceil(PAGE_TOKENS);
        while self.pages.len() < wanted {
            let Some(page) = Page::new(&self.pool, self.shape) else { return false };
            self.pages.push(Arc::new(page));
        }
        true
    }

    /// Forgets all tokens but the first so many, and gives their pages back.
    pub fn truncate(&mut self, n_tokens: usize) {
        self.n_tokens = self.n_tokens.min(n_tokens);
        self.pages.truncate(self.n_tokens.div_ceil(PAGE_TOKENS));
    }

    /// Writes keys and values of new rows, turned already, behind the tokens read so far; [`KvCache::advance`] follows once
    /// all layers have theirs.
    pub(crate) fn write(&mut self, layer: usize, (keys, values): (&[f32], &[f32]), heads: Heads) -> Result<()> {
        let width = heads.kv_width();
        let n = keys.len() / width.max(1);
        if (heads.kv_heads, heads.dim) != (self.shape.kv_heads, self.shape.dim) || layer >= self.shape.layers {
            return Err(Error::new(Kind::BadInput, "this cache was made for another model"));
        }
        if !self.reserve(n) {
            let most = self.pool.most_bytes() >> 20;
            return Err(Error::new(Kind::TooLong, format!("the {most} MiB for keys and values are used up")));
        }
        for (i, (keys, values)) in keys.chunks_exact(width).zip(values.chunks_exact(width)).enumerate() {
            let (page, slot) = ((self.n_tokens + i) / PAGE_TOKENS, (self.n_tokens + i) % PAGE_TOKENS);
            let page = self.own_page(page)?;
            for (head, (keys, values)) in keys.chunks_exact(heads.dim).zip(values.chunks_exact(heads.dim)).enumerate() {
                let at = (layer * heads.kv_heads + head) * heads.dim * PAGE_TOKENS;
                let columns = page.keys[at + slot..].iter_mut().step_by(PAGE_TOKENS);
                columns.zip(keys).for_each(|(to, key)| *to = *key);
                page.values[at + slot * heads.dim..][..heads.dim].copy_from_slice(values);
            }
        }
        Ok(())
    }

    /// A page that nobody else sees: a copy of a shared one whose end was forgotten.
    fn own_page(&mut self, page: usize) -> Result<&mut Page> {
        if Arc::get_mut(&mut self.pages[page]).is_none() {
            let shared = &self.pages[page];
            let Some(mut own) = Page::new(&self.pool, self.shape) else {
                return Err(Error::new(Kind::TooLong, "the memory for keys and values is used up"));
            };
            own.keys.copy_from_slice(&shared.keys);
            own.values.copy_from_slice(&shared.values);
            self.pages[page] = Arc::new(own);
        }
        Ok(Arc::get_mut(&mut self.pages[page]).expect("nobody else has the copy"))
    }

    /// A head's keys [width, tokens] and values [tokens, width] in each page of the first so many tokens.
    pub(crate) fn pages_of(
        &self,
        (layer, head): (usize, usize),
        n_tokens: usize,
    ) -> impl Iterator<Item = (&[f32], &[f32])> {
        let at = self.shape.head(layer, head);
        let pages = self.pages.iter().take(n_tokens.div_ceil(PAGE_TOKENS));
        pages.map(move |page| (&page.keys[at.clone()], &page.values[at.clone()]))
    }

    /// Called once all layers have read `n` rows.
    pub(crate) fn advance(&mut self, n: usize) {
        self.n_tokens += n;
    }
}
