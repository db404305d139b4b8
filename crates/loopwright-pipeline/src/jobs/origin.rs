//! What a fine-tuning starts from: examples of its rows first, and its weights once it is known that they fit.

use super::{
    examples::{Lessons, Speaker},
    model_files::Beside,
    train::{Prepared, Rows, Task},
    train_plan,
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::TorchSettings,
};
use loopwright_lm::{Adapter, ChatFormat, Checkpoint, CheckpointOutline, LoraConfig, Model, Outline};
use loopwright_store::ObjectKey;
use loopwright_train::{Method, Start, TrainSettings};
use loopwright_types::{Example, ModelRef, Timestamp};
use std::{collections::BTreeSet, path::PathBuf};

/// Makes examples of a fine-tuning's rows, refuses it if it cannot fit, and only then loads the weights that it starts from.
pub(super) fn prepare_finetuning(
    settings: TrainSettings,
    rows: Rows,
    task: &Task,
    torch: Option<TorchSettings>,
) -> Result<impl FnOnce(&Context, Timestamp) -> Result<Prepared> + Send + 'static> {
    let origin = Origin::of(task)?;
    Ok(move |ctx: &Context, date: Timestamp| {
        let read = origin.read(ctx, &settings, &rows, date)?;
        // What PyTorch takes, and of which memory, is not for us to reckon.
        if torch.is_none() {
            train_plan::refuse_if_too_large(&train_plan::reckon(&settings, &read)?)?;
        }
        Ok(Prepared { torch, ..origin.load(ctx, settings, read)? })
    })
}

/// The weights that a fine-tuning starts from.
pub(super) struct Origin {
    base: ModelRef,
    parent: Option<ModelRef>,
    asked: Asked,
}

/// What a model is asked at each validation, for people to read.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Prompts as written.
    pub(super) prompts: Vec<String>,
    /// Besides, so many of the validation rows, the first ones.
    pub(super) n_rows: usize,
    /// Most tokens of an answer.
    pub(super) max_tokens: usize,
}

/// Sample prompts, as people read them and as tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Questions {
    pub(super) shown: Vec<String>,
    pub(super) prompts: Vec<Vec<u32>>,
    pub(super) max_tokens: usize,
}

/// All that a fine-tuning knows before any weight is read.
pub(super) struct Read {
    /// The base's shape.
    pub(super) outline: Outline,
    /// The size and place of the adapter that is gone on with, if there is one.
    pub(super) parent: Option<LoraConfig>,
    pub(super) examples: Lessons,
    /// Names of the classes, where classes are learned.
    classes: Vec<String>,
    validation: Lessons,
    questions: Questions,
    speaker: Speaker,
}

impl Asked {
    /// The prompts and rows as questions; those that the model cannot take are left out.
    fn questions(&self, speaker: &Speaker, rows: &[Example], positions: usize) -> Questions {
        let written = self.prompts.iter().filter_map(|prompt| speaker.asked(prompt));
        let fits = |(_, tokens): &(String, Vec<u32>)| tokens.len() < positions;
        let of_rows = rows.iter().filter_map(|row| speaker.question(row)).filter(fits).take(self.n_rows);
        let (shown, prompts) = written.filter(fits).chain(of_rows).unzip();
        Questions { shown, prompts, max_tokens: self.max_tokens }
    }
}

impl Origin {
    pub(super) fn of(task: &Task) -> Result<Self> {
        let base = task.base.clone().ok_or_else(|| Error::bug("a fine-tuning has a base"))?;
        Ok(Self { base, parent: task.parent.clone(), asked: task.asked.clone() })
    }

    fn dir(ctx: &Context, model: &ModelRef) -> Result<PathBuf> {
        Ok(ctx.store.objects().local_dir(&ObjectKey::ModelDir { model: model.clone() })?)
    }

    /// Makes examples of the rows; chat templates that ask are given the date.
    pub(super) fn read(&self, ctx: &Context, settings: &TrainSettings, rows: &Rows, date: Timestamp) -> Result<Read> {
        let base = &self.base;
        let doing = || format!("failed to load `{base}` to fine-tune it");
        let checkpoint = CheckpointOutline::read(&Self::dir(ctx, base)?).doing(doing)?;
        let mut speaker = Speaker::of(&checkpoint).doing(doing)?;
        let mut outline = checkpoint.model;
        let classes = match settings.method {
            Method::Classify => classes_of(&rows.train)?,
            _ => Vec::new(),
        };
        if !classes.is_empty() {
            outline = outline.with_classes(&classes).doing(doing)?;
            speaker.format = ChatFormat::Bare;
        }
        speaker.format = speaker.format.with_date(move || date);
        if settings.sequence_len > outline.config().max_position_embeddings {
            return Err(Error::user(format!(
                "`context_tokens` is {}, but `{base}` knows {} positions",
                settings.sequence_len,
                outline.config().max_position_embeddings
            )));
        }
        let parent = match (&self.parent, settings.method) {
            (None, _) | (_, Method::Full | Method::Classify | Method::Embed) => None,
            (Some(parent), _) => {
                let config = LoraConfig::load(&Self::dir(ctx, parent)?, outline.config());
                Some(config.doing(|| format!("failed to load the adapter `{parent}`"))?)
            }
        };
        let lessons = |rows: &[Example]| lessons(ctx, (&speaker, &classes), settings, rows);
        let (examples, validation) = (lessons(&rows.train)?, lessons(&rows.validation)?);
        let questions = match outline.config().task {
            loopwright_lm::Task::Language if settings.method != Method::Embed => {
                self.asked.questions(&speaker, &rows.validation, outline.config().max_position_embeddings)
            }
            _ => Questions::default(),
        };
        Ok(Read { outline, parent, examples, classes, validation, questions, speaker })
    }

    /// Loads the weights.
    pub(super) fn load(&self, ctx: &Context, settings: TrainSettings, read: Read) -> Result<Prepared> {
        let base = &self.base;
        let base_dir = Self::dir(ctx, base)?;
        let model = || -> Result<Model> {
            let checkpoint = Checkpoint::read_packed(&base_dir, settings.bits());
            Ok(checkpoint.doing(|| format!("failed to load `{base}` to fine-tune it"))?.model)
        };
        let whole = || match &self.parent {
            None => model(),
            Some(parent) => Model::load(&Self::dir(ctx, parent)?).doing(|| format!("failed to load `{parent}`")),
        };
        let start = match (&self.parent, settings.method) {
            (_, Method::Full | Method::Embed) => Start::Whole(whole()?),
            (_, Method::Classify) => {
                let model = whole()?.with_classes(&read.classes, settings.seed);
                Start::Whole(model.doing(|| "failed to make a head of classes".into())?)
            }
            (None, _) => Start::NewAdapter(model()?),
            (Some(parent), _) => {
                let model = model()?;
                let adapter = Adapter::load(&Self::dir(ctx, parent)?, &model)
                    .doing(|| format!("failed to load the adapter `{parent}`"))?;
                Start::Continued(model, adapter)
            }
        };
        let beside = match settings.method {
            Method::Full | Method::Classify | Method::Embed => Beside::FilesOf(base_dir),
            _ => Beside::Nothing,
        };
        let Read { examples, validation, speaker, questions, .. } = read;
        Ok(Prepared { start, examples, validation, speaker, beside, questions, settings, torch: None })
    }
}

/// Rows as what the method learns from, and a word on what did not fit.
fn lessons(
    ctx: &Context,
    (speaker, classes): (&Speaker, &[String]),
    settings: &TrainSettings,
    rows: &[Example],
) -> Result<Lessons> {
    let n = settings.sequence_len;
    let (lessons, n_cut, n_left_out) = match settings.method {
        Method::Dpo => speaker.pairs(rows, n).map(|(pairs, left)| (Lessons::Pairs(pairs), 0, left))?,
        Method::Classify => {
            let (texts, n_cut, n_unknown) = speaker.classes(rows, classes, n)?;
            if n_unknown > 0 {
                ctx.say(format!("{n_unknown} rows were left out: no row to train on has their label"));
            }
            (Lessons::Classes(texts), n_cut, 0)
        }
        Method::Embed => {
            let (pairs, n_cut, n_alone) = speaker.related(rows, n)?;
            if n_alone > 0 {
                ctx.say(format!("{n_alone} rows were left out: nothing belongs to them"));
            }
            (Lessons::Related(pairs), n_cut, 0)
        }
        _ => {
            let made = speaker.examples(rows, n)?;
            (Lessons::Rows(made.examples), made.n_cut, made.n_left_out)
        }
    };
    for (count, what) in [(n_cut, "messages were cut"), (n_left_out, "rows were left out")] {
        if count > 0 {
            ctx.say(format!("{count} {what}: they do not fit into {n} tokens (`context_tokens`)"));
        }
    }
    Ok(lessons)
}

/// The labels of the rows, each once, in order.
fn classes_of(rows: &[Example]) -> Result<Vec<String>> {
    let labels: BTreeSet<&str> = rows.iter().map(|row| row.label.as_str()).filter(|label| !label.is_empty()).collect();
    match labels.len() {
        0 | 1 => {
            Err(Error::user(format!("a classifier needs rows of at least two labels, and there are {}", labels.len()))
                .hint("name the column of the labels in `label` of `[data.*]`"))
        }
        _ => Ok(labels.into_iter().map(str::to_string).collect()),
    }
}
