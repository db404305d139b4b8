//! A run as files for `train.py`, which says what each of them holds.

use crate::{
    error::{Doing, Result},
    project::TorchSettings,
};
use loopwright_train::{Job, Recipe, TrainExample};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

/// The program that takes the steps.
pub(super) const PROGRAM: &str = "train.py";
const PROGRAM_TEXT: &str = include_str!("train.py");

/// Writes a run into a folder, in place of what was there.
pub(super) fn write(folder: &Path, job: &Job, recipe: &Recipe, torch: &TorchSettings) -> Result<()> {
    let doing = || format!("failed to write the recipe `{}`", folder.display());
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).outside(doing),
        _ => {}
    }
    // Files of one name each; those of a run that ends late stay open under it.
    fs::create_dir_all(folder.join("base")).outside(doing)?;
    recipe.start.without_adapter().save(&folder.join("base")).outside(doing)?;
    if let Some(adapter) = recipe.start.adapter() {
        fs::create_dir(folder.join("start")).outside(doing)?;
        adapter.save(&folder.join("start")).outside(doing)?;
    }
    let steps = recipe.steps.iter().map(|step| {
        json!({
            "lr": step.lr, "passes": step.passes, "n_predictions": step.n_predictions, "n_tokens": step.n_tokens,
        })
    });
    lines(&folder.join("examples.jsonl"), job.examples.iter().map(row)).outside(doing)?;
    lines(&folder.join("validation.jsonl"), job.validation.iter().map(row)).outside(doing)?;
    lines(&folder.join("steps.jsonl"), steps).outside(doing)?;
    fs::write(folder.join(PROGRAM), PROGRAM_TEXT).outside(doing)?;
    let settings = settings(job, recipe, torch).outside(doing)?;
    fs::write(folder.join("settings.json"), settings.to_string()).outside(doing)
}

fn settings(job: &Job, recipe: &Recipe, torch: &TorchSettings) -> serde_json::Result<Value> {
    let mut settings = serde_json::to_value(job.settings)?;
    // A key that is at its default may be left out of a record; here each one stands.
    settings["gradient_checkpointing"] = job.settings.gradient_checkpointing.into();
    settings["plan"] = recipe.plan.as_str().into();
    settings["validation"] = serde_json::to_value(&recipe.validation)?;
    settings["device"] = serde_json::to_value(torch.device)?;
    settings["bf16"] = job.settings.bf16.into();
    Ok(settings)
}

/// Tokens, a digit for each that says whether its prediction counts, and where further texts begin.
fn row(example: &TrainExample) -> Value {
    let counts: String = example.loss_mask.iter().map(|counts| if *counts { '1' } else { '0' }).collect();
    json!({"tokens": example.tokens, "counts": counts, "starts": example.starts})
}

fn lines(path: &Path, values: impl Iterator<Item = Value>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for value in values {
        writeln!(file, "{value}")?;
    }
    file.flush()
}
