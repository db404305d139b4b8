//! What can be typed about new rows, and about what a dataset stands for.

use clap::Args;
use loopwright_types::DatasetRef;

/// `data augment`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("generator").required(true).multiple(true).args(["noise", "slots", "synthetic"]))]
pub struct AugmentArgs {
    /// The version whose rows are taken over; the newest unless given
    #[arg(value_name = "NAME@VERSION")]
    pub version: Option<DatasetRef>,
    /// Noisy copies: wrong keys, missing and doubled letters, case, spaces; at FACTOR times the usual rates
    #[arg(long, value_name = "FACTOR", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    pub noise: Option<f64>,
    /// Copies in which numbers, names and quoted words are swapped with those of other rows of the label
    #[arg(long)]
    pub slots: bool,
    /// So many rows that a model writes: each says in other words what a train row says
    #[arg(long, value_name = "N")]
    pub synthetic: Option<usize>,
    /// The model is this route of the project's own server, which must be up
    #[arg(long, value_name = "NAME", requires = "synthetic", conflicts_with_all = ["base_url", "model"])]
    pub route: Option<String>,
    /// The model is behind this OpenAI-compatible endpoint, http only; `OPENAI_BASE_URL` unless given. A key is read from
    /// `OPENAI_API_KEY`
    #[arg(long, value_name = "URL", requires = "synthetic")]
    pub base_url: Option<String>,
    /// The model's name at the endpoint
    #[arg(long, value_name = "NAME", requires = "synthetic")]
    pub model: Option<String>,
    /// Share of the train rows that copies are made of
    #[arg(long, default_value_t = 0.3)]
    pub share: f64,
    /// Copies of each of these rows
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub copies: usize,
}

/// `data robustness`
#[derive(Debug, Args)]
pub struct RobustnessArgs {
    /// The version; the newest unless given
    #[arg(value_name = "NAME@VERSION")]
    pub version: Option<DatasetRef>,
    /// Noise at FACTOR times the usual rates
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub noise: f64,
    /// Noisy copies of each train row, where the version holds no augmented rows
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub copies: usize,
}
