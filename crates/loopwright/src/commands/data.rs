//! `data`: from sources to dataset versions, and looks at them.

use super::{all, augment, named_loop, representativeness};
use crate::{
    args::{DataCommand, Everywhere, ImportArgs, RowsFormat},
    output::Answer,
    table::{Table, pairs},
    units,
};
use anyhow::Context as _;
use loopwright_pipeline::{
    Context, data_card_markdown,
    diff::{self, DiffSettings},
    flow::{Outcome, StepOutcome},
    jobs::{
        collect, curate, elsewhere::Elsewhere, hand_out, memory::peak_bytes, reading, recipe, stand_ins, traffic, why,
    },
    project::LoopSettings,
    recipes::{self, Operator},
    sources::{OpenSettings, Spec, brief, schema::infer},
    store::{TableKey, remote},
};
use loopwright_types::{DatasetRef, DatasetVersion, Example, Split, dataset::DroppedRow};
use std::{collections::BTreeMap, path::Path};

/// Characters of a message shown in a table.
const TEXT_CHARS: usize = 72;

pub async fn data(ctx: &Context, everywhere: &Everywhere, command: &DataCommand) -> anyhow::Result<Answer> {
    let it = || ctx.the_loop(everywhere.loop_name.as_deref());
    match command {
        DataCommand::Import(args) => import(ctx, it()?, args).await,
        DataCommand::Curate { memory } => {
            let mut it = it()?;
            it.data.memory_mb = memory.map_or(it.data.memory_mb, |bytes| bytes >> 20);
            let version = curate::from_raw(ctx, &it).await?;
            if let Some(peak) = peak_bytes() {
                ctx.say(format!("memory: at most {} MiB, of {} MiB allowed", peak >> 20, it.data.memory_mb));
            }
            made(&version)
        }
        DataCommand::Why { row, version } => {
            let version = the_version(ctx, everywhere, version.as_ref()).await?;
            let it = ctx.the_loop(Some(&version.dataset.name))?;
            let told = why::why(ctx, &it, row, &version.dataset).await?;
            Ok(Answer::new(&told, way_of(&told)))
        }
        DataCommand::Export { version, format, split, to } => {
            let version = the_version(ctx, everywhere, version.as_ref()).await?;
            export(ctx, &version, *format, *split, to.as_deref()).await
        }
        DataCommand::List => list(ctx, named_loop(ctx, everywhere)?).await,
        DataCommand::Rejected { limit } => rejected(ctx, &it()?, *limit).await,
        DataCommand::Show { version, split, limit } => {
            let version = the_version(ctx, everywhere, version.as_ref()).await?;
            show(ctx, &version.dataset, *split, *limit).await
        }
        DataCommand::Card { version } => {
            let version = the_version(ctx, everywhere, version.as_ref()).await?;
            let text = data_card_markdown(&version.card, &version.dataset.to_string());
            Ok(Answer::new(&version.card, text))
        }
        DataCommand::Dropped { version, step, limit } => {
            let version = the_version(ctx, everywhere, version.as_ref()).await?;
            dropped(ctx, &version.dataset, step.as_deref(), *limit).await
        }
        DataCommand::Diff { before, after } => {
            let after = the_version(ctx, everywhere, after.as_ref()).await?;
            difference(ctx, before, &after.dataset).await
        }
        DataCommand::Augment(args) => {
            let version = the_version(ctx, everywhere, args.version.as_ref()).await?;
            augment::augment(ctx, &version, args).await
        }
        DataCommand::Robustness(args) => {
            let version = the_version(ctx, everywhere, args.version.as_ref()).await?;
            augment::robustness(ctx, &version, args).await
        }
        DataCommand::Coverage(args) => {
            let version = the_version(ctx, everywhere, args.version.as_ref()).await?;
            representativeness::coverage(ctx, &version, args).await
        }
        DataCommand::Diversity(args) => {
            let version = the_version(ctx, everywhere, args.version.as_ref()).await?;
            representativeness::diversity(ctx, &version, args).await
        }
        DataCommand::Query { sql } => query(ctx, sql).await,
        DataCommand::Schema { source } => schema(source).await,
        DataCommand::Path { version } => {
            let version = the_version(ctx, everywhere, version.as_ref()).await?;
            let folder = ctx.store.tables().folder(&TableKey::Examples(version.dataset.clone())).await?;
            let folder = folder.context("the version's table is not on disk")?;
            Ok(Answer::new(&folder, folder.display().to_string()))
        }
        DataCommand::Restore { text } => {
            let text = text.clone().map_or_else(|| std::io::read_to_string(std::io::stdin()), Ok)?;
            let restored = stand_ins::restore(ctx, &it()?, &text).await?;
            Ok(Answer::new(serde_json::json!({"text": restored}), restored.trim_end()))
        }
        DataCommand::Operators => Ok(operators()),
    }
}

/// The steps of recipes, whether or not there is a project.
pub fn operators() -> Answer {
    let row = |it: &Operator| {
        let sees = if it.sees_all_rows { "all rows" } else { "a row" };
        let does = if it.changes_texts { "changes" } else { "leaves out" };
        [it.name.into(), sees.to_string(), does.into(), it.purpose.into(), it.source.into()]
    };
    let head = ["step", "looks at", "does", "purpose", "source"];
    let table = Table::of(head, recipes::operators(), row);
    let named = format!("recipes by name: {}", recipes::NAMES.join(", "));
    Answer::list(recipes::operators(), &table, "there are no steps").with_talk(named)
}

/// What a source holds, whether or not there is a project. Its files may be anybody's: a child parses them.
pub async fn schema(source: &str) -> anyhow::Result<Answer> {
    let settings = OpenSettings { child: Some(super::reading_child()?), ..OpenSettings::default() };
    if remote::is_remote(source) {
        let schema = Elsewhere::look(source, Path::new(".")).await?.schema(Spec::default(), settings).await?;
        return Ok(Answer::new(&schema, schema.to_string()));
    }
    let spec = Spec { location: source.to_string(), ..Spec::default() };
    let schema = tokio::task::spawn_blocking(move || infer(&spec, &settings)).await??;
    Ok(Answer::new(&schema, schema.to_string()))
}

async fn difference(ctx: &Context, before: &DatasetRef, after: &DatasetRef) -> anyhow::Result<Answer> {
    let tables = ctx.store.tables();
    let (old, new) = (tables.read_examples(before, None).await?, tables.read_examples(after, None).await?);
    let dropped = tables.read_dropped(after).await?;
    let difference = diff::diff(&old, &new, &dropped, &DiffSettings::default());
    let counts = |counts: &BTreeMap<String, u64>| {
        let count = |(name, n): (&String, &u64)| format!("{name} {}", units::count(*n));
        counts.iter().map(count).collect::<Vec<_>>().join(", ")
    };
    let mut text = pairs(&[
        ("rows", format!("{} → {}", units::count(difference.n_before), units::count(difference.n_after))),
        ("added", units::count(difference.n_added)),
        ("  by label", counts(&difference.added_labels)),
        ("removed", units::count(difference.n_removed)),
        ("  by step", counts(&difference.removed_steps)),
        ("changed", units::count(difference.n_changed)),
        ("  by field", counts(&difference.changed_fields)),
        ("the same", units::count(difference.n_same)),
    ]);
    let mut shown = Table::new(&["what", "row", "reason", "text"]);
    for row in &difference.added {
        shown.row(["added".into(), row.row_id.to_string(), String::new(), units::excerpt(&row.text, TEXT_CHARS)]);
    }
    for removed in &difference.removed {
        let row = &removed.row;
        let text = units::excerpt(&row.text, TEXT_CHARS);
        shown.row(["removed".into(), row.row_id.to_string(), removed.reason.clone(), text]);
    }
    for changed in &difference.changed {
        for field in &changed.fields {
            let values = format!("{}: {} → {}", field.field, field.before, field.after);
            let text = units::excerpt(&values, TEXT_CHARS);
            shown.row(["changed".into(), changed.row_id.to_string(), String::new(), text]);
        }
    }
    if !difference.is_empty() {
        text.push_str(&format!("\n{shown}"));
    }
    Ok(Answer::new(&difference, text))
}

/// A query's rows as a table; its columns are those of the first row.
async fn query(ctx: &Context, sql: &str) -> anyhow::Result<Answer> {
    let rows = ctx.store.tables().sql(sql, &recipe::sql_functions(ctx)).await?;
    let columns: Vec<&str> =
        rows.first().and_then(|row| row.as_object()).into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let cell = |value: &serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => units::excerpt(text, TEXT_CHARS),
        other => other.to_string(),
    };
    let mut table = Table::new(&columns);
    for row in &rows {
        table.row(columns.iter().map(|name| cell(&row[*name])));
    }
    Ok(Answer::list(&rows, &table, "the query returned no row"))
}

/// The named version, or the loop's newest.
async fn the_version(
    ctx: &Context,
    everywhere: &Everywhere,
    named: Option<&DatasetRef>,
) -> anyhow::Result<DatasetVersion> {
    Ok(match named {
        Some(version) => ctx.store.require(&version.to_string()).await?,
        None => curate::require_newest(ctx, &ctx.the_loop(everywhere.loop_name.as_deref())?).await?,
    })
}

/// The way of a row, step by step.
fn way_of(told: &why::Told) -> String {
    let mut table = Table::new(&["step", "outcome", "text"]);
    for StepOutcome { step, outcome } in &told.steps {
        let (word, text) = match outcome {
            Outcome::Kept => ("kept".to_string(), String::new()),
            Outcome::Changed { after, .. } => ("changed".to_string(), units::excerpt(after, TEXT_CHARS)),
            Outcome::Dropped { reason, .. } => (format!("dropped: {reason}"), String::new()),
            Outcome::SeesAllRows => match told.dropped.as_ref().filter(|dropped| dropped.step == *step) {
                Some(dropped) => (format!("dropped: {}", dropped.reason), String::new()),
                None => ("kept, as it seems: the step compares rows".to_string(), String::new()),
            },
        };
        table.row([step.clone(), word, text]);
    }
    let end = match (&told.kept, &told.dropped) {
        (Some(row), _) => format!("it is in {}, in the part `{}`", told.version, row.split.as_str()),
        (None, Some(dropped)) => format!("{} left it out in step `{}`: {}", told.version, dropped.step, dropped.reason),
        (None, None) => format!("{} knows nothing of it: it came in later", told.version),
    };
    let source = &told.source;
    let whence = format!("{}, row {}: {}", source.source, source.row_index, units::excerpt(&source.text, TEXT_CHARS));
    format!("{whence}\n\n{table}\n{end}\n")
}

async fn export(
    ctx: &Context,
    version: &DatasetVersion,
    format: RowsFormat,
    split: Option<Split>,
    to: Option<&Path>,
) -> anyhow::Result<Answer> {
    let (format, ending) = match format {
        RowsFormat::Jsonl => (hand_out::Format::Jsonl, ".jsonl"),
        RowsFormat::Parquet => (hand_out::Format::Parquet, ".parquet"),
        RowsFormat::Hf => (hand_out::Format::HuggingFace, ""),
    };
    let part = split.map_or(String::new(), |split| format!("-{}", split.as_str()));
    let name = format!("{}-{}{part}{ending}", version.dataset.name, version.dataset.version);
    let path = to.map_or_else(|| ctx.store.layout().exports().join(name), Path::to_path_buf);
    let written = hand_out::hand_out(ctx, version, split, format, &path).await?;
    let rows = |(file, n): (&String, &u64)| format!("{file}: {} rows\n", units::count(*n));
    let files: String = written.files.iter().map(rows).collect();
    Ok(Answer::new(&written, format!("{}\n{files}", written.path.display())))
}

async fn import(ctx: &Context, mut it: LoopSettings, args: &ImportArgs) -> anyhow::Result<Answer> {
    args.apply(&mut it.data);
    for source in args.sources.iter().zip(&mut it.data.sources).filter(|(typed, _)| !remote::is_remote(typed)) {
        *source.1 = from_project(ctx, source.0)?;
    }
    if args.dry_run {
        return look(ctx, &it).await;
    }
    say_how(ctx, &it).await;
    let collected = match args.only_new {
        true => collect::collect_new(ctx, &it).await?,
        false => collect::collect(ctx, &it).await?,
    };
    let mut text = pairs(&[
        ("rows kept", units::count(collected.n_rows)),
        ("of these new", units::count(collected.n_new)),
        ("files read", units::count(collected.n_files)),
        ("files unchanged", units::count(collected.n_files_unchanged)),
        ("malformed, kept aside", units::count(collected.n_rejected)),
        ("of erased people, refused", units::count(collected.n_erased)),
        ("people registered", units::count(collected.n_subjects)),
    ]);
    for (reason, n) in &collected.rejected {
        text.push_str(&format!("  {}: {reason}\n", units::count(*n)));
    }
    Ok(Answer::new(&collected, text).with_talk("next: `loopwright data curate`"))
}

/// Says on stderr how each source is read, before its rows come in.
async fn say_how(ctx: &Context, it: &LoopSettings) {
    for source in it.data.sources.iter().filter(|source| traffic::route(source).is_none()) {
        // A source that cannot be looked into cannot be read either: the import says why, and ends.
        if let Ok(schema) = reading::schema(ctx, &it.data, source).await {
            ctx.say(brief(&schema));
        }
    }
}

/// A path that was typed here, as the project file would name it.
fn from_project(ctx: &Context, typed: &str) -> anyhow::Result<String> {
    if traffic::route(typed).is_some() {
        return Ok(typed.to_string());
    }
    let path = std::path::absolute(typed).with_context(|| format!("failed to find `{typed}`"))?;
    let project = std::path::absolute(&ctx.project.dir).context("failed to find the project")?;
    Ok(path.strip_prefix(&project).unwrap_or(&path).to_string_lossy().into_owned())
}

/// How each source would be read.
async fn look(ctx: &Context, it: &LoopSettings) -> anyhow::Result<Answer> {
    let mut schemas = Vec::new();
    for source in it.data.sources.iter().filter(|source| traffic::route(source).is_none()) {
        schemas.push(reading::schema(ctx, &it.data, source).await?);
    }
    let text = schemas.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Ok(Answer::new(&schemas, text).with_talk("nothing was read; leave out `--dry-run` to import"))
}

fn made(version: &DatasetVersion) -> anyhow::Result<Answer> {
    let card = &version.card;
    let text = pairs(&[
        ("version", version.dataset.to_string()),
        ("rows", units::count(version.n_rows)),
        ("labels", units::count(card.labels.len() as u64)),
        ("exact duplicates dropped", units::count(card.n_exact_duplicates)),
        ("near-duplicates dropped", units::count(card.n_near_duplicates)),
        ("suspected wrong labels dropped", units::count(card.n_label_conflicts)),
        ("personal data masked", units::count(card.pii.values().sum())),
        ("left out by opt-out", units::count(card.n_opted_out)),
        ("digest", version.digest.to_string()),
    ]);
    Ok(Answer::new(version, text).with_talk("more: `loopwright data card`, `loopwright data dropped`"))
}

async fn list(ctx: &Context, it: Option<LoopSettings>) -> anyhow::Result<Answer> {
    let mut versions: Vec<DatasetVersion> = all(&ctx.store).await?;
    versions.retain(|version| it.as_ref().is_none_or(|it| version.dataset.name == it.name));
    let row = |version: &DatasetVersion| {
        let split = |split: Split| units::count(version.card.splits.get(split.as_str()).copied().unwrap_or(0));
        [
            version.dataset.to_string(),
            units::count(version.n_rows),
            split(Split::Train),
            split(Split::Validation),
            split(Split::Test),
            units::count(version.card.n_corrections),
            units::count(version.erased.as_ref().map_or(0, |erased| erased.n_rows)),
            units::moment(version.created_at),
            version.digest.short().to_string(),
        ]
    };
    let head = ["version", ">rows", ">train", ">validation", ">test", ">corrections", ">erased", "made", "digest"];
    let table = Table::of(head, &versions, row);
    Ok(Answer::list(&versions, &table, "no dataset version yet: `loopwright run curate` makes the first"))
}

async fn show(ctx: &Context, version: &DatasetRef, split: Option<Split>, limit: usize) -> anyhow::Result<Answer> {
    let mut rows = ctx.store.tables().read_examples(version, split).await?;
    let n_rows = rows.len();
    rows.truncate(limit);
    let row = |row: &Example| {
        let text = units::excerpt(&row.text, TEXT_CHARS);
        [row.row_id.to_string(), row.split.as_str().to_string(), row.label.clone(), text]
    };
    let table = Table::of(["row", "split", "label", "text"], &rows, row);
    let answer = Answer::list(&rows, &table, "no such row: leave `--split` out to see all");
    Ok(cut(answer, rows.len(), n_rows))
}

async fn dropped(ctx: &Context, version: &DatasetRef, step: Option<&str>, limit: usize) -> anyhow::Result<Answer> {
    let mut rows = ctx.store.tables().read_dropped(version).await?;
    rows.retain(|row| step.is_none_or(|step| row.step == step));
    let n_rows = rows.len();
    rows.truncate(limit);
    let row = |row: &DroppedRow| [row.row_id.to_string(), row.step.clone(), row.reason.clone()];
    let table = Table::of(["row", "step", "reason"], &rows, row);
    let answer = Answer::list(&rows, &table, "no row was dropped so: `loopwright data card` shows the steps");
    Ok(cut(answer, rows.len(), n_rows))
}

async fn rejected(ctx: &Context, it: &LoopSettings, limit: usize) -> anyhow::Result<Answer> {
    let key = TableKey::Rejected { dataset: it.name.clone() };
    if !ctx.store.tables().exists(&key).await? {
        let nothing: [(); 0] = [];
        return Ok(Answer::list(
            &nothing,
            &Table::new(&[]),
            "nothing was collected yet: `loopwright data import` does it",
        ));
    }
    let mut rows = ctx.store.tables().read_rejected(&key).await?;
    let n_rows = rows.len();
    rows.truncate(limit);
    let table = Table::of(["source", ">line", "reason", "text"], &rows, |row| {
        [row.source.clone(), row.line.to_string(), row.reason.clone(), units::excerpt(&row.excerpt, TEXT_CHARS)]
    });
    let answer = Answer::list(&rows, &table, "every line of the sources could be read");
    Ok(cut(answer, rows.len(), n_rows))
}

/// Says when a list does not show everything.
fn cut(answer: Answer, n_shown: usize, n_rows: usize) -> Answer {
    if n_shown == n_rows {
        return answer;
    }
    let talk =
        format!("{} of {} rows: `--limit` shows more", units::count(n_shown as u64), units::count(n_rows as u64));
    answer.with_talk(talk)
}
