//! `run`: a stage and all that it needs, brought up to date.

use crate::{output::Answer, table::Table, units};
use loopwright_pipeline::{
    Context, Error, Result,
    graph::{self, Node},
    jobs::{
        collect, curate, customers, deploy,
        found::FoundSources,
        judge::{self, Against, Suite},
        package, train,
    },
    project::LoopSettings,
    runner::step,
};
use loopwright_types::{
    DatasetVersion, Digest, ModelRef, ModelVersion, Split,
    score::{Evaluation, Verdict},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::time::Instant;

/// A stage that is up to date.
#[derive(Debug, Serialize)]
struct Brought {
    stage: &'static str,
    /// True if nothing had to be done.
    cached: bool,
    seconds: f64,
    output: Value,
}

pub async fn run(ctx: &Context, it: &LoopSettings, target: &str) -> anyhow::Result<Answer> {
    let nodes = graph::needed_for(target)?;
    let found = FoundSources::look(ctx, it).await?;
    let mut done: Vec<Brought> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        ctx.report.stage(index + 1, nodes.len(), node.title);
        let began = Instant::now();
        let before = done.last().map_or(&Value::Null, |stage| &stage.output);
        let (output, cached) = Stage { ctx, it, node, found: &found, before }.bring_up_to_date().await?;
        if cached {
            ctx.say("up to date");
        }
        done.push(Brought { stage: node.name, cached, seconds: began.elapsed().as_secs_f64(), output });
    }
    let row = |stage: &Brought| {
        let what = if stage.cached { "up to date" } else { "done" };
        [stage.stage.to_string(), what.to_string(), units::duration(stage.seconds)]
    };
    let table = Table::of(["stage", "what", ">time"], &done, row);
    Ok(Answer::new(&done, table.to_string()))
}

/// One stage of the graph. What it depends on is what the stage before it returned, and its own settings.
struct Stage<'a> {
    ctx: &'a Context,
    it: &'a LoopSettings,
    node: &'static Node,
    /// The sources when the command began: what is collected is what later stages depend on.
    found: &'a FoundSources,
    before: &'a Value,
}

impl Stage<'_> {
    async fn bring_up_to_date(&self) -> Result<(Value, bool)> {
        let (ctx, it) = (self.ctx, self.it);
        match self.node.name {
            "collect" => {
                let input = (self.found.digest(), &it.data);
                self.step(&input, || collect::collect_found(ctx, it, self.found)).await
            }
            "curate" => {
                // Whoever opted out or was erased since then changes the version as much as a new row does.
                let people = (customers::opted_out(ctx).await?, customers::erased(ctx).await?);
                let input = (self.found.digest(), &it.data, &ctx.project.policy, ctx.project.project.seed, people);
                self.step(&input, || curate::from_raw(ctx, it)).await
            }
            "train" => {
                let input = (self.before, &it.train, ctx.project.project.seed);
                self.step(&input, || self.train()).await
            }
            "judge" => self.step(&(self.before, &it.eval), || self.judge()).await,
            // A gate that did not pass is asked again the next time.
            "gate" => self.step(&self.before, || async { self.gate() }).await,
            "package" => self.step(&self.before, || self.package()).await,
            "deploy" => self.step(&self.before, || self.deploy()).await,
            other => Err(Error::bug(format!("no command knows the stage `{other}`"))),
        }
    }

    async fn step<I, T, F, Fut>(&self, input: &I, work: F) -> Result<(Value, bool)>
    where
        I: Serialize,
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let name = format!("{}/{}", self.it.name, self.node.name);
        let outcome = step(self.ctx, &name, input, |_| work()).await?;
        let output = serde_json::to_value(outcome.output)
            .map_err(|error| Error::bug("failed to write a stage's output as JSON").because(error))?;
        Ok((output, outcome.cached))
    }

    /// What the stage before this one returned.
    fn read<T: DeserializeOwned>(&self, pointer: &str) -> Result<T> {
        let value = self.before.pointer(pointer).unwrap_or(&Value::Null);
        serde_json::from_value(value.clone()).map_err(|error| {
            Error::bug(format!("stage `{}` found no `{pointer}` before it", self.node.name)).because(error)
        })
    }

    async fn train(&self) -> Result<ModelVersion> {
        let dataset: DatasetVersion = self.read("")?;
        let base = train::base(self.ctx, self.it, &dataset.dataset).await?;
        train::finetune(self.ctx, self.it, &dataset.dataset, &base.model, None).await
    }

    async fn judge(&self) -> Result<Evaluation> {
        let version: ModelVersion = self.read("")?;
        let suite = Suite { dataset: train::dataset_of(&version)?.clone(), split: Split::Test, name: "test".into() };
        let against = Against::live_or_rules(self.ctx, self.it, &version.model).await?;
        let evaluation = judge::judge(self.ctx, self.it, &version.model, &suite, &against).await?;
        self.ctx.say(format!("accuracy {} on {} held-out rows", evaluation.scores.accuracy, evaluation.scores.n_rows));
        Ok(evaluation)
    }

    fn gate(&self) -> Result<ModelRef> {
        let evaluation: Evaluation = self.read("")?;
        let report = judge::write_report(self.ctx, &evaluation, None)?;
        match evaluation.gate.as_ref().map(|gate| gate.verdict) {
            Some(Verdict::Pass) => Ok(evaluation.model),
            _ => {
                let rules = format!("the rules are in `[eval.{}]` of the project file", self.it.name);
                Err(Error::user(format!(
                    "`{}` did not pass its gate ({})",
                    evaluation.model,
                    judge::open_rules(&evaluation)
                ))
                .hint(format!("the report is `{}`; {rules}", report.display())))
            }
        }
    }

    async fn package(&self) -> Result<(ModelRef, Digest)> {
        let model: ModelRef = self.read("")?;
        let package = package::package(self.ctx, &model).await?;
        Ok((model, package.digest))
    }

    async fn deploy(&self) -> Result<ModelRef> {
        let model: ModelRef = self.read("/0")?;
        deploy::deploy(self.ctx, self.it, &model).await?;
        Ok(model)
    }
}
