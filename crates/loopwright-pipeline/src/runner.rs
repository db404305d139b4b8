//! Runs steps once: a finished step is not run again for the same input, a killed one goes on.

use crate::{
    context::Context,
    error::{Error, Result},
};
use loopwright_store::Change;
use loopwright_types::{Digest, Entity, Timestamp, event::NewEvent};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::future::Future;

/// A step of a project: what went in, how far it is, what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name, e.g. `support/curate`.
    pub name: String,
    /// Digest of everything it depends on.
    pub input: Digest,
    /// `running` or `done`.
    pub state: StepState,
    /// What the step itself wants to find again after it was killed.
    pub resume: serde_json::Value,
    /// What it returned.
    pub output: serde_json::Value,
    /// How often it was begun.
    pub n_starts: u32,
    /// When it was first begun with this input.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Begun and not ended.
    Running,
    /// Ended well.
    Done,
}

impl Entity for Step {
    const KIND: &'static str = "step";

    fn id(&self) -> String {
        self.name.clone()
    }

    fn state(&self) -> &str {
        match self.state {
            StepState::Running => "running",
            StepState::Done => "done",
        }
    }
}

/// Handed to a running step, to leave marks for a later start.
#[derive(Clone)]
pub struct Marks {
    ctx: Context,
    name: String,
}

impl Marks {
    /// What an earlier, killed start of this step left.
    pub async fn read<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let step: Step = self.ctx.store.require(&self.name).await?;
        if step.resume.is_null() {
            return Ok(None);
        }
        serde_json::from_value(step.resume)
            .map(Some)
            .map_err(|error| Error::bug(format!("failed to read the marks of step `{}`", self.name)).because(error))
    }

    /// Leaves this for a later start.
    pub async fn write<T: Serialize>(&self, marks: &T) -> Result<()> {
        let mut step: Step = self.ctx.store.require(&self.name).await?;
        step.resume = to_json(marks)?;
        let event = NewEvent::new(self.ctx.actor, "step.marked", step.entity_ref());
        self.ctx.store.apply(event, vec![Change::put(&step)]).await?;
        Ok(())
    }
}

/// What a step came to.
pub struct Outcome<T> {
    /// What it returned, now or when it was run.
    pub output: T,
    /// True if it was done before and not run now.
    pub cached: bool,
}

/// Runs `work` unless the step is done for this input.
pub async fn step<I, T, F, Fut>(ctx: &Context, name: &str, input: &I, work: F) -> Result<Outcome<T>>
where
    I: Serialize,
    T: Serialize + DeserializeOwned,
    F: FnOnce(Marks) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let input = Digest::of(to_json(input)?.to_string().as_bytes());
    let before: Option<Step> = ctx.store.get(name).await?;
    let before = before.filter(|step| step.input == input);
    if let Some(step) = before.as_ref().filter(|step| step.state == StepState::Done) {
        // A result written by an older program may no longer be readable: then the step is run again.
        if let Ok(output) = serde_json::from_value(step.output.clone()) {
            return Ok(Outcome { output, cached: true });
        }
    }
    let mut step = begin(ctx, name, input, before).await?;
    let output = work(Marks { ctx: ctx.clone(), name: name.to_string() }).await?;
    step.output = to_json(&output)?;
    step.state = StepState::Done;
    step.resume = serde_json::Value::Null;
    step.ended_at = Some(ctx.store.now());
    let event = NewEvent::new(ctx.actor, "step.finished", step.entity_ref());
    ctx.store.apply(event, vec![Change::put(&step)]).await?;
    Ok(Outcome { output, cached: false })
}

async fn begin(ctx: &Context, name: &str, input: Digest, before: Option<Step>) -> Result<Step> {
    let mut step = before.unwrap_or(Step {
        name: name.into(),
        input,
        state: StepState::Running,
        resume: serde_json::Value::Null,
        output: serde_json::Value::Null,
        n_starts: 0,
        started_at: ctx.store.now(),
        ended_at: None,
    });
    step.n_starts += 1;
    step.state = StepState::Running;
    let event = NewEvent::new(ctx.actor, "step.started", step.entity_ref());
    ctx.store.apply(event.with_body(serde_json::json!({"start": step.n_starts})), vec![Change::put(&step)]).await?;
    Ok(step)
}

fn to_json<T: Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::bug("failed to write a step's value as JSON").because(error))
}
