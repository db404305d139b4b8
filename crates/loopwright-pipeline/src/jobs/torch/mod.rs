//! Training with PyTorch and PEFT: the same recipe, other hands.
//!
//! [`folder`] writes a run down as files: its batches in their order, the rate of each step, the base and the adapter that
//! it starts from. [`process`] starts `train.py` on them under torchrun, in one process or in several, and hears how far it
//! is. The checkpoints that it leaves are in the format of `loopwright-train`, whose [`loopwright_train::reached`] makes a
//! model of the last one; from there on nobody sees who took the steps. [`environment`] looks at the Python beforehand.

mod environment;
mod folder;
mod process;

pub use environment::{Environment, INSTALL, look, python};

use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::TorchSettings,
};
use environment::SAFE_PATH;
use loopwright_train::{Job, Progress, Trained, reached, recipe};
use process::{Event, Launch};
use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

/// The folder of the recipe, beside the checkpoints of its run.
const FOLDER: &str = "recipe";

/// What took the steps: versions, device, processes. Kept with the run.
pub(super) type Facts = BTreeMap<String, String>;

/// Takes a run's steps with PyTorch, or those that are left, until its end or until the observer breaks.
///
/// Blocks. If this process ends meanwhile, those of PyTorch write a checkpoint after the step that they are at, and end, too.
pub(super) fn train(
    ctx: &Context,
    torch: &TorchSettings,
    job: &Job,
    mut observer: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(Trained, Facts)> {
    let checkpoints = job.checkpoints.ok_or_else(|| Error::bug("a run in PyTorch keeps checkpoints"))?;
    let folder = checkpoints.join(FOLDER);
    let recipe = recipe(job).doing(|| "training failed".into())?;
    folder::write(&folder, job, &recipe, torch)?;
    let python = python(ctx, torch);
    let launch = Launch { python: &python, folder: &folder, torch };
    if job.settings.lora.dropout > 0.0 && recipe.start.adapter().is_some() {
        ctx.say(
            "dropout: PyTorch draws other masks than this program would, and other ones for other numbers of processes",
        );
    }
    invite_other_machines(ctx, &launch);
    let n_steps = recipe.steps.len() as u64;
    drop(recipe);
    let (mut last, mut facts, mut given_up) = (None, Facts::new(), false);
    let ended = process::follow(&launch, |event| match event {
        Event::Begin { n_processes, device, versions, .. } => {
            facts = facts_of(n_processes, &device, versions);
            ControlFlow::Continue(())
        }
        Event::Step { step, loss, lr, gradient_norm, tokens_per_s, validation_loss } if !given_up => {
            let progress = Progress {
                step,
                n_steps,
                loss,
                preference: None,
                lr,
                gradient_norm,
                tokens_per_s,
                validation_loss,
                validation_metrics: Vec::new(),
                samples: Vec::new(),
            };
            last = Some(progress.clone());
            let end = observer(&progress);
            given_up = end.is_break() && step < n_steps;
            end
        }
        _ => ControlFlow::Continue(()),
    });
    // The rows need not lie about: who goes on from a checkpoint writes them down again.
    std::fs::remove_dir_all(&folder).outside(|| format!("failed to remove the recipe `{}`", folder.display()))?;
    ended?;
    let trained = reached(job).doing(|| "failed to take over what PyTorch trained".into())?;
    if !trained.finished && !given_up {
        let message = format!("PyTorch ended well at step {} of {n_steps}", trained.step);
        return Err(Error::outside(message).hint("the same command goes on from there"));
    }
    let validation_loss = trained.validation_loss.or_else(|| last.as_ref().and_then(|last| last.validation_loss));
    Ok((Trained { last, validation_loss, finished: trained.finished && !given_up, ..trained }, facts))
}

fn facts_of(n_processes: u64, device: &str, versions: BTreeMap<String, String>) -> Facts {
    let own = [("device", device.to_string()), ("processes", n_processes.to_string())];
    own.into_iter().map(|(name, value)| (name.to_string(), value)).chain(versions).collect()
}

/// What has to be typed on the other machines, if there are any.
fn invite_other_machines(ctx: &Context, launch: &Launch) {
    for node in 1..launch.torch.nnodes {
        let words: Vec<String> = launch.words(node).iter().map(|word| quoted(&word.to_string_lossy())).collect();
        let line = format!("{} {}", quoted(&launch.python.to_string_lossy()), words.join(" "));
        ctx.say(format!("on machine {} of {}, with this folder in reach: {line}", node + 1, launch.torch.nnodes));
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A path that can be handed to a process which may start in another folder.
fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests;
