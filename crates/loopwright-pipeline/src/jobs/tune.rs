//! Tune: a search over the settings of a fine-tuning, trial by trial.
//!
//! A [`StudyRecord`] holds the study of `loopwright-search` with everything that decides its next point, so that a killed
//! search goes on as a whole one: a trial that was under way goes on from its run's checkpoint. Each trial is a run of its
//! own, with its curve; its weights are not kept. A study without a loop is asked and told from outside (`server`'s
//! `/api/studies`): its trials run wherever they like.

use super::{
    train,
    trial::{self, TrialEnd},
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::{LoopSettings, TrainSettings, TuneSettings},
};
use futures::{StreamExt, stream::FuturesUnordered};
use loopwright_search::{Direction, Params, Settings, Study, Trial};
use loopwright_store::{Change, Store};
use loopwright_types::{
    DatasetRef, Entity, ModelRef, Timestamp,
    event::NewEvent,
    id::RunId,
    run::{Run, RunState},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;

/// What a search makes small or great.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The mean loss on the validation rows, in nats for each predicted token.
    #[default]
    ValidationLoss,
    /// The share of validation rows that are answered rightly.
    ValidationAccuracy,
}

impl Metric {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationLoss => train::VALIDATION_LOSS,
            Self::ValidationAccuracy => "validation_accuracy",
        }
    }

    /// Which values are good.
    pub fn direction(self) -> Direction {
        match self {
            Self::ValidationLoss => Direction::Minimise,
            Self::ValidationAccuracy => Direction::Maximise,
        }
    }
}

/// A study and what its trials are about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// Its name.
    pub name: String,
    /// What is searched for in a loop; none if trials run elsewhere.
    #[serde(default)]
    pub subject: Option<StudySubject>,
    /// The trials, and everything that decides the next one.
    pub study: Study,
    /// Runs of trials, by the trial's number.
    #[serde(default)]
    pub runs: BTreeMap<u64, RunId>,
    /// When it began.
    pub created_at: Timestamp,
}

/// What the trials of a loop's study fine-tune, and what they are judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudySubject {
    /// The loop.
    pub loop_name: String,
    /// The rows.
    pub dataset: DatasetRef,
    /// The base.
    pub base: ModelRef,
    /// What is measured.
    pub metric: Metric,
    /// Settings that the space leaves alone.
    pub train: TrainSettings,
}

impl Entity for StudyRecord {
    const KIND: &'static str = "study";

    fn id(&self) -> String {
        self.name.clone()
    }

    fn state(&self) -> &str {
        if self.study.trials().iter().any(Trial::is_running) { "running" } else { "idle" }
    }
}

/// The settings of a fine-tuning with a trial's parameters in their places.
pub fn with_params(train: &TrainSettings, params: &Params) -> Result<TrainSettings> {
    let table = toml::Table::try_from(train).map_err(|error| Error::bug("settings are no table").because(error))?;
    let mut full = table.clone();
    for (name, value) in params {
        let Some(default) = table.get(name) else {
            let known: Vec<&str> = table.keys().map(String::as_str).collect();
            return Err(Error::user(format!("[tune.*] space: `{name}` is no key of `[train.*]`"))
                .hint(format!("known: {}", known.join(", "))));
        };
        full.insert(name.clone(), as_toml(default, value));
    }
    TrainSettings::deserialize(toml::Value::Table(full)).doing(|| {
        let shown = serde_json::to_string(params).unwrap_or_default();
        format!("[tune.*] space: {shown} are no settings of `[train.*]`")
    })
}

/// A value of the space in the type of the key that it stands for.
fn as_toml(default: &toml::Value, value: &serde_json::Value) -> toml::Value {
    match (default, value) {
        (toml::Value::Float(_), serde_json::Value::Number(n)) => toml::Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        (_, serde_json::Value::Number(n)) => match n.as_i64() {
            Some(whole) => toml::Value::Integer(whole),
            None => toml::Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        (_, serde_json::Value::Bool(flag)) => toml::Value::Boolean(*flag),
        (toml::Value::Array(_), serde_json::Value::String(text)) => {
            toml::Value::Array(text.split(',').map(|word| toml::Value::from(word.trim())).collect())
        }
        (_, other) => toml::Value::from(other.as_str().map_or_else(|| other.to_string(), str::to_string)),
    }
}

/// Runs trials until the study has as many as the project file asks for, and returns it. A study of the same name,
/// subject and space goes on; one of another refuses.
pub async fn tune(ctx: &Context, it: &LoopSettings, dataset: &DatasetRef) -> Result<StudyRecord> {
    let base = train::base(ctx, it, dataset).await?;
    let record = begin(ctx, it, dataset, &base.model).await?;
    let shared = Arc::new(Shared { ctx: ctx.clone(), it: it.clone(), record: Mutex::new(record) });
    let mut running = FuturesUnordered::new();
    let mut waiting = shared.left_running().await;
    waiting.reverse();
    loop {
        while running.len() < it.tune.parallel {
            let trial = match waiting.pop() {
                Some(trial) => trial,
                None => match shared.next().await? {
                    Some(trial) => trial,
                    None => break,
                },
            };
            running.push(shared.clone().run(trial));
        }
        match running.next().await {
            Some(ended) => ended?,
            None => break,
        }
    }
    drop(running);
    let record = shared.record.lock().await.clone();
    Ok(record)
}

/// The study that there is, or a new one.
async fn begin(ctx: &Context, it: &LoopSettings, dataset: &DatasetRef, base: &ModelRef) -> Result<StudyRecord> {
    let settings = settings(ctx, it)?;
    let subject = StudySubject {
        loop_name: it.name.clone(),
        dataset: dataset.clone(),
        base: base.clone(),
        metric: it.tune.metric,
        train: it.train.clone(),
    };
    let name = if it.tune.study.is_empty() { it.name.clone() } else { it.tune.study.clone() };
    if let Some(record) = ctx.store.get::<StudyRecord>(&name).await? {
        if record.subject.as_ref() == Some(&subject) && *record.study.settings() == settings {
            return Ok(record);
        }
        return Err(Error::user(format!(
            "the study `{name}` is about something else: other rows, base, settings or space"
        ))
        .hint("name another one with `study` of `[tune.*]`, or put the settings back to go on with it"));
    }
    // A space that no fine-tuning can use is refused before anything is written.
    let mut probe = Study::new(settings.clone()).doing(|| format!("[tune.{}]", it.name))?;
    let first = probe.ask().doing(|| format!("[tune.{}]", it.name))?;
    with_params(&it.train, &first.params)?;
    let study = Study::new(settings).doing(|| format!("[tune.{}]", it.name))?;
    let record =
        StudyRecord { name, subject: Some(subject), study, runs: BTreeMap::new(), created_at: ctx.store.now() };
    put(&ctx.store, ctx.actor, "study.created", &record).await?;
    Ok(record)
}

fn settings(ctx: &Context, it: &LoopSettings) -> Result<Settings> {
    let TuneSettings { space, sampler, pruner, metric, .. } = &it.tune;
    if space.is_empty() {
        return Err(Error::user(format!("[tune.{}] space names no parameter", it.name)).hint(
            "e.g. `space = {lr = {type = \"float\", low = 1e-4, high = 1e-2, log = true}, lora_r = {type = \"int\", low = 4, high = 64, log = true}}`",
        ));
    }
    Ok(Settings {
        space: space.clone().try_into().doing(|| format!("[tune.{}] space", it.name))?,
        direction: metric.direction(),
        sampler: sampler.clone(),
        pruner: pruner.clone(),
        seed: ctx.seed_for("tune"),
    })
}

/// Writes a study down with an event.
pub async fn put(store: &Store, actor: &'static str, what: &str, record: &StudyRecord) -> Result<()> {
    let event = NewEvent::new(actor, what, record.entity_ref());
    let body = serde_json::json!({"n_trials": record.study.trials().len()});
    store.apply(event.with_body(body), vec![Change::put(record)]).await?;
    Ok(())
}

/// A search under way.
struct Shared {
    ctx: Context,
    it: LoopSettings,
    record: Mutex<StudyRecord>,
}

impl Shared {
    /// Trials that a killed search left under way.
    async fn left_running(&self) -> Vec<Trial> {
        let record = self.record.lock().await;
        record.study.trials().iter().filter(|trial| trial.is_running()).cloned().collect()
    }

    /// The next trial, if there is to be one more.
    async fn next(&self) -> Result<Option<Trial>> {
        let mut record = self.record.lock().await;
        if record.study.trials().len() >= self.it.tune.trials {
            return Ok(None);
        }
        let trial = record.study.ask().doing(|| "failed to choose the next trial".into())?;
        put(&self.ctx.store, self.ctx.actor, "trial.started", &record).await?;
        Ok(Some(trial))
    }

    /// Runs a trial and tells what came of it.
    async fn run(self: Arc<Self>, trial: Trial) -> Result<()> {
        let mut it = self.it.clone();
        it.train = with_params(&self.it.train, &trial.params)?;
        let (dataset, base, metric) = {
            let record = self.record.lock().await;
            let subject = record.subject.as_ref().ok_or_else(|| Error::bug("a study of a loop has a subject"))?;
            (subject.dataset.clone(), subject.base.clone(), subject.metric)
        };
        let run = self.run_of(&trial, &it, &dataset, &base).await?;
        let shown: Vec<String> = trial.params.iter().map(|(name, value)| format!("{name} {value}")).collect();
        self.ctx.say(format!("trial {}: {}", trial.number, shown.join(", ")));
        let (shared, number) = (self.clone(), trial.number);
        let judge = move |step: u64, value: f64| shared.report(number, step, value);
        let end = trial::trial(&self.ctx, &it, &run, metric, judge).await;
        self.end(trial.number, run, end).await
    }

    /// The run of a trial: the one that it had, or a new one.
    async fn run_of(&self, trial: &Trial, it: &LoopSettings, dataset: &DatasetRef, base: &ModelRef) -> Result<Run> {
        let mut record = self.record.lock().await;
        if let Some(id) = record.runs.get(&trial.number) {
            return Ok(self.ctx.store.require(id.as_str()).await?);
        }
        let run = trial::begin_trial(&self.ctx, it, dataset, base).await?;
        record.runs.insert(trial.number, run.id.clone());
        put(&self.ctx.store, self.ctx.actor, "trial.run", &record).await?;
        Ok(run)
    }

    /// Takes in a value on the way; says whether the trial should be given up. A value that a resumed trial reports for the
    /// second time says nothing new.
    fn report(&self, number: u64, step: u64, value: f64) -> bool {
        // Called from the training's thread, where waiting for the lock is fine.
        let mut record = self.record.blocking_lock();
        record.study.report(number, step, value).unwrap_or(false)
    }

    async fn end(&self, number: u64, mut run: Run, end: Result<TrialEnd>) -> Result<()> {
        let mut record = self.record.lock().await;
        let told = match &end {
            Ok(TrialEnd::Value(value)) => record.study.tell(number, *value).map(drop),
            Ok(TrialEnd::GivenUp) => record.study.prune(number).map(drop),
            // The point's own fault: the sampler keeps away from it.
            Err(error) if trial::is_bad_point(error) => record.study.tell(number, f64::NAN).map(drop),
            Err(error) => record.study.fail(number, &crate::work::chain(error)).map(drop),
        };
        told.doing(|| format!("failed to end trial {number}"))?;
        (run.state, run.ended_at) = (RunState::Finished, Some(self.ctx.store.now()));
        if let Ok(TrialEnd::Value(value)) = &end {
            let metric = record.subject.as_ref().map_or(Metric::ValidationLoss, |subject| subject.metric);
            run.metrics.insert(metric.as_str().to_string(), *value);
        }
        if let Err(error) = &end {
            (run.state, run.error) = (RunState::Failed, Some(crate::work::chain(error)));
        }
        let event = NewEvent::new(self.ctx.actor, "trial.ended", record.entity_ref());
        let body = serde_json::json!({"trial": number, "run": run.id});
        let changes = vec![Change::put(&*record), Change::put(&run)];
        self.ctx.store.apply(event.with_body(body), changes).await?;
        let best = record.study.best().and_then(|best| Some((best.number, best.value()?)));
        let done = record.study.trials().iter().filter(|trial| !trial.is_running()).count() as u64;
        let note = best.map_or(String::new(), |(number, value)| format!("best {value:.4} (trial {number})"));
        self.ctx.progress("trials", done, self.it.tune.trials as u64, note);
        Ok(())
    }
}
