//! `tune`: a search over training settings.

use crate::{
    args::TuneArgs,
    output::Answer,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{
    Context,
    jobs::{
        curate,
        tune::{self, StudyRecord},
    },
    project::LoopSettings,
    search::{self, Trial},
};

/// Trials shown, best first.
const TRIALS_SHOWN: usize = 10;

pub async fn tune(ctx: &Context, mut it: LoopSettings, args: &TuneArgs) -> anyhow::Result<Answer> {
    it.tune.trials = args.trials.unwrap_or(it.tune.trials);
    it.tune.parallel = args.parallel.unwrap_or(it.tune.parallel).max(1);
    if let Some(study) = &args.study {
        it.tune.study.clone_from(study);
    }
    let record = match args.show {
        true => {
            let name = if it.tune.study.is_empty() { &it.name } else { &it.tune.study };
            ctx.store.require::<StudyRecord>(name).await?
        }
        false => {
            let dataset = curate::require_newest(ctx, &it).await?.dataset;
            tune::tune(ctx, &it, &dataset).await?
        }
    };
    let talk = "the curves are on the page `/studies` of `loopwright up`; put the best settings into `[train.*]` and run `loopwright train`";
    Ok(Answer::new(&record, told(&record)).with_talk(talk))
}

fn told(record: &StudyRecord) -> String {
    let study = &record.study;
    let count = |name: &str| study.trials().iter().filter(|trial| trial.state.name() == name).count() as u64;
    let best = study.best();
    let mut text = pairs(&[
        ("study", record.name.clone()),
        ("trials", units::count(study.trials().len() as u64)),
        ("complete", units::count(count("complete"))),
        ("given up", units::count(count("pruned"))),
        ("failed", units::count(count("failed"))),
        ("best value", units::or_dash(best.and_then(Trial::value).map(|value| format!("{value:.4}")))),
        ("best trial", units::or_dash(best.map(|trial| trial.number))),
    ]);
    if let Some(best) = best {
        text.push_str("\n[train.*]\n");
        for (name, value) in &best.params {
            text.push_str(&format!("{name} = {value}\n"));
        }
    }
    if let Ok(importances) = search::importance::importances(study, 0) {
        text.push_str("\nshare of what the values differ by\n");
        for it in importances {
            text.push_str(&format!("  {}  {:.0} %\n", it.param, it.share * 100.0));
        }
    }
    let direction = study.settings().direction;
    let mut trials: Vec<&Trial> = study.trials().iter().filter(|trial| trial.value().is_some()).collect();
    trials.sort_by(|a, b| {
        direction.loss(a.value().unwrap_or(f64::NAN)).total_cmp(&direction.loss(b.value().unwrap_or(f64::NAN)))
    });
    let mut table = Table::new(&[">trial", ">value", "settings"]);
    for trial in trials.into_iter().take(TRIALS_SHOWN) {
        let params: Vec<String> = trial.params.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let value = units::or_dash(trial.value().map(|value| format!("{value:.4}")));
        table.row([trial.number.to_string(), value, params.join(", ")]);
    }
    format!("{text}\n{table}")
}
