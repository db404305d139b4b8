//! `init`: a new project.

use crate::output::Answer;
use loopwright_pipeline::project;
use std::path::Path;

pub fn init(dir: &Path) -> anyhow::Result<Answer> {
    let written = project::init(dir)?;
    let files: String = written.iter().map(|path| format!("{}\n", path.display())).collect();
    let talk = format!(
        "a project is in `{0}`: put your messages into `{0}/sources/`, name them in `loopwright.toml`, then run \
         `loopwright run --project {0}`",
        dir.display()
    );
    Ok(Answer::new(serde_json::json!({ "project": dir, "written": written }), files).with_talk(talk))
}
