//! Models that can answer: those in memory, within a budget, and those that come back when they are asked for.
//!
//! Versions that are adapters on one base share its weights. Where the budget is used up, the base that nobody has asked
//! for longest leaves with its versions, unless one of them is answering; the next request for them reads them again.

use crate::{Error, Result, grammar::TokenSpace};
use loopwright_lm::{Adapter, ChatFormat, Checkpoint, Form, Model, Tokenizer, held_bytes, score_continuations};
use loopwright_types::{Timestamp, model::ModelRef, openai::ChatMessage};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// A base with its tokenizer, held by every version on it.
#[derive(Debug)]
pub(crate) struct Base {
    dir: PathBuf,
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
    adapter: Option<Adapter>,
    base: Arc<Base>,
    /// Differs for each time that a version is read, as what lies under its name may.
    serial: u64,
    last_used: AtomicU64,
}

impl Loaded {
    pub(crate) fn name(&self) -> &ModelRef {
        &self.name
    }

    /// The base's model.
    pub(crate) fn base_model(&self) -> &Model {
        &self.base.model
    }

    /// Do both stand on the same base?
    pub(crate) fn shares_base(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
    }

    pub(crate) fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// The base under the adapter.
    pub(crate) fn model(&self) -> Model {
        self.adapter.as_ref().map_or_else(|| self.base.model.clone(), |adapter| self.base.model.with_adapter(adapter))
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

    /// What tells its pages of keys and values from those of others.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// A conversation as the prompt that the model was tuned on.
    pub(crate) fn conversation(&self, messages: &[ChatMessage]) -> Result<Vec<u32>> {
        self.base.format.prompt_tokens(&self.base.tokenizer, messages).map_err(|e| self.failed(e))
    }

    /// Tokens that prompt and answer may have together.
    pub(crate) fn context(&self) -> u32 {
        u32::try_from(self.base.model.config().max_position_embeddings).unwrap_or(u32::MAX)
    }

    /// An error of the model, with its name.
    pub(crate) fn failed(&self, source: loopwright_lm::Error) -> Error {
        Error::Compute { model: self.name.clone(), source }
    }

    /// The class of a text, of a model that tells classes apart.
    pub(crate) fn class_of(&self, tokens: &[u32]) -> Result<Option<String>> {
        Ok(self.model().class_of(tokens).map_err(|e| self.failed(e))?.map(|(class, _)| class))
    }

    pub(crate) fn score(&self, prompts: &[Vec<u32>], continuation: &[u32]) -> Result<Vec<f32>> {
        score_continuations(&self.model(), prompts, continuation).map_err(|e| self.failed(e))
    }

    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.model().embed(tokens).map_err(|e| self.failed(e))
    }
}

/// Where a version lies.
#[derive(Clone, Debug)]
struct Source {
    base_dir: PathBuf,
    adapter_dir: Option<PathBuf>,
}

/// The versions that can be asked.
#[derive(Debug)]
pub(crate) struct Models {
    known: RwLock<BTreeMap<ModelRef, Source>>,
    resident: RwLock<BTreeMap<ModelRef, Arc<Loaded>>>,
    /// Held while a version is read: two versions on one base read it once.
    reading: Mutex<()>,
    form: Form,
    bytes_max: u64,
    /// The date that chat templates are given, if it is not that of the moment.
    date: Option<Timestamp>,
    clock: AtomicU64,
}

impl Models {
    /// None yet.
    pub(crate) fn new(form: Form, bytes_max: u64, date: Option<Timestamp>) -> Self {
        let (known, resident) = (RwLock::default(), RwLock::default());
        Self { known, resident, reading: Mutex::default(), form, bytes_max, date, clock: AtomicU64::new(0) }
    }

    /// Reads a version; one of the same name that is known already is replaced. Blocks.
    pub(crate) fn load(&self, name: ModelRef, base_dir: &Path, adapter_dir: Option<&Path>) -> Result<()> {
        let source = Source { base_dir: base_dir.to_path_buf(), adapter_dir: adapter_dir.map(Path::to_path_buf) };
        self.read_in(&name, &source)?;
        write(&self.known).insert(name, source);
        Ok(())
    }

    /// Forgets a version.
    pub(crate) fn unload(&self, name: &ModelRef) -> bool {
        write(&self.resident).remove(name);
        write(&self.known).remove(name).is_some()
    }

    /// The versions that can be asked.
    pub(crate) fn known(&self) -> Vec<ModelRef> {
        read(&self.known).keys().cloned().collect()
    }

    /// A version, if it is in memory.
    pub(crate) fn get(&self, name: &ModelRef) -> Result<Arc<Loaded>> {
        let loaded = read(&self.resident).get(name).cloned();
        let loaded = loaded.ok_or_else(|| Error::NotLoaded { model: name.clone() })?;
        loaded.last_used.store(self.clock.fetch_add(1, Relaxed), Relaxed);
        Ok(loaded)
    }

    /// Whether a version is known, but not in memory.
    pub(crate) fn is_away(&self, name: &ModelRef) -> bool {
        !read(&self.resident).contains_key(name) && read(&self.known).contains_key(name)
    }

    /// A known version; read again if it had to leave. Blocks.
    pub(crate) fn bring_back(&self, name: &ModelRef) -> Result<Arc<Loaded>> {
        if let Ok(loaded) = self.get(name) {
            return Ok(loaded);
        }
        let source = read(&self.known).get(name).cloned().ok_or_else(|| Error::NotLoaded { model: name.clone() })?;
        self.read_in(name, &source)?;
        self.get(name)
    }

    /// Bytes of the weights in memory.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.bases().iter().map(|base| base.model.base_bytes()).sum()
    }

    fn bases(&self) -> Vec<Arc<Base>> {
        let mut bases: Vec<Arc<Base>> = Vec::new();
        for loaded in read(&self.resident).values() {
            if !bases.iter().any(|base| Arc::ptr_eq(base, &loaded.base)) {
                bases.push(Arc::clone(&loaded.base));
            }
        }
        bases
    }

    fn read_in(&self, name: &ModelRef, source: &Source) -> Result<()> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| Error::Load { model: name.clone(), source };
        let base = match self.bases().into_iter().find(|base| base.dir == source.base_dir) {
            Some(base) => base,
            None => {
                self.make_room(name, held_bytes(&source.base_dir, self.form).map_err(failed)?)?;
                Arc::new(self.read_base(&source.base_dir).map_err(failed)?)
            }
        };
        let adapter = source.adapter_dir.as_deref().map(|dir| Adapter::load(dir, &base.model)).transpose();
        let adapter = adapter.map_err(failed)?;
        let serial = self.clock.fetch_add(1, Relaxed);
        let loaded = Loaded { name: name.clone(), adapter, base, serial, last_used: AtomicU64::new(serial) };
        write(&self.resident).insert(name.clone(), Arc::new(loaded));
        Ok(())
    }

    fn read_base(&self, dir: &Path) -> loopwright_lm::Result<Base> {
        let read = Checkpoint::read_held(dir, self.form)?;
        let date = self.date;
        let format = read.format()?.with_date(move || date.unwrap_or_else(now));
        Ok(Base {
            dir: dir.to_path_buf(),
            model: read.model,
            tokenizer: read.tokenizer,
            format,
            space: OnceLock::new(),
        })
    }

    /// Lets idle bases leave until so many bytes fit.
    fn make_room(&self, name: &ModelRef, wanted_bytes: u64) -> Result<()> {
        loop {
            let used_bytes = self.used_bytes();
            if used_bytes + wanted_bytes <= self.bytes_max {
                return Ok(());
            }
            let Some(dir) = self.longest_idle() else {
                let (wanted_mib, most_mib) = (wanted_bytes.div_ceil(1 << 20), self.bytes_max >> 20);
                return Err(Error::NoRoom { model: name.clone(), wanted_mib, used_mib: used_bytes >> 20, most_mib });
            };
            tracing::info!(base = %dir.display(), for_model = %name, "an idle model leaves memory");
            write(&self.resident).retain(|_, loaded| loaded.base.dir != dir);
        }
    }

    /// The base of which no version is answering and none was asked for longest.
    fn longest_idle(&self) -> Option<PathBuf> {
        let resident = read(&self.resident);
        let mut bases: BTreeMap<&Path, (bool, u64)> = BTreeMap::new();
        for loaded in resident.values() {
            let (is_busy, last) = bases.entry(&loaded.base.dir).or_default();
            *is_busy |= Arc::strong_count(loaded) > 1;
            *last = (*last).max(loaded.last_used.load(Relaxed));
        }
        let idle = bases.into_iter().filter(|(_, (is_busy, _))| !is_busy);
        idle.min_by_key(|(_, (_, last))| *last).map(|(dir, _)| dir.to_path_buf())
    }
}

/// The moment.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
