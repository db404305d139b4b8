//! Explain: which parts of a message made the answer, and which training rows are nearest to it.

use super::{collect::in_background, deploy, predict, train::dataset_of};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_eval::{
    answer,
    explain::{self, ExplainSettings, lime::LimeSettings, nearest::nearest},
};
use loopwright_lm::{Task, score_continuations};
use loopwright_store::{Change, ListQuery};
use loopwright_types::{
    Entity, EntityRef, Example, ModelRef, ModelVersion, Split,
    event::NewEvent,
    explain::{Explanation, NearestRow, Segment},
    id::TraceId,
    lineage::Edge,
    model::ModelState,
    trace::Trace,
};

/// Segments at most: each one more doubles the model calls (1,024 for ten).
const SEGMENTS_MAX: usize = 10;
/// Training rows shown.
const NEAREST: usize = 5;

/// Explains the answer of a trace, with the version that gave it (or the live one, if that version is gone).
pub async fn of_trace(ctx: &Context, it: &LoopSettings, id: &TraceId) -> Result<Explanation> {
    let trace: Option<Trace> = ctx.store.trace(id).await?;
    let trace =
        trace.ok_or_else(|| Error::user(format!("there is no trace `{id}`")).hint("`loopwright traces` lists them"))?;
    let done: Vec<Explanation> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    if let Some(done) = done.into_iter().find(|it| it.trace.as_ref() == Some(id)) {
        return Ok(done);
    }
    let version: Option<ModelVersion> = ctx.store.get(&trace.model.to_string()).await?;
    let model = match version.filter(|version| version.state != ModelState::Retired) {
        Some(version) => version.model,
        // The version that answered has no files any more: the live one is what can still be asked.
        None => require_live(ctx, it).await?,
    };
    let text = ctx.prepare(&trace.input);
    explain(ctx, it, &model, &text, Some(id)).await
}

/// Explains what the live version answers to a message.
pub async fn of_text(ctx: &Context, it: &LoopSettings, text: &str) -> Result<Explanation> {
    let live = require_live(ctx, it).await?;
    let text = ctx.prepare(text);
    explain(ctx, it, &live, &text, None).await
}

async fn require_live(ctx: &Context, it: &LoopSettings) -> Result<ModelRef> {
    let live = deploy::live(ctx, it).await?;
    live.ok_or_else(|| Error::user("no version is live").hint("run `loopwright run deploy`"))
}

async fn explain(
    ctx: &Context,
    it: &LoopSettings,
    model: &ModelRef,
    text: &str,
    trace: Option<&TraceId>,
) -> Result<Explanation> {
    let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
    let rows = ctx.store.tables().read_examples(dataset_of(&version)?, Some(Split::Train)).await?;
    let explainer = Explainer {
        ctx: ctx.clone(),
        version: version.clone(),
        text: text.to_string(),
        max_tokens: it.route.max_answer_tokens,
        seed: ctx.seed_for("lime"),
    };
    let parts = in_background(move || explainer.run(&rows)).await?;
    let explanation = Explanation {
        id: ctx.store.new_id("explanation"),
        model: model.clone(),
        route: it.name.clone(),
        trace: trace.cloned(),
        input: text.to_string(),
        answer: parts.answer,
        probability: parts.explained.shapley.full,
        base_probability: parts.explained.shapley.empty,
        segments: segments(&parts.explained),
        lime_r2: parts.explained.lime.r_squared,
        lime_stable: parts.explained.lime.is_stable,
        shapley_sum_error: parts.explained.shapley.efficiency_gap().abs(),
        nearest: parts.nearest,
        created_at: ctx.store.now(),
    };
    let about = explanation.entity_ref();
    let link = Change::Link(Edge::new(EntityRef::from(model), "explained", about.clone()));
    ctx.store.apply(NewEvent::new(ctx.actor, "answer.explained", about), vec![Change::put(&explanation), link]).await?;
    Ok(explanation)
}

struct Explainer {
    ctx: Context,
    version: ModelVersion,
    text: String,
    max_tokens: u32,
    seed: u64,
}

struct Parts {
    answer: String,
    explained: explain::Explanation,
    nearest: Vec<NearestRow>,
}

impl Explainer {
    fn run(&self, rows: &[Example]) -> Result<Parts> {
        let loaded = predict::load(&self.ctx, &self.version)?;
        let answer = loaded.answer(&self.text, self.max_tokens)?;
        let mut continuation = loaded.tokenizer.encode(&answer);
        continuation.extend(loaded.end().first());
        // The value of a coalition: how probable the very same answer is when only these segments are sent.
        let mut value = |texts: &[String]| {
            let prompts = texts.iter().map(|text| loaded.prompt(text, self.max_tokens));
            let prompts = prompts.collect::<loopwright_lm::Result<Vec<_>>>()?;
            if let Task::Classes(names) = &loaded.model.config().task {
                let class = names.iter().position(|name| predict::answer_text(name) == answer);
                let share = |prompt: &Vec<u32>| Ok(loaded.model.probability_of(prompt, class.unwrap_or_default())?);
                return prompts.iter().map(share).collect();
            }
            let scores = score_continuations(&loaded.model, &prompts, &continuation)?;
            Ok(scores.into_iter().map(|score| f64::from(score).exp()).collect())
        };
        let lime = LimeSettings { seed: self.seed, ..Default::default() };
        let settings = ExplainSettings { n_segments_max: SEGMENTS_MAX, lime };
        let explained =
            explain::explain(&self.text, &settings, &mut value).doing(|| "failed to explain the answer".into())?;
        let nearest = self.nearest(&loaded, rows)?;
        Ok(Parts { answer, explained, nearest })
    }

    /// The training rows whose mean hidden state is nearest to the message's.
    fn nearest(&self, loaded: &predict::Loaded, rows: &[Example]) -> Result<Vec<NearestRow>> {
        use rayon::prelude::*;
        let embed = |text: &str| {
            let embedded = loaded.prompt(text, self.max_tokens).and_then(|tokens| loaded.model.embed(&tokens));
            embedded.map_err(|error| Error::bug("failed to embed a row").because(error))
        };
        let query = embed(&self.text)?;
        let embeddings: Vec<Vec<f32>> = rows.par_iter().map(|row| embed(&row.text)).collect::<Result<_>>()?;
        let near = nearest(&query, &embeddings, NEAREST).doing(|| "failed to compare with the training rows".into())?;
        let row = |near: explain::nearest::Neighbour| {
            let row = &rows[near.row_index];
            NearestRow {
                row_id: row.row_id.clone(),
                text: row.text.clone(),
                label: row.label.clone(),
                similarity: near.similarity,
            }
        };
        Ok(near.into_iter().map(row).collect())
    }
}

fn segments(explained: &explain::Explanation) -> Vec<Segment> {
    let values = explained.shapley.values.iter().zip(&explained.lime.weights);
    explained
        .segments
        .iter()
        .zip(values)
        .map(|(segment, (shapley, lime))| Segment { text: segment.text.clone(), shapley: *shapley, lime: *lime })
        .collect()
}

/// Whether an answer says what it should, in a word.
pub fn label_of(answer_text: &str) -> Option<String> {
    answer::parse(answer_text).ok()
}
