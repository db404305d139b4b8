//! What can be typed about prompt templates.

use clap::Subcommand;
use std::path::PathBuf;

/// `prompt …`
#[derive(Debug, Subcommand)]
pub enum PromptCommand {
    /// Write a template as the next version of a prompt; versions are never changed
    Save {
        /// The prompt's name
        name: String,
        /// The file with the template (Jinja)
        file: PathBuf,
        /// Labels that mean this version from now on, such as `production`; may be repeated
        #[arg(long, value_name = "LABEL")]
        label: Vec<String>,
    },
    /// List prompts with their labels
    List,
    /// Show a prompt's template
    Show {
        /// The prompt's name
        name: String,
        /// Which version; the newest without this
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Move a label to a version; a running server follows at once
    Label {
        /// The prompt's name
        name: String,
        /// The label
        label: String,
        /// The version that it means from now on
        version: u32,
    },
}
