//! `data coverage` and `data diversity`: what a dataset stands for.

use crate::{
    args::{CoverageArgs, DiversityArgs},
    output::Answer,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{
    Context,
    jobs::{
        coverage::{self, CoverageSettings, Shown, ThinRegion},
        diversity::{self, Figures},
    },
};
use loopwright_types::DatasetVersion;

/// Characters of an example in a table.
const TEXT_CHARS: usize = 60;

pub async fn coverage(ctx: &Context, version: &DatasetVersion, args: &CoverageArgs) -> anyhow::Result<Answer> {
    let settings = CoverageSettings {
        route: args.route.clone(),
        tag: args.tag.clone(),
        model: args.model.clone(),
        regions: args.regions,
    };
    let found = coverage::coverage(ctx, version, &settings).await?;
    let mut text = pairs(&[
        ("version", found.dataset.clone()),
        ("route", found.route.clone()),
        ("compared by", found.vectors.clone()),
        ("train rows", units::count(found.n_rows)),
        ("requests", units::count(found.n_requests)),
        ("regions", units::count(found.n_regions)),
        ("requests hardly covered", found.traffic_not_covered.to_string()),
        ("rows hardly asked for", found.dataset_not_asked_for.to_string()),
        ("total variation", format!("{:.3}", found.total_variation)),
    ]);
    text += &thin("asked for and hardly learned", &found.hardly_learned, |region| &region.requests);
    text += &thin("learned and hardly asked for", &found.hardly_asked_for, |region| &region.rows);
    Ok(Answer::new(&found, text))
}

/// Regions with examples of the side that has them; nothing where there is none.
fn thin(title: &str, regions: &[ThinRegion], examples: fn(&ThinRegion) -> &[Shown]) -> String {
    if regions.is_empty() {
        return format!("\nno region is {title}\n");
    }
    let mut table = Table::new(&["share of requests", "share of rows", "label", "for example"]);
    for region in regions {
        for (index, shown) in examples(region).iter().enumerate() {
            let once = |share: String| if index == 0 { share } else { String::new() };
            let shares = [once(region.traffic.to_string()), once(region.dataset.to_string())];
            table.row(shares.into_iter().chain([shown.label.clone(), units::excerpt(&shown.text, TEXT_CHARS)]));
        }
    }
    format!("\n{title}:\n{table}")
}

pub async fn diversity(ctx: &Context, version: &DatasetVersion, args: &DiversityArgs) -> anyhow::Result<Answer> {
    let found = diversity::diversity(ctx, version, args.split, args.model.as_ref()).await?;
    let figures = |name: &str, it: &Figures| {
        let counts = [name.to_string(), units::count(it.n_rows), units::count(it.rows_sampled)];
        let shares = [&it.distinct_1, &it.distinct_2, &it.distinct_3, &it.self_overlap].map(|it| it.to_string());
        let vendi = format!("{:.1} [{:.1}, {:.1}]", it.vendi.point, it.vendi.low, it.vendi.high);
        counts.into_iter().chain(shares).chain([vendi]).collect::<Vec<_>>()
    };
    let mut table = Table::new(&[
        "rows of",
        ">rows",
        ">per sample",
        "distinct-1",
        "distinct-2",
        "distinct-3",
        "self-overlap",
        "vendi",
    ]);
    table.row(figures(&found.dataset, &found.all));
    found.labels.iter().for_each(|(label, it)| table.row(figures(label, it)));
    let answer = Answer::new(&found, table.to_string());
    if found.labels_too_small.is_empty() {
        return Ok(answer);
    }
    let names: Vec<&str> = found.labels_too_small.keys().map(String::as_str).collect();
    let least = diversity::LABEL_ROWS_MIN;
    Ok(answer.with_talk(format!("not measured, with fewer than {least} rows: {}", names.join(", "))))
}
