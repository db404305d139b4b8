//! What can be typed about where rows come from.

use clap::Args;
use loopwright_pipeline::{
    project::DataSettings,
    sources::{Shape, TextUnit},
};

/// `data import`: every flag stands for the key of `[data.*]` of the same name.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Sources to read in the place of the project file's: files, folders, patterns, or addresses such as
    /// `s3://bucket/rows/*.jsonl`, `https://host/rows.csv` and `postgres://user@host/database#SELECT …`
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Read only files that are new or have changed since the last import, and keep all other rows
    #[arg(long)]
    pub only_new: bool,
    /// Show how each source would be read, and read none
    #[arg(long)]
    pub dry_run: bool,
    /// Column of the text
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub text: Option<String>,
    /// Column of the label
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub label: Option<String>,
    /// Column of the row's id
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub id: Option<String>,
    /// Column of the person whose words they are
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub subject: Option<String>,
    /// Column of the group attribute
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub group: Option<String>,
    /// Column of the time
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub at: Option<String>,
    /// Column of the row's licence
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub licence: Option<String>,
    /// Column of the row's tags
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub tags: Option<String>,
    /// Licence of rows that do not bring their own
    #[arg(long, value_name = "LICENCE", help_heading = "Mapping")]
    pub rows_licence: Option<String>,
    /// Tag of every row; may be given several times
    #[arg(long, value_name = "TAG", help_heading = "Mapping")]
    pub rows_tags: Vec<String>,
    /// Shape of rows: flat, text_only, chat, share_gpt, instruction, preference; recognised unless given
    #[arg(long, value_parser = word::<Shape>, help_heading = "Mapping")]
    pub shape: Option<Shape>,
    /// What a row of plain text is: document, line, paragraph
    #[arg(long, value_parser = word::<TextUnit>, help_heading = "Mapping")]
    pub text_unit: Option<TextUnit>,
}

/// A word of the project file.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|error| error.to_string())
}

impl ImportArgs {
    /// The loop's settings with what was typed in the place of what the project file says.
    pub fn apply(&self, data: &mut DataSettings) {
        if !self.sources.is_empty() {
            data.sources.clone_from(&self.sources);
        }
        for (typed, key) in [
            (&self.text, &mut data.text),
            (&self.label, &mut data.label),
            (&self.id, &mut data.id),
            (&self.subject, &mut data.subject),
            (&self.group, &mut data.group),
            (&self.at, &mut data.at),
            (&self.licence, &mut data.licence),
            (&self.tags, &mut data.tags),
            (&self.rows_licence, &mut data.rows_licence),
        ] {
            if let Some(typed) = typed {
                key.clone_from(typed);
            }
        }
        if !self.rows_tags.is_empty() {
            data.rows_tags.clone_from(&self.rows_tags);
        }
        data.shape = self.shape.or(data.shape);
        data.text_unit = self.text_unit.unwrap_or(data.text_unit);
    }
}
