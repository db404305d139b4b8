//! Verify: a finished run, done once more, gives the same bytes.

use super::{
    collect::in_background,
    examples,
    model_files::save,
    origin::{Asked, prepare_finetuning},
    train::{self, Prepared, Rows, Task},
    train_settings::BACKEND,
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::TrainSettings as Settings,
};
use loopwright_lm::ModelConfig;
use loopwright_store::ObjectKey;
use loopwright_train::{Samples, TrainSettings};
use loopwright_types::{
    DatasetVersion, Digest, EntityRef, ModelRef, ModelVersion, Timestamp,
    event::NewEvent,
    id::RunId,
    run::{Run, RunKind},
};
use serde::Serialize;
use serde_json::Value;
use std::ops::ControlFlow;

/// Loads what a training starts from.
type Prepare = Box<dyn FnOnce(&Context, Timestamp) -> Result<Prepared> + Send>;

/// What a second training came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verified {
    /// The run.
    pub run: RunId,
    /// What it made.
    pub model: ModelRef,
    /// The digest over the model's files as recorded.
    pub recorded: Digest,
    /// The digest over the files of the second training.
    pub derived: Digest,
}

impl Verified {
    /// Are both the same?
    pub fn is_same(&self) -> bool {
        self.recorded == self.derived
    }
}

/// Trains a run once more from what was recorded of it, keeps nothing, and says what came of it.
pub async fn verify(ctx: &Context, id: &RunId) -> Result<Verified> {
    let run: Run = ctx.store.require(id.as_str()).await?;
    let Some(model) = run.model.clone() else {
        return Err(Error::user(format!("the run `{id}` made no model"))
            .hint("`loopwright runs` lists runs and what they made"));
    };
    if let Some(backend) = run.params.get(BACKEND) {
        return Err(Error::user(format!("the steps of `{id}` were taken by `{backend}`"))
            .hint("its bytes depend on the versions and the devices that took them, which the run's record names; only runs of this program are derived again"));
    }
    let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
    let dataset: DatasetVersion = ctx.store.require(&run.dataset.to_string()).await?;
    if run.environment.get("dataset_digest").map(String::as_str) != Some(dataset.digest.as_str()) {
        return Err(Error::user(format!("`{}` is not as it was when `{id}` learned from it", run.dataset))
            .hint("rows of an erased person are gone for good; what was learned from them cannot be derived again"));
    }
    let settings = settings_of(&run)?;
    let rows = Rows::read(ctx, &run.dataset).await?;
    let task = Task {
        kind: run.kind,
        name: model.name.clone(),
        dataset: run.dataset.clone(),
        base: run.base.clone(),
        parent: run.parent.clone(),
        asked: Asked::default(),
    };
    let prepare: Prepare = match run.kind {
        RunKind::Pretrain => Box::new(train::prepare_pretraining(settings, shape_of(ctx, &model)?, rows)),
        RunKind::Lora | RunKind::Full | RunKind::Dpo | RunKind::Classify | RunKind::Embed => {
            Box::new(prepare_finetuning(settings, rows, &task, None)?)
        }
    };
    let date = train::date_of(ctx, &run);
    let (work, folder) = (ctx.clone(), ctx.store.layout().state().join("verify").join(id.as_str()));
    let derived = in_background(move || {
        let derived = derive(&work, (prepare, date), &folder);
        // Whether or not it can be removed changes nothing of what was found.
        let _ = std::fs::remove_dir_all(&folder);
        derived
    })
    .await?;
    let verified = Verified { run: id.clone(), model, recorded: version.digest, derived };
    let event = NewEvent::new(ctx.actor, "run.verified", EntityRef::new("run", id.as_str()));
    let body = serde_json::json!({"is_same": verified.is_same(), "digest": verified.derived});
    ctx.store.apply(event.with_body(body), Vec::new()).await?;
    Ok(verified)
}

fn derive(ctx: &Context, (prepare, date): (Prepare, Timestamp), folder: &std::path::Path) -> Result<Digest> {
    let Prepared { settings, start, examples: lessons, validation, speaker, beside, .. } = prepare(ctx, date)?;
    // With early stopping, the best weights are put aside as the first time.
    let checkpoints = folder.join("checkpoints");
    std::fs::create_dir_all(&checkpoints).outside(|| format!("failed to make `{}`", checkpoints.display()))?;
    let none = Samples::default();
    let trained = examples::train(&settings, start, (&lessons, &validation), none, Some(&checkpoints), |at| {
        ctx.progress("training again", at.step, at.n_steps, format!("loss {:.3}", at.loss));
        ControlFlow::Continue(())
    })?;
    save(&trained.model, &beside, &speaker.tokenizer, &folder.join("model"))
}

/// The settings as they were recorded: names with dots, values as text.
fn settings_of(run: &Run) -> Result<TrainSettings> {
    let mut tree = serde_json::Map::new();
    for (name, text) in &run.params {
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
        let mut place = &mut tree;
        let parts: Vec<&str> = name.split('.').collect();
        let (last, above) = parts.split_last().expect("a split gives a part");
        for part in above {
            let below = place.entry(*part).or_insert_with(|| Value::Object(serde_json::Map::new()));
            place = below.as_object_mut().ok_or_else(|| Error::bug(format!("`{name}` stands below a value")))?;
        }
        place.insert((*last).to_string(), value);
    }
    serde_json::from_value(Value::Object(tree)).map_err(|error| {
        Error::user(format!("the settings of `{}` cannot be read", run.id))
            .because(error)
            .hint("the run was recorded by another version of this program; verify it with that one")
    })
}

/// Shape and vocabulary of a base that was made here.
fn shape_of(ctx: &Context, model: &ModelRef) -> Result<Settings> {
    let dir = ctx.store.objects().local_dir(&ObjectKey::ModelDir { model: model.clone() })?;
    let doing = || format!("failed to read the shape of `{model}`");
    let path = dir.join(loopwright_lm::CONFIG_FILE);
    let bytes = std::fs::read(&path).outside(doing)?;
    let config: ModelConfig = serde_json::from_slice(&bytes).outside(doing)?;
    let any = ctx.project.loops.values().next().ok_or_else(|| Error::bug("a project has a loop"))?;
    Ok(Settings {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        n_layers: config.num_hidden_layers,
        n_heads: config.num_attention_heads,
        context_tokens: config.max_position_embeddings,
        ..any.train.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn settings_come_back_from_their_text() {
        for settings in [TrainSettings::lora(7), TrainSettings::pretrain(u64::MAX)] {
            let settings =
                TrainSettings { length: loopwright_train::Length::Steps(9), warmup_steps: Some(3), ..settings };
            let params: BTreeMap<String, String> =
                crate::jobs::train_settings::params_of(&settings, crate::project::Backend::Native).unwrap();
            let run = Run { params, ..crate::jobs::train::tests::run() };
            assert_eq!(settings_of(&run).unwrap(), settings);
        }
    }
}
