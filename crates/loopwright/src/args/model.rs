//! What can be typed about models.

use clap::{Args, Subcommand};
use loopwright_types::ModelRef;
use std::path::PathBuf;

/// `model …`
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Take over a folder in the layout of Hugging Face: a model, or an adapter of PEFT
    Import(ModelImportArgs),
    /// Show what a version is
    Show {
        /// The version
        #[arg(value_name = "NAME@VERSION")]
        model: ModelRef,
    },
    /// Write a version's files for other tools
    Export {
        /// The version
        #[arg(value_name = "NAME@VERSION")]
        model: ModelRef,
        /// Where to; under `exports/` unless given
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
        /// Work the adapter into its base's weights and write a whole model
        #[arg(long)]
        merged: bool,
    },
}

/// `model import`
#[derive(Debug, Args)]
pub struct ModelImportArgs {
    /// The folder: config.json, model.safetensors (or shards with their index), tokenizer.json. Or a GGUF file beside its
    /// tokenizer.json
    pub dir: PathBuf,
    /// Keep the weights in this form; as they are unless given
    #[arg(long, value_name = "FORM", value_parser = ["f32", "bf16", "q8_0", "q4_k"])]
    pub weights: Option<String>,
    /// The version's name; the folder's unless given
    #[arg(long)]
    pub name: Option<String>,
    /// The imported base that an adapter belongs to
    #[arg(long, value_name = "NAME@VERSION")]
    pub base: Option<ModelRef>,
    /// Its licence; what the folder's README.md says unless given
    #[arg(long)]
    pub licence: Option<String>,
}
