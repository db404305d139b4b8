//! Duplicates by meaning, among as many rows as fit: all vectors are in memory.

use super::{
    set_phase::{Judging, Looking, Scratch},
    shelf::{Shelf, ShelfWriter},
};
use crate::{
    Result,
    clean::embedding_dedup::{Settings, Vectors},
    draft::{Draft, Verdict},
    embed::HashedEmbedding,
    embedding_dedup::{self, Duplicate},
    recipe::Resources,
};

/// Bytes per byte of text while vectors are made of words: the text, its n-grams, and in how many texts each of them is.
const TEXT_BYTES: u64 = 8;
/// Bytes per row beside text and vectors.
const ROW_BYTES: u64 = 128;

/// The step in its first pass.
pub(crate) struct EmbeddingDedup<'a> {
    settings: Settings,
    resources: &'a Resources<'a>,
    seed: u64,
    /// The texts, if vectors come from words.
    texts: Vec<String>,
    text_bytes: u64,
    /// The vectors, if they come from a model.
    vectors: Vec<Vec<f32>>,
    ids: ShelfWriter,
    n_rows: u64,
    scratch: Scratch,
}

impl<'a> EmbeddingDedup<'a> {
    pub(crate) fn new(settings: &Settings, resources: &'a Resources<'a>, seed: u64, scratch: Scratch) -> Result<Self> {
        let ids = ShelfWriter::create(&scratch.folder, "ids")?;
        let (texts, vectors) = (Vec::new(), Vec::new());
        Ok(Self { settings: settings.clone(), resources, seed, texts, text_bytes: 0, vectors, ids, n_rows: 0, scratch })
    }

    fn check_fits(&self) -> Result<()> {
        let n_rows = self.n_rows;
        let width = self.vectors.first().map_or(self.settings.width, Vec::len) as u64;
        // Once as they come, once at a length of one.
        let vector_bytes = 2 * size_of::<f32>() as u64 * width;
        let what = || format!("{n_rows} vectors of {width} places");
        self.scratch.check_fits(what, self.text_bytes * TEXT_BYTES + n_rows * (ROW_BYTES + vector_bytes))
    }
}

impl Looking for EmbeddingDedup<'_> {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        drafts.iter().try_for_each(|draft| self.ids.push(draft.row.row_id.as_bytes()))?;
        self.n_rows += drafts.len() as u64;
        let texts = drafts.iter().map(|draft| draft.row.text.as_str());
        match self.settings.vectors {
            Vectors::Words => {
                self.text_bytes += texts.clone().map(|text| text.len() as u64).sum::<u64>();
                self.texts.extend(texts.map(str::to_string));
            }
            Vectors::Model => self.vectors.extend(self.resources.embed()?(&texts.collect::<Vec<_>>())?),
        }
        self.check_fits()
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        let vectors = match self.settings.vectors {
            Vectors::Words => {
                let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
                HashedEmbedding::learn(&texts, self.settings.width).embed_all(&texts)
            }
            Vectors::Model => self.vectors,
        };
        let found = embedding_dedup::by_row(&vectors, self.n_rows as usize, &self.settings.likeness(), self.seed)?;
        Ok(Box::new(Alike { found, ids: self.ids.finish()?, row: 0 }))
    }
}

/// The step in its second pass.
struct Alike {
    found: Vec<Option<Duplicate>>,
    ids: Shelf,
    /// The next row.
    row: usize,
}

impl Judging for Alike {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let rows = self.row..self.row + drafts.len();
        self.row = rows.end;
        let verdict = |found: &Option<Duplicate>| {
            Ok(match found {
                None => Verdict::Keep,
                Some(it) => Verdict::Drop(embedding_dedup::reason(*it, &self.ids.read_text(it.survivor as u64)?)),
            })
        };
        self.found[rows].iter().map(verdict).collect()
    }
}
