//! The commands, one family a file. A command opens the project, calls the pipeline and says how to show what came back.

mod audit;
mod augment;
mod data;
mod demo;
mod deploy;
mod doctor;
mod explain;
mod export;
mod feedback;
mod init;
mod judge;
mod keys;
mod models;
mod people;
mod prompts;
mod queue;
mod representativeness;
mod run;
mod traces;
mod train;
mod tune;
mod up;
mod watch;

use crate::{
    args::{Cli, Command, DataCommand, Everywhere},
    output::{self, Answer},
    progress::Screen,
};
use loopwright_pipeline::{
    Context,
    progress::SharedReport,
    project::{LoopSettings, Project},
    sources::ChildCommand,
    store::{self, ListQuery, Store},
};
use loopwright_types::Entity;
use std::sync::Arc;

/// How a command ended when not well.
pub enum End {
    /// It did its work, and what it asked about did not pass.
    NotPassed,
    /// It failed.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Runs what was typed and prints its answer.
pub async fn run(cli: &Cli) -> Result<(), End> {
    let everywhere = &cli.everywhere;
    let answer = match &cli.command {
        Command::Data(DataCommand::Schema { source }) => data::schema(source).await?,
        Command::Data(DataCommand::Operators) => data::operators(),
        Command::Demo(args) => demo::demo(args, everywhere).await?,
        Command::Init { dir } => init::init(dir.as_deref().unwrap_or(&everywhere.project))?,
        Command::Up(args) => up::up(args, everywhere).await?,
        Command::Doctor { port } => doctor::doctor(everywhere, *port).await?,
        Command::Audit(command) => audit::audit(everywhere, command).await?,
        command => in_project(everywhere, command).await?,
    };
    output::answer(&answer, everywhere.json);
    if answer.passed { Ok(()) } else { Err(End::NotPassed) }
}

/// The commands that do one thing to one project.
async fn in_project(everywhere: &Everywhere, command: &Command) -> anyhow::Result<Answer> {
    let ctx = open(everywhere, "cli").await?;
    let it = || ctx.the_loop(everywhere.loop_name.as_deref());
    match command {
        Command::Run { target } => run::run(&ctx, &it()?, target).await,
        Command::Data(command) => data::data(&ctx, everywhere, command).await,
        Command::Train(args) => train::train(&ctx, it()?, args).await,
        Command::Tune(args) => tune::tune(&ctx, it()?, args).await,
        Command::Model(command) => models::model(&ctx, command).await,
        Command::Eval { model } => judge::eval(&ctx, &it()?, model.as_ref()).await,
        Command::Gate { model, report } => judge::gate(&ctx, &it()?, model.as_ref(), report.as_deref()).await,
        Command::Package { model } => deploy::package(&ctx, &it()?, model.as_ref()).await,
        Command::Deploy { model, canary } => deploy::deploy(&ctx, &it()?, model.as_ref(), *canary).await,
        Command::Promote { model } => deploy::promote(&ctx, &it()?, model.as_ref()).await,
        Command::Rollback => deploy::roll_back(&ctx, &it()?).await,
        Command::Routes => deploy::routes(&ctx).await,
        Command::Models => models::models(&ctx).await,
        Command::Runs => models::runs(&ctx).await,
        Command::Traces(args) => traces::traces(&ctx, args).await,
        Command::Feedback(command) => feedback::feedback(&ctx, command).await,
        Command::Drift { list: true, .. } => watch::checks(&ctx).await,
        Command::Drift { tag, .. } => watch::drift(&ctx, &it()?, tag.as_deref()).await,
        Command::Retrain => watch::retrain(&ctx, &it()?).await,
        Command::Explain(args) => explain::explain(&ctx, &it()?, args).await,
        Command::Erase(args) => people::erase(&ctx, args).await,
        Command::Subject(command) => people::subject(&ctx, command).await,
        Command::Export { format, out } => export::export(&ctx, &it()?, *format, out.as_deref()),
        Command::Key(command) => keys::key(&ctx, command).await,
        Command::Prompt(command) => prompts::prompt(&ctx, command).await,
        Command::Jobs { limit } => queue::jobs(&ctx, *limit).await,
        Command::Work { once } => queue::work(&ctx, *once).await,
        Command::Demo(_)
        | Command::Init { .. }
        | Command::Up(_)
        | Command::Doctor { .. }
        | Command::Audit(_)
        | Command::ReadChild => {
            anyhow::bail!("this command does not open a project")
        }
    }
}

/// Opens the project of `--project`.
async fn open(everywhere: &Everywhere, actor: &'static str) -> anyhow::Result<Context> {
    let project = Project::load(&everywhere.project)?;
    Ok(Context::open(project, screen(), actor).await?.with_reading_child(reading_child()?))
}

/// Source files may be anybody's: this program parses them, in a process of its own.
fn reading_child() -> anyhow::Result<ChildCommand> {
    Ok(ChildCommand { program: std::env::current_exe()?.into(), args: vec!["read-child".into()] })
}

/// Who hears what jobs report.
fn screen() -> SharedReport {
    Arc::new(Screen::new())
}

/// Every record of a kind, newest first.
async fn all<E: Entity>(store: &Store) -> store::Result<Vec<E>> {
    store.list(&ListQuery { limit: u32::MAX, ..ListQuery::default() }).await
}

/// The loop of `--loop`, or none where it was not named and does not matter.
fn named_loop(ctx: &Context, everywhere: &Everywhere) -> anyhow::Result<Option<LoopSettings>> {
    Ok(everywhere.loop_name.as_deref().map(|name| ctx.the_loop(Some(name))).transpose()?)
}
