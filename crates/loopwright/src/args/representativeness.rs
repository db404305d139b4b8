//! What can be typed about what a dataset stands for.

use clap::Args;
use loopwright_types::{DatasetRef, ModelRef, Split};

/// `data coverage`
#[derive(Debug, Args)]
pub struct CoverageArgs {
    /// The version; the newest unless given
    #[arg(value_name = "NAME@VERSION")]
    pub version: Option<DatasetRef>,
    /// The route whose requests are looked at; the loop's unless given
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Only requests with this tag
    #[arg(long)]
    pub tag: Option<String>,
    /// Compare by this model's vectors; by words unless given
    #[arg(long, value_name = "NAME@VERSION")]
    pub model: Option<ModelRef>,
    /// Regions that rows and requests are cut into; by their number, at most 50, unless given
    #[arg(long, value_name = "N")]
    pub regions: Option<usize>,
}

/// `data diversity`
#[derive(Debug, Args)]
pub struct DiversityArgs {
    /// The version; the newest unless given
    #[arg(value_name = "NAME@VERSION")]
    pub version: Option<DatasetRef>,
    /// Only train, validation or test
    #[arg(long)]
    pub split: Option<Split>,
    /// Take this model's vectors for the Vendi score; those of words unless given
    #[arg(long, value_name = "NAME@VERSION")]
    pub model: Option<ModelRef>,
}
