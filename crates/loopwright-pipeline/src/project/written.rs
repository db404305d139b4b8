//! The project file as written: every key optional, unknown keys refused by name.
//!
//! The commented default file is the schema: a key that it does not show does not exist. So the file that `init` writes,
//! the keys that are accepted and the documentation cannot drift apart.

use crate::error::{Error, Result};
use std::{collections::BTreeMap, ops::Range, path::Path};
use toml::de::{DeTable, DeValue};

/// The commented default, compiled in; `loopwright init` writes it.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// The name of the project file.
pub const FILE_NAME: &str = "loopwright.toml";

/// Sections that are tied together by a loop's name: `[data.NAME]`, `[train.NAME]` …
pub const NAMED_SECTIONS: [&str; 7] = ["data", "train", "tune", "eval", "route", "monitor", "retrain"];

/// Sections whose tables have names of their own: `[provider.NAME]`.
pub const PROVIDER: &str = "provider";

/// Keys of `[train.*]` under the names that axolotl, TRL, PEFT and transformers have for them.
pub const TRAIN_ALIASES: [(&str, &str); 16] = [
    ("base_model", "base"),
    ("model_name_or_path", "base"),
    ("learning_rate", "lr"),
    ("num_epochs", "epochs"),
    ("num_train_epochs", "epochs"),
    ("micro_batch_size", "batch_size"),
    ("per_device_train_batch_size", "batch_size"),
    ("sequence_len", "context_tokens"),
    ("max_seq_length", "context_tokens"),
    ("max_length", "context_tokens"),
    ("lr_scheduler_type", "lr_scheduler"),
    ("save_steps", "checkpoint_every_steps"),
    ("lora_rank", "lora_r"),
    ("target_modules", "lora_targets"),
    ("lora_target_modules", "lora_targets"),
    ("adapter", "method"),
];

/// The default file as a table, with its one loop.
pub fn default_table() -> toml::Table {
    DEFAULT_FILE.parse().expect("the compiled-in default file is valid TOML, as a test shows")
}

/// Parses the text of a project file, refusing unknown sections and keys with the nearest known one.
pub fn parse(text: &str, path: &Path) -> Result<toml::Table> {
    let place = |span: Range<usize>| format!("{} line {}", path.display(), line_of(text, span.start));
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or_else(|| path.display().to_string(), &place);
        Error::user(format!("{at}: not valid TOML: {}", error.message()))
    })?;
    let known = default_table();
    for (section, value) in document.get_ref() {
        let name: &str = section.get_ref();
        if !known.contains_key(name) {
            return Err(unknown(&place(section.span()), "section", name, known.keys()));
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err(Error::user(format!("{}: `{name}` is a section: write `[{name}]`", place(section.span()))));
        };
        if NAMED_SECTIONS.contains(&name) || name == PROVIDER {
            for (loop_name, inner) in table {
                let DeValue::Table(inner) = inner.get_ref() else {
                    let key = loop_name.get_ref();
                    let of = if name == PROVIDER { "provider" } else { "loop" };
                    return Err(Error::user(format!("{}: `{key}` stands outside of a {of}", place(loop_name.span())))
                        .hint(format!("write `[{name}.NAME]` above it, with the name of your {of}")));
                };
                check_keys(inner, &named_section(&known, name), aliases(name), &place)?;
            }
        } else {
            check_keys(table, known[name].as_table().expect("sections of the default are tables"), &[], &place)?;
        }
    }
    let mut table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| Error::user(format!("{}: {}", path.display(), error.message())))?;
    for section in NAMED_SECTIONS {
        let loops = table.get_mut(section).and_then(toml::Value::as_table_mut);
        for inner in loops.into_iter().flat_map(|loops| loops.iter_mut()).filter_map(|(_, it)| it.as_table_mut()) {
            own_names(inner, aliases(section));
        }
    }
    Ok(table)
}

/// Other names of the keys of `[train.*]`.
pub fn train_aliases() -> &'static [(&'static str, &'static str)] {
    &TRAIN_ALIASES
}

/// Other names of a section's keys.
fn aliases(section: &str) -> &'static [(&'static str, &'static str)] {
    if section == "train" { &TRAIN_ALIASES } else { &[] }
}

/// Keys under other names come under their own.
pub fn own_names(table: &mut toml::Table, aliases: &[(&str, &str)]) {
    for (alias, own) in aliases {
        if let Some(value) = table.remove(*alias) {
            table.insert((*own).to_string(), value);
        }
    }
}

/// The keys of `[SECTION.*]`, with their defaults.
pub fn named_section(defaults: &toml::Table, section: &str) -> toml::Table {
    let loops = defaults[section].as_table().expect("sections of the default are tables");
    let first = loops.values().next().expect("the default shows one loop");
    first.as_table().expect("a loop's section is a table").clone()
}

fn check_keys(
    table: &DeTable<'_>,
    known: &toml::Table,
    aliases: &[(&str, &str)],
    place: &dyn Fn(Range<usize>) -> String,
) -> Result<()> {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    for key in table.keys() {
        let name: &str = key.get_ref();
        let own = aliases.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own);
        if !known.contains_key(own) {
            return Err(unknown(&place(key.span()), "key", name, known.keys()));
        }
        if let Some(other) = said.insert(own, name) {
            let at = place(key.span());
            return Err(
                Error::user(format!("{at}: `{name}` and `{other}` are the same key")).hint("leave one of them out")
            );
        }
    }
    Ok(())
}

fn unknown<'a>(place: &str, what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let mut nearest: BTreeMap<usize, &str> = BTreeMap::new();
    let mut all = Vec::new();
    for candidate in known {
        nearest.entry(strsim::damerau_levenshtein(name, candidate)).or_insert(candidate);
        all.push(candidate.as_str());
    }
    let error = Error::user(format!("{place}: unknown {what} `{name}`"));
    match nearest.first_key_value() {
        Some((distance, near)) if *distance <= near.len().max(name.len()) / 2 => {
            error.hint(format!("did you mean `{near}`?"))
        }
        _ => error.hint(format!("known here: {}", all.join(", "))),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, String) {
        let error = parse(text, Path::new("loopwright.toml")).unwrap_err();
        (error.to_string(), error.hint_text().unwrap_or_default().to_string())
    }

    #[test]
    fn the_default_file_is_accepted() {
        assert!(parse(DEFAULT_FILE, Path::new("x")).is_ok());
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let (message, hint) = refused("[project]\nname = \"a\"\nseeed = 3\n");
        assert_eq!(message, "loopwright.toml line 3: unknown key `seeed`");
        assert_eq!(hint, "did you mean `seed`?");
        assert_eq!(refused("[trian.support]\n").1, "did you mean `train`?");
        assert_eq!(refused("\n[train.mine]\nlora_ranks = 4\n").0, "loopwright.toml line 3: unknown key `lora_ranks`");
        assert!(refused("[project]\nxyzzyxyzzy = 1\n").1.starts_with("known here: "));
        assert!(refused("[data]\nsources = []\n").0.contains("outside of a loop"));
        let twice = refused("[train.mine]\nlr = 1e-3\nlearning_rate = 1e-4\n");
        assert_eq!(twice.0, "loopwright.toml line 2: `lr` and `learning_rate` are the same key");
        assert!(refused("[project\n").0.starts_with("loopwright.toml line 1: not valid TOML"));
    }
}
