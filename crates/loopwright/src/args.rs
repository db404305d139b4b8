//! What can be typed. The texts here are the help; nothing is resolved or checked against a project yet.

mod augment;
mod import;
mod key;
mod model;
mod prompt;
mod representativeness;
mod train;

pub use augment::{AugmentArgs, RobustnessArgs};
pub use import::ImportArgs;
pub use key::{KeyCommand, KeyRuleArgs};
pub use model::{ModelCommand, ModelImportArgs};
pub use prompt::PromptCommand;
pub use representativeness::{CoverageArgs, DiversityArgs};
pub use train::{TrainArgs, TrainBackend, TrainCommand, TuneArgs};

use clap::{Args, Parser, Subcommand, ValueEnum};
use loopwright_types::{
    DatasetRef, ModelRef, Split,
    id::{RowId, TraceId},
};
use std::path::PathBuf;

/// Keeps language models good: collects and curates data, trains, judges, ships, watches, takes feedback, and turns
/// the loop again.
///
/// A newcomer types `loopwright demo`.
#[derive(Debug, Parser)]
#[command(name = "loopwright", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub everywhere: Everywhere,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Everywhere {
    /// The project: a folder with a `loopwright.toml`
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// The loop, where the project has several
    #[arg(long = "loop", global = true, value_name = "NAME")]
    pub loop_name: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole life of a model on an example project
    Demo(DemoArgs),
    /// Make a project: the commented project file, a CI workflow that calls the gate
    Init {
        /// Where; the folder of `--project` unless given
        dir: Option<PathBuf>,
    },
    /// Serve a project: API, pages, background work
    Up(UpArgs),
    /// Bring a stage and all that it needs up to date
    Run {
        /// collect, curate, train, judge, gate, package or deploy
        #[arg(default_value = "deploy")]
        target: String,
    },
    /// Datasets: collect, curate, look
    #[command(subcommand)]
    Data(DataCommand),
    /// Train the base, and its adapter, classifier or embedding model, on the newest dataset version
    Train(TrainArgs),
    /// Search for the best training settings, trial by trial
    Tune(TuneArgs),
    /// Models from elsewhere, and models for elsewhere
    #[command(subcommand)]
    Model(ModelCommand),
    /// Judge a model on held-out rows, beside honest baselines
    Eval {
        /// The version; the newest adapter unless given
        #[arg(long, value_name = "NAME@VERSION")]
        model: Option<ModelRef>,
    },
    /// Judge a model and let the gate decide: exit code 0 passes, 1 does not
    Gate {
        /// The version; the newest adapter unless given
        #[arg(long, value_name = "NAME@VERSION")]
        model: Option<ModelRef>,
        /// Where the Markdown report goes; under `exports/` unless given
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Pack a model as a signed OCI image layout
    Package {
        /// The version; the newest adapter unless given
        #[arg(value_name = "NAME@VERSION")]
        model: Option<ModelRef>,
    },
    /// Put a model that passed its gate behind the loop's route
    Deploy {
        /// The version; the newest adapter unless given
        #[arg(value_name = "NAME@VERSION")]
        model: Option<ModelRef>,
        /// With a share of the traffic, beside the live version
        #[arg(long)]
        canary: bool,
    },
    /// Make a version live by your own decision
    Promote {
        /// The version; the running canary unless given
        #[arg(value_name = "NAME@VERSION")]
        model: Option<ModelRef>,
    },
    /// End a canary, or go back to the version that was live before
    Rollback,
    /// List routes with what answers them
    Routes,
    /// List model versions
    Models,
    /// List training runs
    Runs,
    /// List answered requests
    Traces(TracesArgs),
    /// What people said of answers
    #[command(subcommand)]
    Feedback(FeedbackCommand),
    /// Compare recent inputs with the rows that the live model was watched on
    Drift {
        /// Only inputs with this tag
        #[arg(long)]
        tag: Option<String>,
        /// List the checks made so far instead
        #[arg(long, conflicts_with = "tag")]
        list: bool,
    },
    /// Turn the loop now: corrections in, a new adapter, the gate, a canary
    Retrain,
    /// Explain an answer
    Explain(ExplainArgs),
    /// Erase a person from everything held, with a receipt
    Erase(EraseArgs),
    /// What a person may ask for
    #[command(subcommand)]
    Subject(SubjectCommand),
    /// The event log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Write the loop's pipeline for another orchestrator
    Export {
        /// Which orchestrator
        format: ExportFormat,
        /// Where to; under `exports/` unless given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Prompt templates: versions and labels
    #[command(subcommand)]
    Prompt(PromptCommand),
    /// List queued work
    Jobs {
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Do queued work
    Work {
        /// End when no job waits
        #[arg(long)]
        once: bool,
    },
    /// The reading child: parses what cannot be trusted within limits
    #[command(hide = true)]
    ReadChild,
    /// Check the project, part by part
    Doctor {
        /// The port to look at instead of the project file's
        #[arg(long)]
        port: Option<u16>,
    },
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the example project goes; a demo that was begun there goes on
    #[arg(long, default_value = "./loopwright-demo")]
    pub dir: PathBuf,
    /// End after the loop instead of leaving the server up
    #[arg(long)]
    pub once: bool,
    /// How much of it
    #[arg(long, value_enum, default_value_t = DemoSize::Full)]
    pub size: DemoSize,
    /// Use your own messages: a folder with `train.csv` and `test.csv`, each with a text and a label column
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Seed of everything random
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// The port to listen on instead of the project file's; 0 takes any free one
    #[arg(long)]
    pub port: Option<u16>,
}

/// How large a demo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoSize {
    /// A few thousand messages
    Full,
    /// About a thousand messages and a smaller model
    Small,
}

/// `up`
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The port to listen on instead of the project file's; 0 takes any free one
    #[arg(long)]
    pub port: Option<u16>,
    /// Leave queued jobs to `loopwright work`
    #[arg(long)]
    pub no_work: bool,
}

/// `data …`
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read the sources into raw rows; says first what each column is read as
    Import(ImportArgs),
    /// Curate the raw rows into a dataset version
    Curate {
        /// Memory that the process may ever have, e.g. `512MB` or `2GiB`; the project file's unless given
        #[arg(long, value_name = "SIZE", value_parser = size)]
        memory: Option<u64>,
    },
    /// Show what each step does to a source row, and whether and why a version left it out
    Why {
        /// The row's id, e.g. `month-1.csv-17`
        row: RowId,
        /// The version; the newest unless given
        #[arg(value_name = "NAME@VERSION")]
        version: Option<DatasetRef>,
    },
    /// Write a version's rows for other tools
    Export {
        /// The version; the newest unless given
        #[arg(value_name = "NAME@VERSION")]
        version: Option<DatasetRef>,
        /// How
        #[arg(long, value_enum, default_value_t = RowsFormat::Jsonl)]
        format: RowsFormat,
        /// Only train, validation or test
        #[arg(long)]
        split: Option<Split>,
        /// Where to; under `exports/` unless given
        #[arg(long, value_name = "PATH")]
        to: Option<PathBuf>,
    },
    /// Put back the values that stand-ins stand for, in a text or in what comes in
    Restore {
        /// The text; read from stdin unless given
        text: Option<String>,
    },
    /// List dataset versions
    List,
    /// Show rows of a version
    Show {
        /// The version; the newest unless given
        #[arg(value_name = "NAME@VERSION")]
        version: Option<DatasetRef>,
        /// Only train, validation or test
        #[arg(long)]
        split: Option<Split>,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show a version's data card
    Card {
        /// The version; the newest unless given
        #[arg(value_name = "NAME@VERSION")]
        version: Option<DatasetRef>,
    },
    /// Show the rows that a version left out, with the reasons
    Dropped {
        /// The version; the newest unless given
        #[arg(value_name = "NAME@VERSION")]
        version: Option<DatasetRef>,
        /// Only those dropped by this step
        #[arg(long)]
        step: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show the source lines that could not be read, with the reasons
    Rejected {
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show what changed between two versions: rows added, removed and changed, with the reasons
    Diff {
        /// The earlier version
        #[arg(value_name = "NAME@VERSION")]
        before: DatasetRef,
        /// The later version; the newest unless given
        #[arg(value_name = "NAME@VERSION")]
        after: Option<DatasetRef>,
    },
    /// Make the next version: a version's rows, and new train rows made of them
    Augment(AugmentArgs),
    /// Measure what noisy new rows do to the accuracy on clean and on noisy test rows, with a classifier that learns in
    /// seconds
    Robustness(RobustnessArgs),
    /// Compare a version with the traffic: what is asked for and hardly learned, and the other way round
    Coverage(CoverageArgs),
    /// Measure how different the rows of a version are from each other, in all and by label
    Diversity(DiversityArgs),
    /// Print the folder of a version's Delta table, which pandas, polars, DuckDB and Spark read
    Path {
        /// The version; the newest unless given
        #[arg(value_name = "NAME@VERSION")]
        version: Option<DatasetRef>,
    },
    /// List the steps that a recipe may have, with their sources
    Operators,
    /// Ask any table in SQL, e.g. `SELECT label, count(*) FROM examples_support_1 GROUP BY label`
    Query {
        /// The query; it can only read
        sql: String,
    },
    /// Show what a file, folder or pattern holds: format, shape, columns, and how they would be read
    Schema {
        /// Any file: CSV, JSON lines, Parquet, Arrow, text, Markdown, HTML, packed or in an archive
        source: String,
    },
}

/// How rows are written for other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowsFormat {
    /// JSON, a row a line
    Jsonl,
    /// One Parquet file
    Parquet,
    /// A folder as Hugging Face's `datasets` reads it
    Hf,
}

/// A size in bytes: `512MB`, `2GiB`, `1000000`.
fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').count();
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        other => return Err(format!("`{other}` is no unit of size: use MB, GB, MiB or GiB")),
    };
    let number: f64 = text[..digits].parse().map_err(|_| format!("`{text}` is no size, such as `512MB`"))?;
    Ok((number * unit) as u64)
}

/// `traces`
#[derive(Debug, Args)]
pub struct TracesArgs {
    /// Only with this tag
    #[arg(long)]
    pub tag: Option<String>,
    /// Only with this text in the message or the answer
    #[arg(long)]
    pub text: Option<String>,
    /// How many, newest first
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// `feedback …`
#[derive(Debug, Subcommand)]
pub enum FeedbackCommand {
    /// List feedback in the order it came
    List {
        /// Only on traces with this tag
        #[arg(long)]
        tag: Option<String>,
        /// Only where the right label is given
        #[arg(long)]
        corrections: bool,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
}

/// `explain`
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ExplainArgs {
    /// The trace of the answer (`loopwright traces` lists them)
    #[arg(value_name = "TRACE", value_parser = trace_id)]
    pub trace: Option<TraceId>,
    /// A message: explain what the live version answers to it
    #[arg(long)]
    pub text: Option<String>,
}

/// `erase`
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct EraseArgs {
    /// The person, by the name that your organisation uses, e.g. `C-0001`
    #[arg(value_name = "PERSON")]
    pub person: Option<String>,
    /// List erasures with their receipts
    #[arg(long)]
    pub list: bool,
}

/// `subject …`
#[derive(Debug, Subcommand)]
pub enum SubjectCommand {
    /// Write everything held on a person as one JSON file
    Export {
        /// The person, by the name that your organisation uses
        person: String,
    },
    /// Leave a person's rows out of every later dataset version
    OptOut {
        /// The person, by the name that your organisation uses
        person: String,
    },
    /// Let a person's rows in again
    OptIn {
        /// The person, by the name that your organisation uses
        person: String,
    },
}

/// `audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check the event log from its first link to its last: exit code 1 if it is broken
    Verify {
        /// Check a file that `audit export` wrote instead of the project's log
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// List the newest events
    List {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Write the whole event log as JSON lines
    Export {
        /// Where to
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// `export …`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Kubeflow Pipelines IR (YAML)
    Kubeflow,
    /// An Airflow 3 DAG (Python)
    Airflow,
}

fn trace_id(text: &str) -> Result<TraceId, String> {
    if text.trim().is_empty() { Err("a trace has an id".into()) } else { Ok(TraceId::new(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_table_of_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_arguments_go_anywhere() {
        let cli =
            Cli::try_parse_from(["loopwright", "data", "import", "--loop", "a", "--project", "p", "--json"]).unwrap();
        assert_eq!(cli.everywhere.loop_name.as_deref(), Some("a"));
        assert_eq!(cli.everywhere.project, PathBuf::from("p"));
        assert!(cli.everywhere.json);
    }

    #[test]
    fn one_of_two_ways_to_name_what_is_explained() {
        let parses = |argv: &[&str]| Cli::try_parse_from([&["loopwright"], argv].concat()).is_ok();
        assert!(parses(&["explain", "tr_1"]));
        assert!(parses(&["explain", "--text", "hello"]));
        assert!(!parses(&["explain"]));
        assert!(!parses(&["explain", "tr_1", "--text", "hello"]));
        assert!(!parses(&["erase"]));
        assert!(!parses(&["deploy", "support"]));
    }

    /// What the exports run must be what the command line takes.
    #[test]
    fn every_stage_of_the_graph_can_be_typed() {
        for node in loopwright_pipeline::graph::NODES {
            let argv = [&["loopwright"], node.argv, &["--loop", "a", "--project", "/p"]].concat();
            assert!(Cli::try_parse_from(argv).is_ok(), "{}", node.name);
        }
    }
}
