//! What a loop's curation works with: its recipe, what is known of people, and what some steps need beside the rows.

use super::{
    collect, customers,
    predict::{self, Loaded},
    stand_ins, token_count,
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_data::{
    clean::{language, length, split},
    dedup::NearSettings,
    flow::Outcome,
    recipe::{CurateContext, OneStep, Operator, Recipe, Resources, StepSettings, operators},
    tokens::TokenCounter,
};
use loopwright_guard::{Mapping, Redactor};
use loopwright_lm::{Batch, Tokenizer, chat};
use loopwright_store::TextFunction;
use loopwright_types::{ModelRef, id::SubjectId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The recipe whose bounds are keys of the project file.
const SUPPORT: &str = "support";

/// The recipe of a loop: steps of its own, or a named one.
///
/// The bounds that the project file names (`min_chars`, `languages`, …) belong to the recipe `support`; the shares of the
/// split belong to every named one.
pub fn of(it: &LoopSettings) -> Result<Recipe> {
    if !it.data.steps.is_empty() {
        return Ok(Recipe { steps: it.data.steps.clone() });
    }
    let mut recipe = Recipe::named(&it.data.recipe).ok_or_else(|| {
        let known = loopwright_data::recipe::NAMES.join(", ");
        Error::user(format!("[data.{}] recipe: no recipe is called `{}`", it.name, it.data.recipe))
            .hint(format!("known: {known}; or write `steps` of your own (`loopwright data operators` lists them)"))
    })?;
    let is_support = it.data.recipe == SUPPORT;
    for step in &mut recipe.steps {
        match step {
            StepSettings::Length(length) if is_support => {
                let (chars_min, chars_max) = (it.data.min_chars, it.data.max_chars);
                *length = length::Settings { chars_min, chars_max, ..Default::default() };
            }
            StepSettings::Language(language) if is_support => {
                *language = language::Settings { keep: it.data.languages.clone(), ..Default::default() };
            }
            StepSettings::NearDedup(near) if is_support => {
                *near = NearSettings { threshold: it.data.near_duplicate_similarity, ..Default::default() };
            }
            StepSettings::Split(split) => {
                let (validation, test) = (it.data.validation_share, it.data.test_share);
                *split = split::Settings { train: 1.0 - validation - test, validation, test, ..Default::default() };
            }
            _ => {}
        }
    }
    Ok(recipe)
}

/// Everything that a curation needs beside its rows.
pub struct Prepared {
    /// The steps.
    pub recipe: Recipe,
    redactor: Arc<Redactor>,
    /// The identifying strings of everybody known.
    pub identifiers: BTreeMap<SubjectId, Vec<String>>,
    opted_out: BTreeSet<SubjectId>,
    seed: u64,
    evaluation_texts: BTreeMap<String, Vec<(String, String)>>,
    surrogate_key: Option<[u8; 32]>,
    mapping: Option<Arc<Mapping>>,
    model: Option<Loaded>,
    /// The tokenizer of the model that is trained, with its name.
    tokenizer: Option<(String, Tokenizer)>,
}

impl Prepared {
    /// Gathers it for a loop; values that need a stand-in of their own get one.
    pub async fn of(ctx: &Context, it: &LoopSettings) -> Result<Self> {
        let mut prepared = Self::for_finding(ctx, it).await?;
        if prepared.needs_mapping() {
            let shared = Arc::new(prepared);
            let mapping = stand_ins::assign(ctx, it, &shared).await?;
            prepared = Arc::into_inner(shared).ok_or_else(|| Error::bug("a finder outlived its rows"))?;
            prepared.mapping = Some(Arc::new(mapping));
        }
        prepared.with(|context| prepared.recipe.check_resources(context.resources)).map_err(|error| {
            Error::user(format!("the recipe of `{}` cannot be used", it.name))
                .because(error)
                .hint("name evaluation texts in `evaluation`, and a model version in `curation_model`, of `[data.*]`")
        })?;
        Ok(prepared)
    }

    fn needs_mapping(&self) -> bool {
        self.recipe.steps.iter().any(|step| matches!(step, StepSettings::Redact(settings) if settings.reversible))
    }

    /// The same without stand-ins: enough to find what needs one.
    pub(super) async fn for_finding(ctx: &Context, it: &LoopSettings) -> Result<Self> {
        let recipe = of(it)?;
        recipe.check().doing(|| format!("the recipe of `{}` cannot be used", it.name))?;
        let mut opted_out = customers::opted_out(ctx).await?;
        opted_out.extend(customers::erased(ctx).await?);
        let has = |wanted: fn(&StepSettings) -> bool| recipe.steps.iter().any(wanted);
        let needs_texts = has(|step| matches!(step, StepSettings::Decontaminate(_)));
        let needs_model = has(|step| matches!(step, StepSettings::Perplexity(_) | StepSettings::EmbeddingDedup(_)));
        let needs_key = has(|step| matches!(step, StepSettings::Redact(settings) if settings.surrogates));
        Ok(Self {
            redactor: ctx.redactor.clone(),
            identifiers: customers::identifiers(ctx).await?,
            opted_out,
            seed: ctx.seed_for("curate"),
            evaluation_texts: if needs_texts { evaluation_texts(ctx, it).await? } else { BTreeMap::new() },
            surrogate_key: needs_key.then(|| ctx.store.secret(stand_ins::SECRET)).transpose()?,
            mapping: None,
            model: if needs_model { model(ctx, it).await? } else { None },
            tokenizer: token_count::tokenizer(ctx, it).await?,
            recipe,
        })
    }

    /// Does work with the context that curations take.
    pub fn with<T>(&self, work: impl FnOnce(&CurateContext<'_>) -> T) -> T {
        let perplexity = |text: &str| self.perplexity(text).map_err(outside);
        let embed = |texts: &[&str]| texts.iter().map(|text| self.embed(text)).collect::<Result<_>>().map_err(outside);
        let count = |text: &str| self.tokenizer.as_ref().map_or(0, |(_, it)| it.encode(text).len() as u64);
        let counter = |(name, _): &(String, Tokenizer)| TokenCounter { name: name.clone(), count: &count };
        let resources = Resources {
            evaluation_texts: self.evaluation_texts.clone(),
            perplexity: self.model.is_some().then_some(&perplexity),
            embed: self.model.is_some().then_some(&embed),
            surrogate_key: self.surrogate_key,
            mapping: self.mapping.clone(),
            tokens: self.tokenizer.as_ref().map(counter),
        };
        let known = |subject: &SubjectId| self.identifiers.get(subject).cloned().unwrap_or_default();
        work(&CurateContext {
            redactor: &self.redactor,
            known: &known,
            opted_out: &self.opted_out,
            seed: self.seed,
            resources: &resources,
        })
    }

    /// exp of the mean negative log-likelihood of the text's tokens, read in windows of the model's length.
    fn perplexity(&self, text: &str) -> Result<f64> {
        let Some(loaded) = &self.model else { return Err(Error::bug("no model was prepared")) };
        let tokens = loaded.tokenizer.encode(text);
        let (mut sum, mut n_scored) = (0.0, 0);
        for window in tokens.chunks(loaded.model.config().max_position_embeddings) {
            let mask: Vec<bool> = (0..window.len()).map(|place| place > 0).collect();
            let n = window.len().saturating_sub(1);
            if n == 0 {
                continue;
            }
            let doing = || "failed to score a row".to_string();
            let batch = Batch::new(&[(window, &mask)], chat::PAD).doing(doing)?;
            sum += f64::from(loaded.model.evaluate(&batch).doing(doing)?) * n as f64;
            n_scored += n;
        }
        Ok(if n_scored == 0 { f64::NAN } else { (sum / n_scored as f64).exp() })
    }

    fn embed(&self, text: &str) -> Result<Vec<f32>> {
        let Some(loaded) = &self.model else { return Err(Error::bug("no model was prepared")) };
        let embedded = loaded.prompt(text, 0).and_then(|prompt| loaded.model.embed(&prompt));
        embedded.doing(|| "failed to embed a row".into())
    }
}

fn outside(error: Error) -> loopwright_data::Error {
    loopwright_data::Error::outside("ask the model", error)
}

/// The rows that models are judged by, by their source.
async fn evaluation_texts(ctx: &Context, it: &LoopSettings) -> Result<BTreeMap<String, Vec<(String, String)>>> {
    let mut texts = BTreeMap::new();
    for source in &it.data.evaluation {
        let rows = collect::read_rows(ctx, &it.data, source).await?;
        texts.insert(source.clone(), rows.into_iter().map(|row| (row.row_id, row.text)).collect());
    }
    Ok(texts)
}

/// The model version that steps may ask.
async fn model(ctx: &Context, it: &LoopSettings) -> Result<Option<Loaded>> {
    if it.data.curation_model.is_empty() {
        return Ok(None);
    }
    let named: ModelRef = it
        .data
        .curation_model
        .parse()
        .map_err(|problem| Error::user(format!("[data.{}] curation_model: {problem}", it.name)))?;
    let version = ctx.store.require(&named.to_string()).await?;
    let work = ctx.clone();
    collect::in_background(move || predict::load(&work, &version)).await.map(Some)
}

/// The steps that can be asked in a query, each as `step_NAME(text)`: a changing step gives the text after it, another one
/// the reason why the text would go, or nothing. Settings are the defaults.
pub fn sql_functions(ctx: &Context) -> Vec<TextFunction> {
    operators().iter().filter_map(|operator| function(ctx, operator)).collect()
}

fn function(ctx: &Context, operator: &Operator) -> Option<TextFunction> {
    if operator.sees_all_rows || operator.needs.is_some() {
        return None;
    }
    let step: StepSettings = serde_json::from_value(serde_json::json!({"step": operator.name})).ok()?;
    let (redactor, changes) = (ctx.redactor.clone(), operator.changes_texts);
    let run = move |texts: &[Option<&str>]| {
        // Default settings are fine, and the step needs nothing: it can always be made ready, and always answers.
        let ready = OneStep::new(&step, &redactor, Resources::none()).ok();
        let outcome = |text: &str| match ready.as_ref()?.run(text).ok()? {
            Outcome::Changed { after, .. } => Some(after),
            Outcome::Dropped { reason, .. } => Some(reason),
            _ => changes.then(|| text.to_string()),
        };
        texts.iter().map(|text| text.and_then(outcome)).collect()
    };
    Some(TextFunction { name: format!("step_{}", operator.name), run: Arc::new(run) })
}
