//! The walk of the demo: the whole life of a model, as the single commands in a row.
//!
//! Each stage is a step of the [`crate::runner`]: finished ones are not run again, a killed one goes on where its own
//! parts (the training's checkpoints, the replay's traces, the job queue) left off.

mod close;
mod create;
mod learn;
mod own_data;
mod people;
mod serve;
mod settings;
mod summary;
mod turn;

pub use create::create;
pub use settings::{DemoSettings, Folder, Size};
pub use summary::Summary;

use crate::{
    context::Context,
    error::Result,
    jobs::replay::Door,
    project::LoopSettings,
    runner::{Marks, step},
};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Instant;
use summary::StageTime;

/// The stages, in order.
pub const STAGES: [&str; 12] = [
    "Collect",
    "Curate",
    "Train",
    "Judge",
    "Package",
    "Serve",
    "Watch",
    "Drift",
    "Retrain and canary",
    "Explain",
    "Erase",
    "Hand over",
];

/// What every stage works with.
#[derive(Clone)]
pub(crate) struct Walk {
    pub(crate) ctx: Context,
    pub(crate) it: LoopSettings,
    pub(crate) door: Door,
}

/// Turns the loop once. `door` is a running server of the same project.
pub async fn turn(ctx: &Context, door: Door) -> Result<Summary> {
    let walk = Walk { ctx: ctx.clone(), it: ctx.the_loop(None)?, door };
    let mut times = Times { walk: &walk, of: Vec::new() };
    let collected = times.stage(1, learn::collect, learn::say_collected).await?;
    let curated = times.stage(2, learn::curate, learn::say_curated).await?;
    let trained = times.stage(3, learn::train, learn::say_trained).await?;
    let judged = times.stage(4, learn::judge, learn::say_judged).await?;
    let packaged = times.stage(5, learn::package, learn::say_packaged).await?;
    let served = times.stage(6, serve::serve, serve::say_served).await?;
    let watched = times.stage(7, serve::watch, serve::say_watched).await?;
    let drift = times.stage(8, turn::drift, turn::say_drift).await?;
    let retrained = times.stage(9, turn::retrain, turn::say_retrained).await?;
    let explained = times.stage(10, people::explain, |_, _| ()).await?;
    let explained = ctx.store.get(&explained.id).await?;
    people::say_explained(&walk, explained.as_ref());
    let erased = times.stage(11, people::erase, people::say_erased).await?;
    let handed_over = times.stage(12, close::hand_over, close::say_handed_over).await?;
    Ok(Summary {
        project: ctx.project.dir.clone(),
        stages: times.of,
        collected,
        curated,
        trained,
        judged,
        packaged,
        served,
        watched,
        drift,
        retrained,
        explained,
        erased,
        handed_over,
    })
}

struct Times<'a> {
    walk: &'a Walk,
    of: Vec<StageTime>,
}

impl Times<'_> {
    /// Runs a stage unless it is done, and says in plain words what came of it.
    async fn stage<T, Fut>(
        &mut self,
        number: usize,
        work: impl FnOnce(Walk, Marks) -> Fut,
        say: impl Fn(&Walk, &T),
    ) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        Fut: Future<Output = Result<T>>,
    {
        let title = STAGES[number - 1];
        let walk = self.walk.clone();
        walk.ctx.report.stage(number, STAGES.len(), title);
        let began = Instant::now();
        let name = format!("demo/{number:02}-{}", title.to_lowercase().replace(' ', "-"));
        // The project's seed and the loop's settings are what a stage depends on: another demo in the folder is refused.
        let input = (&walk.it, walk.ctx.project.project.seed);
        let outcome = step(&walk.ctx, &name, &input, |marks| work(walk.clone(), marks)).await?;
        if outcome.cached {
            walk.ctx.say("done before");
        }
        say(&walk, &outcome.output);
        self.of.push(StageTime {
            number,
            title: title.to_string(),
            cached: outcome.cached,
            seconds: began.elapsed().as_secs_f64(),
        });
        Ok(outcome.output)
    }
}
