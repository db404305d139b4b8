//! Train: a base from the project's own text, and LoRA adapters that answer with an intent.
//!
//! A run is recorded before its first step and found again after a kill: its checkpoints make it go on where it was.

use super::{
    collect::in_background,
    curve::{Told, points_of, write_told},
    examples::{self, Lessons, Speaker},
    model_files::{Beside, save},
    origin::{Asked, Questions, prepare_finetuning},
    predict, torch,
    train_settings::{environment, finetune_settings, params_of, pretrain_settings},
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::{Backend, LoopSettings, TorchSettings, TrainSettings as Settings},
};
use loopwright_lm::{Adapter, ModelConfig, Tokenizer, chat};
use loopwright_store::{Change, ListQuery, ObjectKey};
use loopwright_train::{Method, Progress, Samples, Start, TrainExample, TrainSettings, Trained};
use loopwright_types::{
    DatasetRef, Entity, Example, ModelRef, ModelVersion, Split, Timestamp,
    event::NewEvent,
    id::RunId,
    lineage::Edge,
    model::{ModelKind, ModelState},
    run::{Run, RunKind, RunState, Sample},
};
use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf};
use tokio::sync::mpsc;

/// Metric names.
pub const TRAIN_LOSS: &str = "train_loss";
/// Mean loss on the validation rows.
pub const VALIDATION_LOSS: &str = "validation_loss";
/// Tokens learned from per second.
pub const TOKENS_PER_S: &str = "tokens_per_s";
/// Norm of a step's gradient before clipping.
pub const GRADIENT_NORM: &str = "gradient_norm";
/// Share of a step's pairs whose chosen answer has the higher reward.
pub const REWARD_ACCURACY: &str = "reward_accuracy";
/// Mean of the chosen answer's reward less the rejected one's.
pub const REWARD_MARGIN: &str = "reward_margin";
/// Before the names of what else is measured on the validation rows.
pub const EVAL: &str = "eval_";
/// Learning rate.
pub const LEARNING_RATE: &str = "learning_rate";

/// The entry of a run's environment that holds the day its chat template was given.
const TEMPLATE_DATE: &str = "template_date";

/// How the base of loop `x` is called: `x-base`.
const BASE_SUFFIX: &str = "-base";

/// The name of a loop's base.
pub fn base_name(it: &LoopSettings) -> String {
    format!("{}{BASE_SUFFIX}", it.name)
}

/// The newest adapter of a loop, which must be there.
pub async fn newest_adapter(ctx: &Context, it: &LoopSettings) -> Result<ModelVersion> {
    let missing = || Error::user(format!("loop `{}` has no model yet", it.name)).hint("run `loopwright train`");
    newest(ctx, &it.name).await?.ok_or_else(missing)
}

/// The newest base of a loop, which must be there.
pub async fn newest_base(ctx: &Context, it: &LoopSettings) -> Result<ModelVersion> {
    let missing = || Error::user(format!("loop `{}` has no base model yet", it.name)).hint("run `loopwright train`");
    newest(ctx, &base_name(it)).await?.ok_or_else(missing)
}

pub(super) async fn newest(ctx: &Context, name: &str) -> Result<Option<ModelVersion>> {
    let query = ListQuery { id_prefix: Some(format!("{name}@")), limit: u32::MAX, ..Default::default() };
    let all: Vec<ModelVersion> = ctx.store.list(&query).await?;
    Ok(all.into_iter().filter(|version| version.model.name == name).max_by_key(|version| version.model.version))
}

/// The rows that a version learned from here.
pub fn dataset_of(version: &ModelVersion) -> Result<&DatasetRef> {
    version.dataset.as_ref().ok_or_else(|| {
        Error::user(format!("`{}` was imported: which rows it learned from is not known", version.model))
            .hint("fine-tune it with `loopwright train` and name the version that comes of it")
    })
}

/// The run that made a version here.
pub fn run_of(version: &ModelVersion) -> Result<&RunId> {
    let imported = || Error::user(format!("`{}` was imported: no run made it here", version.model));
    version.run.as_ref().ok_or_else(imported)
}

/// The base that a loop fine-tunes: the version that the project file names, or one from the project's own text.
pub async fn base(ctx: &Context, it: &LoopSettings, dataset: &DatasetRef) -> Result<ModelVersion> {
    if it.train.base.is_empty() {
        return pretrain(ctx, it, dataset).await;
    }
    let wrong = |problem: String| Error::user(format!("[train.{}] base: {problem}", it.name));
    let named = it.train.base.parse::<ModelRef>().map_err(|problem| wrong(problem.to_string()))?;
    let version: Option<ModelVersion> = ctx.store.get(&named.to_string()).await?;
    let version = version.ok_or_else(|| {
        wrong(format!("there is no model version `{named}`"))
            .hint("`loopwright models` lists them; `loopwright model import DIR` takes one over")
    })?;
    match version.kind {
        ModelKind::Base => Ok(version),
        ModelKind::Adapter => Err(wrong(format!("`{named}` is an adapter")).hint("name the base that it sits on")),
    }
}

/// A base from random weights, by next-token prediction on a dataset version's text and answers.
pub async fn pretrain(ctx: &Context, it: &LoopSettings, dataset: &DatasetRef) -> Result<ModelVersion> {
    let rows = Rows::read(ctx, dataset).await?;
    let (name, dataset, asked) = (base_name(it), dataset.clone(), Asked::default());
    let task = Task { kind: RunKind::Pretrain, name, dataset, base: None, parent: None, asked };
    let settings = pretrain_settings(ctx, &it.train);
    let params = params_of(&settings, Backend::Native)?;
    let work = prepare_pretraining(settings, it.train.clone(), rows);
    perform(ctx, task, params, ("pre-training", work)).await
}

/// A tokenizer and a shape for a new base, and examples of its rows.
pub(super) fn prepare_pretraining(
    settings: TrainSettings,
    train: Settings,
    rows: Rows,
) -> impl FnOnce(&Context, Timestamp) -> Result<Prepared> + Send + 'static {
    move |_: &Context, _: Timestamp| {
        let tokenizer = tokenizer(&rows.train, train.vocab_size)?;
        let mut config = ModelConfig::sized(tokenizer.vocab_size(), train.hidden_size, train.n_layers, train.n_heads);
        config.max_position_embeddings = train.context_tokens;
        let speaker = Speaker::own(tokenizer);
        // Message and answer in one row, every token counted: text alone teaches a small model too little to adapt later.
        let examples = |rows: &[Example]| -> Result<Vec<TrainExample>> {
            let made = speaker.examples(rows, settings.sequence_len)?;
            Ok(made.examples.into_iter().map(|example| TrainExample::whole(example.tokens)).collect())
        };
        Ok(Prepared {
            start: Start::Fresh(config),
            examples: Lessons::Rows(examples(&rows.train)?),
            validation: Lessons::Rows(examples(&rows.validation)?),
            speaker,
            beside: Beside::Tokenizer,
            questions: Questions::default(),
            settings,
            torch: None,
        })
    }
}

/// An adapter on a base, new or grown from an older one, that answers a message with its intent as JSON.
pub async fn finetune(
    ctx: &Context,
    it: &LoopSettings,
    dataset: &DatasetRef,
    base: &ModelRef,
    parent: Option<&ModelRef>,
) -> Result<ModelVersion> {
    let rows = Rows::read(ctx, dataset).await?;
    let task = finetuning(it, dataset, base, parent);
    let settings = finetune_settings(ctx, &it.train);
    let torch = it.train.with_torch().cloned();
    let params = params_of(&settings, it.train.backend)?;
    let work = prepare_finetuning(settings, rows, &task, torch)?;
    perform(ctx, task, params, ("fine-tuning", work)).await
}

/// A fine-tuning as a task.
pub(super) fn finetuning(it: &LoopSettings, dataset: &DatasetRef, base: &ModelRef, parent: Option<&ModelRef>) -> Task {
    Task {
        kind: match it.train.method {
            Method::Full => RunKind::Full,
            Method::Dpo => RunKind::Dpo,
            Method::Classify => RunKind::Classify,
            Method::Embed => RunKind::Embed,
            Method::Lora | Method::Pretrain => RunKind::Lora,
        },
        name: it.name.clone(),
        dataset: dataset.clone(),
        base: Some(base.clone()),
        parent: parent.cloned(),
        asked: Asked {
            prompts: it.train.sample_prompts.clone(),
            n_rows: it.train.n_samples,
            max_tokens: it.route.max_answer_tokens as usize,
        },
    }
}

/// What a run is about: the same task is the same run, begun or finished.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) kind: RunKind,
    pub(super) name: String,
    pub(super) dataset: DatasetRef,
    pub(super) base: Option<ModelRef>,
    pub(super) parent: Option<ModelRef>,
    pub(super) asked: Asked,
}

/// What training starts from.
pub(super) struct Prepared {
    pub(super) settings: TrainSettings,
    pub(super) start: Start,
    pub(super) examples: Lessons,
    pub(super) validation: Lessons,
    pub(super) speaker: Speaker,
    pub(super) beside: Beside,
    pub(super) questions: Questions,
    /// How PyTorch is started, if it takes the steps.
    pub(super) torch: Option<TorchSettings>,
}

/// What came of a training.
pub(super) struct Learned {
    pub(super) trained: Trained,
    beside: Beside,
    tokenizer: Tokenizer,
    /// What took the steps, where it was not this program.
    facts: torch::Facts,
}

pub(super) struct Rows {
    pub(super) train: Vec<Example>,
    pub(super) validation: Vec<Example>,
}

impl Rows {
    pub(super) async fn read(ctx: &Context, dataset: &DatasetRef) -> Result<Self> {
        let tables = ctx.store.tables();
        let train = tables.read_examples(dataset, Some(Split::Train)).await?;
        if train.is_empty() {
            return Err(Error::user(format!("`{dataset}` has no rows to train on")));
        }
        Ok(Self { train, validation: tables.read_examples(dataset, Some(Split::Validation)).await? })
    }
}

async fn perform(
    ctx: &Context,
    task: Task,
    params: BTreeMap<String, String>,
    (what, prepare): (&'static str, impl FnOnce(&Context, Timestamp) -> Result<Prepared> + Send + 'static),
) -> Result<ModelVersion> {
    let begun = same_run(ctx, &task, &params).await?;
    if let Some(model) = begun.as_ref().and_then(|run| run.model.as_ref()) {
        return Ok(ctx.store.require(&model.to_string()).await?);
    }
    let date = begun.as_ref().map_or_else(|| ctx.template_date(), |run| date_of(ctx, run));
    let prepared = {
        let ctx = ctx.clone();
        in_background(move || prepare(&ctx, date)).await?
    };
    let mut run = match begun {
        Some(run) => run,
        None => begin(ctx, &task, params, date).await?,
    };
    let checkpoints = ctx.store.objects().local_dir(&ObjectKey::CheckpointDir { run: run.id.clone() })?;
    let result = learn(ctx, &run.id, what, prepared, checkpoints, |_| ControlFlow::Continue(())).await;
    match result {
        Ok(learned) => publish(ctx, &task, run, learned).await,
        Err(error) => {
            run.state = RunState::Failed;
            run.error = Some(crate::work::chain(&error));
            run.ended_at = Some(ctx.store.now());
            ctx.store.apply(NewEvent::new(ctx.actor, "run.failed", run.entity_ref()), vec![Change::put(&run)]).await?;
            Err(error)
        }
    }
}

/// The finished or unfinished run of the very same task, if its model was not deleted.
async fn same_run(ctx: &Context, task: &Task, params: &BTreeMap<String, String>) -> Result<Option<Run>> {
    let runs: Vec<Run> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    let dataset: loopwright_types::DatasetVersion = ctx.store.require(&task.dataset.to_string()).await?;
    for run in runs {
        let same = run.kind == task.kind
            && run.dataset == task.dataset
            && run.base == task.base
            && run.parent == task.parent
            && run.params == *params
            && run.environment.get("dataset_digest").map(String::as_str) == Some(dataset.digest.as_str())
            && run.state != RunState::Failed;
        if !same {
            continue;
        }
        match &run.model {
            Some(model) => {
                let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
                if version.state != ModelState::Retired {
                    return Ok(Some(run));
                }
            }
            None => return Ok(Some(run)),
        }
    }
    Ok(None)
}

/// The day that the chat template of a run was given.
pub(super) fn date_of(ctx: &Context, run: &Run) -> Timestamp {
    let written = run.environment.get(TEMPLATE_DATE).and_then(|day| Timestamp::of_day(day));
    written.unwrap_or_else(|| ctx.template_date())
}

pub(super) async fn begin(
    ctx: &Context,
    task: &Task,
    params: BTreeMap<String, String>,
    date: Timestamp,
) -> Result<Run> {
    let dataset: loopwright_types::DatasetVersion = ctx.store.require(&task.dataset.to_string()).await?;
    let mut environment = environment();
    environment.insert("dataset_digest".into(), dataset.digest.to_string());
    environment.insert(TEMPLATE_DATE.into(), date.to_string().chars().take("2026-01-31".len()).collect());
    let run = Run {
        id: RunId::new(ctx.store.new_id("run")),
        kind: task.kind,
        state: RunState::Running,
        dataset: task.dataset.clone(),
        base: task.base.clone(),
        parent: task.parent.clone(),
        model: None,
        seed: ctx.project.project.seed,
        params,
        environment,
        metrics: BTreeMap::new(),
        started_at: ctx.store.now(),
        ended_at: None,
        error: None,
    };
    let about = run.entity_ref();
    let mut changes =
        vec![Change::put(&run), Change::Link(Edge::new((&task.dataset).into(), "learned_from", about.clone()))];
    let starts = task.base.iter().chain(&task.parent);
    changes.extend(starts.map(|model| Change::Link(Edge::new(model.into(), "started_from", about.clone()))));
    ctx.store.apply(NewEvent::new(ctx.actor, "run.started", about), changes).await?;
    Ok(run)
}

/// Trains on a thread of its own while metric points are written as they come.
pub(super) async fn learn(
    ctx: &Context,
    id: &RunId,
    what: &'static str,
    prepared: Prepared,
    checkpoints: PathBuf,
    mut observe: impl FnMut(&Progress) -> ControlFlow<()> + Send + 'static,
) -> Result<Learned> {
    let (sender, points) = mpsc::unbounded_channel();
    let (clock, report) = (ctx.store.clone(), ctx.clone());
    let training = in_background(move || {
        let Prepared { settings, start, examples, validation, speaker, beside, questions, torch } = prepared;
        let observer = |at: &Progress| {
            report.progress(what, at.step, at.n_steps, format!("loss {:.3}, {:.0} tokens/s", at.loss, at.tokens_per_s));
            let sample = |(prompt, answer): (&String, &Vec<u32>)| Sample {
                step: at.step,
                prompt: prompt.clone(),
                answer: speaker.tokenizer.decode(answer),
            };
            let samples = questions.shown.iter().zip(&at.samples).map(sample).collect();
            let told = Told { points: points_of(at, clock.now()), samples };
            // If nobody listens any more, the run was given up: its checkpoint lets it go on later.
            if sender.send(told).is_ok() { observe(at) } else { ControlFlow::Break(()) }
        };
        let lessons = (&examples, &validation);
        let (trained, facts) = match &torch {
            Some(torch) => {
                examples::train_with_torch(&report, (torch, &settings), start, lessons, &checkpoints, observer)?
            }
            None => {
                let samples = Samples { prompts: &questions.prompts, max_tokens: questions.max_tokens };
                let trained = examples::train(&settings, start, lessons, samples, Some(&checkpoints), observer)?;
                (trained, torch::Facts::new())
            }
        };
        Ok(Learned { trained, beside, tokenizer: speaker.tokenizer, facts })
    });
    let (trained, written) = tokio::join!(training, write_told(ctx, id, points));
    written?;
    trained
}

/// Moves the files into place, then records the version: a version that is recorded is whole.
async fn publish(
    ctx: &Context,
    task: &Task,
    mut run: Run,
    Learned { trained, beside, tokenizer, facts }: Learned,
) -> Result<ModelVersion> {
    let version = newest(ctx, &task.name).await?.map_or(1, |newest| newest.model.version + 1);
    let model = ModelRef::new(&*task.name, version);
    let dir = ctx.store.objects().local_dir(&ObjectKey::ModelDir { model: model.clone() })?;
    let loss = trained.last.map(|last| (f64::from(last.loss), last.tokens_per_s));
    let validation_loss = trained.validation_loss;
    let validated: Vec<(String, f64)> =
        trained.validation_metrics.iter().map(|(name, value)| (format!("{EVAL}{name}"), *value)).collect();
    let n_parameters = trained.model.adapter().map_or_else(|| trained.model.n_parameters(), Adapter::n_parameters);
    let digest = in_background(move || save(&trained.model, &beside, &tokenizer, &dir)).await?;
    let created_at = ctx.store.now();
    let made = ModelVersion {
        model: model.clone(),
        kind: if matches!(task.kind, RunKind::Lora | RunKind::Dpo) { ModelKind::Adapter } else { ModelKind::Base },
        base: task.base.clone().filter(|_| !task.kind.makes_whole_model()),
        parent: task.parent.clone().or_else(|| task.base.clone().filter(|_| task.kind.makes_whole_model())),
        run: Some(run.id.clone()),
        dataset: Some(task.dataset.clone()),
        imported: None,
        digest,
        n_parameters,
        state: ModelState::Candidate,
        state_reason: None,
        created_at,
    };
    run.environment.extend(facts);
    run.state = RunState::Finished;
    run.model = Some(model.clone());
    run.ended_at = Some(created_at);
    if let Some((loss, tokens_per_s)) = loss {
        run.metrics.insert(TRAIN_LOSS.into(), loss);
        run.metrics.insert(TOKENS_PER_S.into(), tokens_per_s);
    }
    run.metrics.extend(validated);
    run.metrics.extend(validation_loss.map(|loss| (VALIDATION_LOSS.to_string(), f64::from(loss))));
    let about = made.entity_ref();
    let changes =
        vec![Change::put(&made), Change::put(&run), Change::Link(Edge::new(run.entity_ref(), "made", about.clone()))];
    let event = NewEvent::new(ctx.actor, "model_version.created", about);
    let body = serde_json::json!({"digest": made.digest, "run": run.id, "dataset": made.dataset});
    ctx.store.apply(event.with_body(body), changes).await?;
    // The version is safe: its checkpoints have served.
    ctx.store.objects().delete_prefix(&ObjectKey::CheckpointDir { run: run.id.clone() }).await?;
    Ok(made)
}

/// The vocabulary comes from the texts and from the answers as they are written.
fn tokenizer(rows: &[Example], vocab_size: usize) -> Result<Tokenizer> {
    let answers: Vec<String> = rows.iter().map(|row| predict::answer_text(&row.label)).collect();
    let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).chain(answers.iter().map(String::as_str)).collect();
    Tokenizer::train_bpe(&texts, vocab_size, &chat::SPECIAL_TOKENS).doing(|| "failed to train the tokenizer".into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run that began.
    pub(in crate::jobs) fn run() -> Run {
        Run {
            id: RunId::new("run_1"),
            kind: RunKind::Lora,
            state: RunState::Running,
            dataset: DatasetRef::new("a", 1),
            base: None,
            parent: None,
            model: None,
            seed: 1,
            params: BTreeMap::new(),
            environment: BTreeMap::new(),
            metrics: BTreeMap::new(),
            started_at: Timestamp(0),
            ended_at: None,
            error: None,
        }
    }
}
