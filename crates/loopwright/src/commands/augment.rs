//! `data augment` and `data robustness`: new rows, and whether they help.

use crate::{
    args::{AugmentArgs, RobustnessArgs},
    output::Answer,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{
    Context, Error,
    jobs::{
        augment::{self, Augmented, Rates, Settings},
        robustness,
        synthesise::Synthesis,
    },
};
use loopwright_types::{DatasetVersion, score::Interval};

pub async fn augment(ctx: &Context, base: &DatasetVersion, args: &AugmentArgs) -> anyhow::Result<Answer> {
    let it = ctx.the_loop(Some(&base.dataset.name))?;
    let noise = args.noise.map(|factor| Rates::default().times(factor));
    let settings = Settings { share: args.share, copies: args.copies, noise, slots: args.slots };
    let asked = args.synthetic.map(|n_rows| synthesis(ctx, args, n_rows)).transpose()?;
    let made = augment::augment(ctx, &it, base, &settings, asked.as_ref()).await?;
    Ok(Answer::new(&made, told(base, &made)).with_talk("next: `loopwright data robustness`, `loopwright train`"))
}

/// Who is asked for rows: a route of the project's own server, or a model at an endpoint.
fn synthesis(ctx: &Context, args: &AugmentArgs, n_rows: usize) -> anyhow::Result<Synthesis> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let api_key = variable("OPENAI_API_KEY");
    if let Some(route) = &args.route {
        let base_url = format!("http://{}", ctx.project.serve.address);
        return Ok(Synthesis { n_rows, base_url, model: route.clone(), api_key });
    }
    match (args.base_url.clone().or_else(|| variable("OPENAI_BASE_URL")), args.model.clone()) {
        (Some(base_url), Some(model)) => Ok(Synthesis { n_rows, base_url, model, api_key }),
        _ => Err(Error::user("nobody is named who writes the synthetic rows")
            .hint("name a route of `loopwright up` with `--route`, or an endpoint with `--base-url` and `--model`")
            .into()),
    }
}

fn told(base: &DatasetVersion, made: &Augmented) -> String {
    let version = &made.version;
    let mut text = pairs(&[
        ("version", version.dataset.to_string()),
        ("built on", base.dataset.to_string()),
        ("rows", format!("{} → {}", units::count(base.n_rows), units::count(version.n_rows))),
    ]);
    let mut table = Table::new(&["generator", "outcome", ">rows"]);
    for (generator, n) in &made.added {
        table.row([generator.clone(), "added".into(), units::count(*n)]);
    }
    for (generator, reasons) in &made.refused {
        for (reason, n) in reasons {
            table.row([generator.clone(), format!("left out: {reason}"), units::count(*n)]);
        }
    }
    text.push_str(&format!("\n{table}"));
    text
}

pub async fn robustness(ctx: &Context, version: &DatasetVersion, args: &RobustnessArgs) -> anyhow::Result<Answer> {
    let it = ctx.the_loop(Some(&version.dataset.name))?;
    let rates = Rates::default().times(args.noise);
    let found = robustness::robustness(ctx, &it, version, &rates, args.copies).await?;
    let report = &found.report;
    let mut table = Table::new(&["test rows", "without", "with", "gain"]);
    for (rows, without, with, gain) in [
        ("clean", report.plain_clean, report.augmented_clean, report.clean_gain),
        ("noisy", report.plain_noised, report.augmented_noised, report.noised_gain),
    ] {
        table.row([rows.to_string(), without.to_string(), with.to_string(), signed(&gain)]);
    }
    let new = match found.new_rows_are_stored {
        true => "new rows, of the version",
        false => "new rows, made for this report",
    };
    let facts = pairs(&[
        ("version", version.dataset.to_string()),
        ("train rows", units::count(report.n_train)),
        (new, units::count(report.n_synthetic)),
        ("test rows", units::count(report.n_test)),
    ]);
    let verdict = match report.is_worth_it() {
        true => "noisy rows gain, and clean rows lose no more than chance allows",
        false => "no gain on noisy rows is proven, or clean rows lose more than chance allows",
    };
    Ok(Answer::new(&found, format!("{facts}\n{table}\n{verdict}\n")))
}

/// A difference: `+0.042 [+0.031, +0.053]`.
fn signed(it: &Interval) -> String {
    format!("{:+.3} [{:+.3}, {:+.3}]", it.point, it.low, it.high)
}
