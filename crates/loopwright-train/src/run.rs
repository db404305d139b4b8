//! The training loop.

use crate::{
    checkpoint::{self, State},
    crew::Crew,
    data::TrainExample,
    error::{Error, Kind, Result},
    health::Health,
    objective::{Measured, Objective, Validated, validate},
    plan::TrainSettings,
    preference::Preference,
    recipe::{self, Course},
    samples::Samples,
    step::{Pace, step},
};
use loopwright_lm::{AdamW, Adapter, Model, ModelConfig, Precision};
use std::{ops::ControlFlow, path::Path, time::Duration};

/// The weights that a run begins with.
// One for each run, so its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Start {
    /// A base with weights drawn from the run's seed.
    Fresh(ModelConfig),
    /// A copy of a base, all of which learns.
    Whole(Model),
    /// A new adapter on a base.
    NewAdapter(Model),
    /// A copy of an older adapter on its base; both stay as they are. Its own size and place count, not the settings'.
    Continued(Model, Adapter),
}

impl Start {
    /// What answers before the first step; none for fresh weights.
    pub(crate) fn model(&self) -> Option<Model> {
        match self {
            Self::Fresh(_) => None,
            Self::Whole(base) => Some(base.clone()),
            Self::NewAdapter(base) => Some(base.without_adapter()),
            Self::Continued(base, adapter) => Some(base.with_adapter(adapter)),
        }
    }
}

/// Everything a run needs. The examples are rows of tokens, pairs of answers for [`crate::Method::Dpo`], texts with a class or
/// pairs of texts.
pub struct Job<'a, E = TrainExample> {
    /// What to do.
    pub settings: &'a TrainSettings,
    /// Where to begin.
    pub start: Start,
    /// What to learn.
    pub examples: &'a [E],
    /// What to measure the loss on; may be empty.
    pub validation: &'a [E],
    /// Folder for checkpoints of this run alone. A run that finds one there goes on from it.
    pub checkpoints: Option<&'a Path>,
    /// What the model is asked at each validation.
    pub samples: Samples<'a>,
    /// Time since any fixed moment, for the rates shown. Results do not depend on it.
    pub clock: &'a dyn Fn() -> Duration,
}

/// Where a run stands after a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Steps taken.
    pub step: u64,
    /// Steps planned.
    pub n_steps: u64,
    /// Mean loss of the step's batch before the step, in nats for each predicted token, or for each pair.
    pub loss: f32,
    /// How the step's pairs stood before the step; none where there are no pairs.
    pub preference: Option<Preference>,
    /// Learning rate of the step.
    pub lr: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens read for each second since this process began or resumed the run, padding left out.
    pub tokens_per_s: f64,
    /// Mean loss on the validation examples, when this step measured it.
    pub validation_loss: Option<f32>,
    /// What else was measured then, by the name that the field has for it: `rewards/accuracies` and the like of preferences,
    /// `accuracy` and `f1_macro` of classes, `recall@1` and `mrr` of embeddings.
    pub validation_metrics: Vec<(&'static str, f64)>,
    /// The tokens of the answers to the job's prompts, when this step validated.
    pub samples: Vec<Vec<u32>>,
}

/// What a run made.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The base, under its new adapter where one was trained.
    pub model: Model,
    /// Steps taken in all.
    pub step: u64,
    /// The step whose weights these are: the last, or the best where the run was stopped early.
    pub best_step: u64,
    /// False where the observer stopped the run; the same job goes on from its checkpoint.
    pub finished: bool,
    /// Tokens read in all, padding left out.
    pub n_tokens: u64,
    /// Progress of the last step; none where the run was already complete.
    pub last: Option<Progress>,
    /// Mean loss on the validation examples at the end; none without them, or where the run was stopped.
    pub validation_loss: Option<f32>,
    /// What else was measured on them, as in [`Progress`].
    pub validation_metrics: Vec<(&'static str, f64)>,
}

/// Runs a job to its end, or until the observer breaks. Goes on from the last checkpoint in the job's folder; the final
/// weights are the same to the bit however often the run was stopped.
pub fn run<E: Objective>(job: &Job<E>, mut observer: impl FnMut(&Progress) -> ControlFlow<()>) -> Result<Trained> {
    let settings = job.settings;
    recipe::check(job)?;
    let plan = identity(job)?;
    let (state, model, mut optimizer) = begin(job, &plan)?;
    let references = E::references(&job.start, job.examples, settings.batch_size)?;
    let examples = Measured { examples: job.examples, references: &references };
    let references = E::references(&job.start, job.validation, settings.batch_size)?;
    let validation = Measured { examples: job.validation, references: &references };
    let lengths: Vec<usize> = job.examples.iter().map(Objective::n_tokens).collect();
    let mut course = Course::new(settings, &lengths);
    let n_steps = course.n_steps;
    let mut health = state.health.clone();
    let mut best = None;
    let (started, resumed_tokens) = ((job.clock)(), state.n_tokens);
    let precision = if settings.bf16 { Precision::Bf16 } else { Precision::F32 };
    let mut trained = Trained {
        model: model.with_precision(precision),
        step: state.step,
        best_step: state.step,
        finished: true,
        n_tokens: state.n_tokens,
        last: None,
        validation_loss: None,
        validation_metrics: Vec::new(),
    };
    let crew = Crew::new(E::PARTS)?;
    while trained.step < n_steps && !health.is_over(settings) {
        let at = trained.step;
        let lr = course.lr(at);
        let passes = course.passes(at);
        let pace = Pace { settings, crew: &crew, lr, dropout_seed: dropout_seed(settings.seed, at) };
        let measured = step(&trained.model, &mut optimizer, (examples, passes), &pace)?;
        trained.step += 1;
        if E::IS_STEADY {
            health.see(trained.step, measured.loss)?;
        }
        trained.n_tokens += passes.iter().flatten().map(|i| lengths[*i] as u64).sum::<u64>();
        let due = |every: u64| every > 0 && trained.step.is_multiple_of(every);
        let is_validation = due(settings.validate_every_steps) || trained.step == n_steps;
        let (validated, samples) = match is_validation {
            true => (validate(&trained.model, validation, settings)?, job.samples.answers(&trained.model)?),
            false => (None, Vec::new()),
        };
        let (validation_loss, validation_metrics) = apart(validated);
        if let Some(loss) = validation_loss
            && health.validate(trained.step, loss, settings)
            && settings.early_stopping_patience > 0
        {
            match job.checkpoints {
                Some(dir) => checkpoint::write_best(dir, &trained.model)?,
                None => best = Some(copy(&trained.model)?),
            }
        }
        let is_over = trained.step == n_steps || health.is_over(settings);
        let seconds = (job.clock)().saturating_sub(started).as_secs_f64().max(1e-9);
        let progress = Progress {
            step: trained.step,
            n_steps,
            loss: measured.loss,
            preference: measured.preference,
            lr,
            gradient_norm: measured.gradient_norm,
            tokens_per_s: (trained.n_tokens - resumed_tokens) as f64 / seconds,
            validation_loss,
            validation_metrics: validation_metrics.clone(),
            samples,
        };
        trained.last = Some(progress.clone());
        (trained.validation_loss, trained.validation_metrics) = (validation_loss, validation_metrics);
        let stop = observer(&progress).is_break() && !is_over;
        if let Some(dir) = job.checkpoints
            && (stop || due(settings.checkpoint_every_steps) || is_over)
        {
            let state = State::new(trained.step, trained.n_tokens, &plan, health.clone());
            checkpoint::write(dir, &state, &trained.model, &optimizer)?;
        }
        if stop {
            trained.finished = false;
            trained.model = trained.model.with_precision(Precision::F32);
            return Ok(trained);
        }
    }
    if trained.last.is_none() {
        let validated = validate(&trained.model, validation, settings)?;
        (trained.validation_loss, trained.validation_metrics) = apart(validated);
    }
    let mut trained = chosen(job, trained, &health, best)?;
    if trained.best_step != trained.step && !trained.validation_metrics.is_empty() {
        // Those of the last step are not those of the weights that are kept.
        trained.validation_metrics = apart(validate(&trained.model, validation, settings)?).1;
    }
    Ok(trained)
}

/// The weights that a run ends with: its last, or those of its best validation, kept in memory or beside its checkpoints.
pub(crate) fn chosen<E>(job: &Job<E>, mut trained: Trained, health: &Health, best: Option<Model>) -> Result<Trained> {
    trained.best_step = trained.step;
    if let Some((step, loss)) = health.best.filter(|_| job.settings.early_stopping_patience > 0) {
        trained.model = match (job.checkpoints, best) {
            (_, Some(model)) => model,
            (Some(dir), None) => checkpoint::read_best(dir, base_of(job).as_ref())?,
            (None, None) => trained.model,
        };
        (trained.best_step, trained.validation_loss) = (step, Some(loss));
    }
    trained.model = trained.model.with_precision(Precision::F32);
    Ok(trained)
}

fn apart(validated: Option<Validated>) -> (Option<f32>, Vec<(&'static str, f64)>) {
    validated.map_or((None, Vec::new()), |it| (Some(it.loss), it.metrics))
}

/// The base under an adapter that is trained; none where the whole model learns.
pub(crate) fn base_of<E>(job: &Job<E>) -> Option<Model> {
    match &job.start {
        Start::Fresh(_) | Start::Whole(_) => None,
        Start::NewAdapter(base) | Start::Continued(base, _) => Some(base.without_adapter()),
    }
}

/// The model with weights of its own, as far as they learn.
fn copy(model: &Model) -> Result<Model> {
    let failed = |source| Error::model("failed to keep the best weights", source);
    match model.adapter() {
        Some(adapter) => Ok(model.without_adapter().with_adapter(&adapter.copy().map_err(failed)?)),
        None => model.copy().map_err(failed),
    }
}

/// The weights and the optimiser at the last checkpoint, or at the start.
fn begin<E>(job: &Job<E>, plan: &str) -> Result<(State, Model, AdamW)> {
    if let Some(dir) = job.checkpoints
        && let Some((state, path)) = checkpoint::latest(dir, plan)?
    {
        let (model, optimizer) = checkpoint::load(&path, base_of(job).as_ref(), job.settings.clone())?;
        return Ok((state, model, optimizer));
    }
    let model = start(job)?;
    let optimizer = AdamW::new(model.trainable_parameters(), job.settings.optimizer());
    Ok((State::new(0, 0, plan, Health::default()), model, optimizer))
}

/// The weights before the first step, apart from those that the job was given.
pub(crate) fn start<E>(job: &Job<E>) -> Result<Model> {
    let failed = |source| Error::model("failed to make the weights to start from", source);
    let seed = job.settings.seed;
    Ok(match (&job.start, base_of(job)) {
        (Start::Fresh(config), _) => Model::init(config, seed).map_err(failed)?,
        (Start::Whole(base), _) => base.copy().map_err(failed)?,
        (Start::NewAdapter(_), Some(base)) => {
            base.with_adapter(&Adapter::init(&base, &job.settings.lora, seed).map_err(failed)?)
        }
        (Start::Continued(_, adapter), Some(base)) => base.with_adapter(&adapter.copy().map_err(failed)?),
        (_, None) => return Err(Error::new(Kind::BadSettings, "an adapter needs a base")),
    })
}

/// A digest of everything that decides the result: settings, examples, starting weights.
pub(crate) fn identity<E: Objective>(job: &Job<E>) -> Result<String> {
    let Some(expected) = E::method(&job.start) else {
        let message = "these examples cannot be learned from such a start: pairs of answers need weights that answer, and \
                       classes a head of them; both and embeddings need weights to begin with";
        return Err(Error::new(Kind::BadSettings, message));
    };
    if job.settings.method != expected {
        let message =
            format!("`method` is {:?}, but start and examples are those of {expected:?}", job.settings.method);
        return Err(Error::new(Kind::BadSettings, message));
    }
    let base_bits = base_of(job).is_some_and(|base| base.is_packed());
    if base_bits != job.settings.bits().is_some() {
        let message = "a base is held in few bits where `load_in_4bit` or `load_in_8bit` is set, and nowhere else";
        return Err(Error::new(Kind::BadSettings, message));
    }
    let mut hash = Fnv::default();
    let json = |value: serde_json::Result<Vec<u8>>| {
        value.map_err(|source| Error::caused(Kind::BadSettings, "failed to write the settings as JSON", source))
    };
    // How often a run is saved or measured does not change what it makes.
    let mut settings = TrainSettings { checkpoint_every_steps: 0, ..job.settings.clone() };
    if settings.early_stopping_patience == 0 {
        settings.validate_every_steps = 0;
    }
    hash.bytes(&json(serde_json::to_vec(&settings))?);
    for row in job.examples.iter().flat_map(Objective::rows) {
        row.tokens.iter().for_each(|token| hash.number(*token));
        row.loss_mask.iter().for_each(|counts| hash.number(u32::from(*counts)));
        row.starts.iter().for_each(|start| hash.number(*start as u32));
    }
    job.examples.iter().filter_map(Objective::mark).for_each(|mark| hash.number(mark));
    let weights = match &job.start {
        Start::Fresh(config) => {
            hash.bytes(&json(serde_json::to_vec(config))?);
            Vec::new()
        }
        Start::Whole(base) | Start::NewAdapter(base) => base.named_parameters(),
        Start::Continued(base, adapter) => [base.named_parameters(), adapter.named_parameters()].concat(),
    };
    for (name, var) in weights {
        hash.bytes(name.as_bytes());
        let numbers = var.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        let numbers = numbers.map_err(|source| Error::model("failed to read the starting weights", source.into()))?;
        numbers.iter().for_each(|x| hash.number(x.to_bits()));
    }
    for (name, digest) in base_of(job).iter().flat_map(Model::packed_digests) {
        hash.bytes(name.as_bytes());
        hash.bytes(&digest);
    }
    Ok(format!("{:016x}", hash.0))
}

/// FNV-1a over 32-bit words (Fowler, Noll & Vo): it tells plans apart, it does not guard against forgery.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn number(&mut self, x: u32) {
        self.0 = (self.0 ^ u64::from(x)).wrapping_mul(0x0100_0000_01b3);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.number(u32::from(*byte)));
    }
}

/// A seed for each step's dropout.
fn dropout_seed(seed: u64, step: u64) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step)
}
