//! Models in memory, bases shared between the adapters on them.

use crate::{Error, Result, grammar::TokenSpace};
use loopwright_lm::{Adapter, ChatFormat, Checkpoint, KvCache, Model, Tokenizer, score_continuations};
use loopwright_types::{Timestamp, model::ModelRef, openai::ChatMessage};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

/// A base with its tokenizer, held by every version on it.
#[derive(Debug)]
struct Base {
    model: Model,
    tokenizer: Tokenizer,
    format: ChatFormat,
    /// The tokens as forms see them; made when the first form is held.
    space: OnceLock<Arc<TokenSpace>>,
}

/// A version that can answer.
#[derive(Debug)]
pub(crate) struct Loaded {
    name: ModelRef,
    model: Model,
    base: Arc<Base>,
}

impl Loaded {
    pub(crate) fn name(&self) -> &ModelRef {
        &self.name
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.base.tokenizer
    }

    /// How it is talked to.
    pub(crate) fn format(&self) -> &ChatFormat {
        &self.base.format
    }

    /// Its tokens as forms see them.
    pub(crate) fn space(&self) -> Result<Arc<TokenSpace>> {
        if let Some(space) = self.base.space.get() {
            return Ok(space.clone());
        }
        let made = super::talk::space_of(self)?;
        Ok(self.base.space.get_or_init(|| made).clone())
    }

    /// A conversation as the prompt that the model was tuned on.
    pub(crate) fn conversation(&self, messages: &[ChatMessage]) -> Result<Vec<u32>> {
        self.base.format.prompt_tokens(&self.base.tokenizer, messages).map_err(|e| self.failed(e))
    }

    /// Tokens that prompt and answer may have together.
    pub(crate) fn context(&self) -> u32 {
        u32::try_from(self.model.config().max_position_embeddings).unwrap_or(u32::MAX)
    }

    /// An empty cache for one request.
    pub(crate) fn cache(&self) -> KvCache {
        KvCache::new(&self.model)
    }

    /// An error of the model, with its name.
    pub(crate) fn failed(&self, source: loopwright_lm::Error) -> Error {
        Error::Compute { model: self.name.clone(), source }
    }

    pub(crate) fn score(&self, prompts: &[Vec<u32>], continuation: &[u32]) -> Result<Vec<f32>> {
        score_continuations(&self.model, prompts, continuation).map_err(|e| self.failed(e))
    }

    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.model.embed(tokens).map_err(|e| self.failed(e))
    }
}

/// The versions in memory.
#[derive(Debug, Default)]
pub(crate) struct Models {
    loaded: RwLock<BTreeMap<ModelRef, Arc<Loaded>>>,
    /// Bases by folder, for as long as a version holds them. Held while loading: two versions on one base read it once.
    bases: Mutex<BTreeMap<PathBuf, Weak<Base>>>,
    /// The date that chat templates are given, if it is not that of the moment.
    date: Option<Timestamp>,
}

impl Models {
    /// None loaded.
    pub(crate) fn new(date: Option<Timestamp>) -> Self {
        Self { date, ..Self::default() }
    }

    /// Reads a version; one of the same name that is loaded already is replaced. Blocks.
    pub(crate) fn load(&self, name: ModelRef, base_dir: &Path, adapter_dir: Option<&Path>) -> Result<()> {
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = read(&mut bases, name.clone(), (base_dir, adapter_dir), self.date)
            .map_err(|source| Error::Load { model: name.clone(), source })?;
        bases.retain(|_, base| base.strong_count() > 0);
        self.write().insert(name, Arc::new(loaded));
        Ok(())
    }

    /// Forgets a version.
    pub(crate) fn unload(&self, name: &ModelRef) -> bool {
        self.write().remove(name).is_some()
    }

    /// The versions in memory.
    pub(crate) fn loaded(&self) -> Vec<ModelRef> {
        self.read().keys().cloned().collect()
    }

    /// A version in memory.
    pub(crate) fn get(&self, name: &ModelRef) -> Result<Arc<Loaded>> {
        self.read().get(name).cloned().ok_or_else(|| Error::NotLoaded { model: name.clone() })
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ModelRef, Arc<Loaded>>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ModelRef, Arc<Loaded>>> {
        self.loaded.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The moment.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn read(
    bases: &mut MutexGuard<'_, BTreeMap<PathBuf, Weak<Base>>>,
    name: ModelRef,
    (base_dir, adapter_dir): (&Path, Option<&Path>),
    date: Option<Timestamp>,
) -> loopwright_lm::Result<Loaded> {
    let base = match bases.get(base_dir).and_then(Weak::upgrade) {
        Some(base) => base,
        None => {
            let read = Checkpoint::read(base_dir)?;
            let format = read.format()?.with_date(move || date.unwrap_or_else(now));
            let base = Arc::new(Base { model: read.model, tokenizer: read.tokenizer, format, space: OnceLock::new() });
            bases.insert(base_dir.to_path_buf(), Arc::downgrade(&base));
            base
        }
    };
    let model = match adapter_dir {
        Some(dir) => base.model.with_adapter(&Adapter::load(dir, &base.model)?),
        None => base.model.clone(),
    };
    Ok(Loaded { name, model, base })
}
