//! What can be typed about training and searching.

use clap::{Args, Subcommand, ValueEnum};
use loopwright_types::id::RunId;
use std::path::PathBuf;

/// `train`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TrainArgs {
    /// What else to do with trainings
    #[command(subcommand)]
    pub command: Option<TrainCommand>,
    /// Only the base
    #[arg(long)]
    pub base_only: bool,
    /// Say how long it will take and how much memory it needs, and do not train
    #[arg(long)]
    pub plan: bool,
    /// Who takes the steps of the fine-tuning; the project file's unless given
    #[arg(long, value_enum)]
    pub backend: Option<TrainBackend>,
    /// Take the settings from an axolotl configuration, over those of the project file
    #[arg(long, value_name = "FILE")]
    pub from_axolotl: Option<PathBuf>,
}

/// Who takes the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrainBackend {
    /// This program, on the processor
    Native,
    /// PyTorch and PEFT under torchrun, in one process or in several, as `torch` in [train.*] says
    Torch,
}

/// `train …`
#[derive(Debug, Subcommand)]
pub enum TrainCommand {
    /// Train a finished run once more and compare every byte: exit code 0 if they are the same
    Verify {
        /// The run
        run: RunId,
    },
}

/// `tune`
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// Trials in all; the project file's unless given
    #[arg(long)]
    pub trials: Option<usize>,
    /// Trials at a time; the project file's unless given
    #[arg(long)]
    pub parallel: Option<usize>,
    /// The study's name; the project file's unless given
    #[arg(long)]
    pub study: Option<String>,
    /// Show the study as it stands, and run no trial
    #[arg(long)]
    pub show: bool,
}
