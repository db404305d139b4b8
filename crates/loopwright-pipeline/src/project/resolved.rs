//! The project as resolved: every value present and checked. Only these travel.

use super::{
    check::check_loop,
    gateway::{RouteSettings, check_gateway, gateway, is_route_only},
    torch::{Backend, TorchSettings},
    written::{self, FILE_NAME, NAMED_SECTIONS},
};
use crate::error::{Doing, Error, Result};
use crate::jobs::tune::Metric;
use loopwright_data::{expectations::Expectations, recipe::StepSettings};
use loopwright_guard::PiiKind;
use loopwright_lm::Form;
use loopwright_observe::entry::Killed;
use loopwright_search::{Pruner, Sampler};
use loopwright_serve::gateway::GatewaySettings;
use loopwright_sources::{Shape, TextUnit};
use loopwright_store::JournalSync;
use loopwright_train::{Method, Schedule};
use loopwright_types::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// A project, its folder and its settings.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder that holds `loopwright.toml`.
    pub dir: PathBuf,
    /// `[project]`
    pub project: ProjectSettings,
    /// `[serve]`
    pub serve: ServeSettings,
    /// `[policy]`
    pub policy: PolicySettings,
    /// The loops by name. A route that providers alone answer is not one of them.
    pub loops: BTreeMap<String, LoopSettings>,
    /// `[provider.NAME]` and what `[route.NAME]` says of targets and policy.
    pub gateway: GatewaySettings,
    /// The routes that are written, by name; those of loops among them.
    pub routes: BTreeMap<String, RouteSettings>,
}

/// `[project]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSettings {
    /// Shown to people.
    pub name: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The day that chat templates are given, as `2026-01-31`; empty: the day it is.
    pub template_date: String,
}

impl ProjectSettings {
    /// The day that chat templates are given, if it is fixed.
    pub fn template_date(&self) -> Option<Timestamp> {
        Timestamp::of_day(&self.template_date)
    }
}

/// `[serve]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeSettings {
    /// `host:port`; port 0 takes a free one.
    pub address: String,
    /// Requests that may wait for the engine.
    pub queue_max: usize,
    /// How weights are held.
    pub weights: Form,
    /// Answers written at a time.
    pub answers_max: usize,
    /// Tokens read in one pass.
    pub tokens_per_pass: usize,
    /// Megabytes for keys and values.
    pub kv_cache_mb: usize,
    /// Megabytes for models' weights.
    pub models_mb: u64,
    /// Are answers guessed ahead?
    pub speculate: bool,
    /// When a record of the journal counts as written.
    pub journal_sync: JournalSync,
    /// Megabytes that may wait in the journal.
    pub journal_mb: u64,
    /// What becomes of reservations when the server is killed.
    pub killed: Killed,
}

/// `[policy]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    /// Kinds of personal data to mask.
    pub mask: BTreeSet<String>,
}

/// Everything about one loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoopSettings {
    /// The loop's name: its dataset, adapter and route carry it.
    pub name: String,
    /// `[data.NAME]`
    pub data: DataSettings,
    /// `[train.NAME]`
    pub train: TrainSettings,
    /// `[tune.NAME]`
    pub tune: TuneSettings,
    /// `[eval.NAME]`
    pub eval: EvalSettings,
    /// `[route.NAME]`
    pub route: RouteSettings,
    /// `[monitor.NAME]`
    pub monitor: MonitorSettings,
    /// `[retrain.NAME]`
    pub retrain: RetrainSettings,
}

/// `[data.NAME]`: see the commented default for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct DataSettings {
    pub sources: Vec<String>,
    pub customers: String,
    pub text: String,
    pub label: String,
    pub id: String,
    pub subject: String,
    pub group: String,
    pub at: String,
    pub licence: String,
    pub tags: String,
    pub rows_licence: String,
    pub rows_tags: Vec<String>,
    #[serde(deserialize_with = "word_or_none", serialize_with = "none_or_word")]
    pub shape: Option<Shape>,
    pub text_unit: TextUnit,
    pub memory_mb: u64,
    pub recipe: String,
    pub steps: Vec<StepSettings>,
    pub evaluation: Vec<String>,
    pub curation_model: String,
    pub expectations: Expectations,
    pub languages: Vec<String>,
    pub min_chars: usize,
    pub max_chars: usize,
    pub near_duplicate_similarity: f64,
    pub validation_share: f64,
    pub test_share: f64,
}

/// `[train.NAME]`: see the commented default for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TrainSettings {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    pub context_tokens: usize,
    pub pretrain_epochs: u64,
    pub pretrain_lr: f64,
    pub pretrain_batch_size: usize,
    pub base: String,
    pub method: Method,
    pub epochs: u64,
    pub max_steps: u64,
    pub lr: f64,
    pub batch_size: usize,
    pub gradient_accumulation_steps: usize,
    pub lr_scheduler: Schedule,
    pub warmup_ratio: f64,
    pub warmup_steps: u64,
    pub dpo_beta: f64,
    pub gradient_checkpointing: bool,
    pub bf16: bool,
    pub mnrl_scale: f64,
    pub load_in_4bit: bool,
    pub load_in_8bit: bool,
    pub weight_decay: f64,
    pub max_grad_norm: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    pub eval_steps: u64,
    pub early_stopping_patience: u64,
    pub n_samples: usize,
    pub sample_prompts: Vec<String>,
    pub lora_r: usize,
    pub lora_alpha: f64,
    pub lora_dropout: f64,
    pub lora_targets: Vec<String>,
    pub use_rslora: bool,
    pub checkpoint_every_steps: u64,
    #[serde(default)]
    pub backend: Backend,
    #[serde(default)]
    pub torch: TorchSettings,
}

/// `[tune.NAME]`: see the commented default for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TuneSettings {
    pub study: String,
    pub trials: usize,
    pub parallel: usize,
    pub metric: Metric,
    pub sampler: Sampler,
    pub pruner: Pruner,
    pub space: toml::Table,
}

/// `[eval.NAME]`: see the commented default for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct EvalSettings {
    pub alpha: f64,
    pub min_accuracy: f64,
    pub max_regression: f64,
    pub max_group_gap: f64,
    pub min_valid_json: f64,
}

/// `[monitor.NAME]`: see the commented default for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MonitorSettings {
    pub false_alarms_per_month: f64,
    pub checks_per_month: f64,
    pub min_rows: usize,
    pub max_rows: usize,
    pub n_permutations: u32,
}

/// `[retrain.NAME]`: see the commented default for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RetrainSettings {
    pub on: BTreeSet<String>,
    pub min_corrections: u64,
}

/// An empty word says nothing.
fn word_or_none<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let word = String::deserialize(deserializer)?;
    if word.is_empty() {
        return Ok(None);
    }
    T::deserialize(toml::Value::String(word)).map(Some).map_err(serde::de::Error::custom)
}

fn none_or_word<S: Serializer>(word: &Option<Shape>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word.map_or("", Shape::as_str))
}

impl Project {
    /// Reads and resolves the project file of a folder.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::user(format!("failed to read the project file `{}`", path.display()))
                .because(error)
                .hint("run `loopwright init` to make a project here, or name one with `--project DIR`")
        })?;
        Self::resolve(&text, dir)
    }

    /// Resolves the text of a project file.
    pub fn resolve(text: &str, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let written = written::parse(text, &path)?;
        let defaults = written::default_table();
        let (gateway, routes) = gateway(&written, &defaults, &path)?;
        let project = Self {
            dir: dir.to_path_buf(),
            project: plain(&written, &defaults, "project", &path)?,
            serve: plain(&written, &defaults, "serve", &path)?,
            policy: plain(&written, &defaults, "policy", &path)?,
            loops: loops(&written, &defaults, &path)?,
            gateway,
            routes,
        };
        project.check(&path)?;
        Ok(project)
    }

    /// The named loop, or the only one.
    pub fn the_loop(&self, name: Option<&str>) -> Result<&LoopSettings> {
        let names = || self.loops.keys().cloned().collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => self.loops.get(name).ok_or_else(|| {
                Error::user(format!("no loop is called `{name}`")).hint(format!("the project file has: {}", names()))
            }),
            None if self.loops.is_empty() => Err(Error::user("the project has routes of providers only, and no loop")
                .hint("add a section such as `[data.support]`")),
            None if self.loops.len() == 1 => Ok(self.loops.values().next().expect("one loop")),
            None => {
                Err(Error::user("the project has several loops").hint(format!("name one with `--loop`: {}", names())))
            }
        }
    }

    fn check(&self, path: &Path) -> Result<()> {
        for it in self.loops.values() {
            check_loop(it).map_err(|problem| Error::user(format!("{}: {problem}", path.display())))?;
        }
        check_gateway(&self.gateway).map_err(|problem| Error::user(format!("{}: {problem}", path.display())))?;
        if !self.project.template_date.is_empty() && self.project.template_date().is_none() {
            let message = "[project] template_date must be a day such as \"2026-01-31\", or empty";
            return Err(Error::user(format!("{}: {message}", path.display())));
        }
        let known: BTreeSet<&str> = PiiKind::ALL.iter().map(|kind| kind.as_str()).collect();
        match self.policy.mask.iter().find(|kind| !known.contains(kind.as_str())) {
            Some(kind) => Err(Error::user(format!("{}: [policy] mask: unknown kind `{kind}`", path.display()))
                .hint(format!("known: {}", known.into_iter().collect::<Vec<_>>().join(", ")))),
            None => Ok(()),
        }
    }
}

fn plain<T: DeserializeOwned>(written: &toml::Table, defaults: &toml::Table, section: &str, path: &Path) -> Result<T> {
    let default = defaults[section].as_table().expect("sections of the default are tables");
    let own = written.get(section).and_then(toml::Value::as_table);
    typed(merged(default, own), section, path)
}

fn loops(written: &toml::Table, defaults: &toml::Table, path: &Path) -> Result<BTreeMap<String, LoopSettings>> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for section in NAMED_SECTIONS {
        names.extend(written.get(section).and_then(toml::Value::as_table).into_iter().flat_map(|t| t.keys().cloned()));
    }
    if names.is_empty() {
        return Err(Error::user(format!("{}: the project has no loop", path.display()))
            .hint("add a section such as `[data.support]`"));
    }
    let mut loops = BTreeMap::new();
    for name in names {
        let wrong = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        if name.is_empty() || name.contains(wrong) {
            return Err(Error::user(format!(
                "{}: `{name}` cannot name a loop: use a-z, 0-9, `-` and `_`",
                path.display()
            )));
        }
        if is_route_only(written, defaults, &name, path)? {
            continue;
        }
        let at = At { written, defaults, name: &name, path };
        let it = LoopSettings {
            name: name.clone(),
            data: at.section("data")?,
            train: at.section("train")?,
            tune: at.section("tune")?,
            eval: at.section("eval")?,
            route: at.section("route")?,
            monitor: at.section("monitor")?,
            retrain: at.section("retrain")?,
        };
        loops.insert(name, it);
    }
    Ok(loops)
}

/// A name's tables in the sections of a project file.
pub(super) struct At<'a> {
    pub(super) written: &'a toml::Table,
    pub(super) defaults: &'a toml::Table,
    pub(super) name: &'a str,
    pub(super) path: &'a Path,
}

impl At<'_> {
    /// One of its sections, with defaults for what is left out.
    pub(super) fn section<T: DeserializeOwned>(&self, section: &str) -> Result<T> {
        let own = self.written.get(section).and_then(|s| s.get(self.name)).and_then(toml::Value::as_table);
        let full = merged(&written::named_section(self.defaults, section), own);
        typed(full, &format!("{section}.{}", self.name), self.path)
    }
}

fn merged(default: &toml::Table, own: Option<&toml::Table>) -> toml::Table {
    let mut full = default.clone();
    full.extend(own.into_iter().flatten().map(|(key, value)| (key.clone(), same_type(&default[key], value))));
    full
}

/// `3` is a fine way to write `3.0`.
fn same_type(default: &toml::Value, own: &toml::Value) -> toml::Value {
    match (default, own) {
        (toml::Value::Float(_), toml::Value::Integer(whole)) => toml::Value::Float(*whole as f64),
        _ => own.clone(),
    }
}

fn typed<T: DeserializeOwned>(table: toml::Table, section: &str, path: &Path) -> Result<T> {
    T::deserialize(toml::Value::Table(table))
        .doing(|| format!("{}: a value in [{section}] has the wrong type or name", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::DEFAULT_FILE;

    fn resolve(text: &str) -> Result<Project> {
        Project::resolve(text, Path::new("p"))
    }

    #[test]
    fn the_default_resolves_and_shows_every_key() {
        let project = resolve(DEFAULT_FILE).unwrap();
        let it = project.the_loop(None).unwrap();
        let defaults = written::default_table();
        let keys = |value: toml::Value| value.as_table().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let shown = |section: &str| keys(toml::Value::Table(written::named_section(&defaults, section)));
        assert_eq!(keys(toml::Value::try_from(&it.data).unwrap()), shown("data"));
        assert_eq!(keys(toml::Value::try_from(&it.train).unwrap()), shown("train"));
        assert_eq!(keys(toml::Value::try_from(&it.tune).unwrap()), shown("tune"));
        assert_eq!(keys(toml::Value::try_from(&it.eval).unwrap()), shown("eval"));
        assert_eq!(keys(toml::Value::try_from(&it.route).unwrap()), shown("route"));
        assert_eq!(keys(toml::Value::try_from(&it.monitor).unwrap()), shown("monitor"));
        assert_eq!(keys(toml::Value::try_from(&it.retrain).unwrap()), shown("retrain"));
    }

    #[test]
    fn what_is_left_out_takes_its_default() {
        let project = resolve("[train.tickets]\nlora_r = 4\nlr = 1\n").unwrap();
        let it = project.the_loop(Some("tickets")).unwrap();
        assert_eq!((it.train.lora_r, it.train.lr, it.train.lora_alpha), (4, 1.0, 64.0));
        let project =
            resolve("[train.a]\nlearning_rate = 1e-4\nmicro_batch_size = 2\ntarget_modules = [\"q_proj\"]\n").unwrap();
        let it = project.the_loop(None).unwrap();
        assert_eq!((it.train.lr, it.train.batch_size, it.train.lora_targets.len()), (1e-4, 2, 1));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        let check = |text: &str, says: &str| {
            let error = resolve(text).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        };
        check("[train.a]\nhidden_size = 130\n", "[train.a] hidden_size must be a multiple of n_heads");
        check("[train.a]\nmethod = \"embed\"\nbatch_size = 1\n", "are the negatives");
        check("[train.a]\nmethod = \"classify\"\ngradient_checkpointing = true\n", "gradient_checkpointing");
        check("[train.a]\nload_in_4bit = true\nload_in_8bit = true\n", "exclude each other");
        check("[train.a]\nload_in_4bit = true\nmethod = \"full\"\n", "need a frozen base");
        check("[route.a]\ncanary_share_percent = 100\n", "between 1 and 90");
        check("[route.a]\nguard = [{rule = \"topic\"}]\n", "[route.a] guard: rule `topic`: name words");
        check("[route.a]\nguard = [{rule = \"pi\"}]\n", "a value in [route.a]");
        check("[route.a]\nprice = {input_per_million_usd = -1}\n", "[route.a] price: input_per_million_usd must be");
        check("[route.a]\nprice = {input = 1}\n", "a value in [route.a]");
        check("[route.a]\ncache = {mode = \"semantic\"}\n", "[route.a] cache: embed belongs to");
        check("[data.a]\n[serve]\njournal_sync = \"never\"\n", "a value in [serve]");
        check("[project]\ntemplate_date = \"2026-02-30\"\n[data.a]\n", "template_date must be a day");
        check("[data.a]\nmin_chars = \"x\"\n", "a value in [data.a] has the wrong type");
        check("[data.a]\nsteps = [{step = \"c4\", sentence_min = 3}]\n", "a value in [data.a]");
        check("[data.a]\nexpectations = {label_rows = 3}\n", "a value in [data.a]");
        check("[data.a]\nsteps = [{step = \"c4\"}]\n", "[data.a] steps: ");
        check("[data.a]\nrecipe = \"gofer\"\n", "no recipe is called `gofer`");
        check("[train.a]\nbackend = \"jax\"\n", "a value in [train.a]");
        check("[train.a]\ntorch = {nproc = 2}\n", "a value in [train.a]");
        check("[data.A]\n", "cannot name a loop");
        check("[project]\nname = \"x\"\n", "no loop");
        check("[data.a]\n[policy]\nmask = [\"emial\"]\n", "unknown kind `emial`");
    }
}
