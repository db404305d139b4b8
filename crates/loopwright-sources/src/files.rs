//! The files of a source, always in the same order.
//!
//! A location is a file, a pattern or a folder. Of a folder we read the files whose names claim a format, at any depth,
//! sorted by path: if there are tables of rows (JSON, CSV, Parquet, Arrow) only those, else the documents (text, Markdown,
//! pages, YAML). Names that begin with `.` or `_`, and what usually describes a dataset (`README`, `LICENSE`,
//! `dataset_info.json`, …) are passed over. Links to files are followed, links to folders are not, so there is no way
//! around in a circle.

use super::{
    failure::{AtPlace, Failure, Place},
    format::{self, Format},
    hub,
    limits::Limits,
    spec::Spec,
};
use crate::error::Kind;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Files that tell about a dataset, by the start of their names.
const ABOUT: [&str; 10] = [
    "readme",
    "license",
    "licence",
    "changelog",
    "citation",
    "source.txt",
    "dataset_info",
    "dataset_dict.json",
    "state.json",
    "requirements.txt",
];

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Its name in the source: `reviews/data/train-00000-of-00002.parquet`.
    pub(super) name: String,
    pub(super) split: Option<String>,
    pub(super) licence: Option<String>,
}

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name in the source, as rows carry it.
    pub name: String,
}

/// The files of a source in the order in which they are read, those to be passed over left out.
pub fn files(spec: &Spec, limits: &Limits) -> crate::Result<Vec<SourceFile>> {
    let found = list(spec, limits)?.into_iter();
    Ok(found.map(|Found { path, name, .. }| SourceFile { path, name }).collect())
}

/// Of paths below a folder elsewhere, those that a folder's reader would take, in order: files of data that the pattern
/// lets through, and tables alone where there are any.
pub fn choose(mut paths: Vec<String>, spec: &Spec) -> Vec<String> {
    paths.retain(|path| is_data_name(path, spec.format.is_some()) && is_chosen(path, spec));
    paths.sort();
    tables_first(paths, spec)
}

/// The files of a source. None at all is an error that says where we looked.
pub(super) fn list(spec: &Spec, limits: &Limits) -> Result<Vec<Found>, Failure> {
    let location = Path::new(&spec.location);
    let mut found = if location.is_dir() {
        folder(location, spec, limits)?
    } else if location.exists() {
        vec![single(location, spec)?]
    } else if spec.location.contains(['*', '?', '[']) {
        pattern(spec, limits)?
    } else {
        let hint = "check the path for a typing error; a pattern may hold `*`, `**`, `?` and `[a-z]`";
        return Err(Failure::new(
            Kind::Unreadable,
            Place::file(&spec.location),
            "there is no such file or folder",
            hint,
        ));
    };
    if let Some(split) = &spec.split {
        only_split(&mut found, split, spec)?;
    }
    found.retain(|file| !spec.skip.contains(&file.name));
    Ok(found)
}

/// The source's name: as given, or the location's last part.
pub(super) fn source_name(spec: &Spec) -> String {
    let last = Path::new(&spec.location).file_name().map(|name| name.to_string_lossy().into_owned());
    spec.name.clone().or(last).unwrap_or_else(|| spec.location.clone())
}

/// Whether a path names a file of data.
pub(super) fn is_data_name(path: &str, any_ending: bool) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with(['.', '_']));
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let is_about = ABOUT.iter().any(|about| name.starts_with(about));
    !hidden && !is_about && (any_ending || format::claimed_by(&name).is_some())
}

/// Whether the settings' pattern lets a path inside the source through.
pub(super) fn is_chosen(path: &str, spec: &Spec) -> bool {
    spec.only.as_deref().is_none_or(|only| matches(only, path))
}

/// Whether a path matches a pattern; `*` stays inside a folder, `**` does not.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_with(path, options))
}

fn single(path: &Path, spec: &Spec) -> Result<Found, Failure> {
    let name = source_name(spec);
    let kind = fs::metadata(path).at(|| Place::file(&name))?;
    if !kind.is_file() {
        let hint = "name a file or a folder; a stream is given to `open_reader`";
        return Err(Failure::new(Kind::Unreadable, Place::file(&name), "it is a device, a pipe or a socket", hint));
    }
    let split = hub::split_of(&path.file_name().unwrap_or_default().to_string_lossy());
    Ok(Found { path: path.to_path_buf(), name, split, licence: spec.licence.clone() })
}

fn pattern(spec: &Spec, limits: &Limits) -> Result<Vec<Found>, Failure> {
    let place = || Place::file(&spec.location);
    let bad =
        |error: &dyn std::fmt::Display| Failure::new(Kind::Unreadable, place(), error.to_string(), "mend the pattern");
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(&spec.location, options).map_err(|error| bad(&error))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| bad(&error))?;
        if path.is_file() {
            count(found.len(), place(), limits)?;
            let name = spec.name.as_ref().map_or_else(|| shown(&path), |name| format!("{name}/{}", shown(&path)));
            let split = hub::split_of(&shown(&path));
            found.push(Found { path, name, split, licence: spec.licence.clone() });
        }
    }
    if found.is_empty() {
        return Err(Failure::new(
            Kind::Unreadable,
            place(),
            "no file matches the pattern",
            "check it for a typing error",
        ));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A path as a name: without the root, so that records do not tell where a machine keeps its files.
fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

fn folder(root: &Path, spec: &Spec, limits: &Limits) -> Result<Vec<Found>, Failure> {
    let source = source_name(spec);
    let mut paths = Vec::new();
    walk(root, "", spec, limits, &mut paths)?;
    paths.sort();
    let chosen = tables_first(paths, spec);
    let card = hub::Card::read(root, &source)?;
    let assigned = card.assign(&chosen, spec, &source)?;
    if assigned.is_empty() {
        let hint = "name the format in the source's settings, or choose the files with a pattern";
        return Err(Failure::new(
            Kind::Unreadable,
            Place::file(&source),
            "it holds no file of a format that we read",
            hint,
        ));
    }
    let licence = spec.licence.clone().or(card.licence);
    let found = assigned.into_iter().map(|(path, split)| Found {
        name: format!("{source}/{path}"),
        path: root.join(&path),
        split,
        licence: licence.clone(),
    });
    Ok(found.collect())
}

/// Texts beside tables tell of the tables.
fn tables_first(paths: Vec<String>, spec: &Spec) -> Vec<String> {
    let tables: Vec<String> = paths.iter().filter(|path| is_table(path, spec)).cloned().collect();
    if tables.is_empty() || spec.only.is_some() { paths } else { tables }
}

fn is_table(path: &str, spec: &Spec) -> bool {
    spec.format.or(format::claimed_by(path)).is_some_and(Format::is_table)
}

/// Collects the relative paths of the data files below a folder.
fn walk(folder: &Path, prefix: &str, spec: &Spec, limits: &Limits, paths: &mut Vec<String>) -> Result<(), Failure> {
    let place = || Place::file(if prefix.is_empty() { "." } else { prefix });
    for entry in fs::read_dir(folder).at(place)? {
        let entry = entry.at(place)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if entry.file_type().at(place)?.is_dir() {
            if !name.starts_with(['.', '_']) {
                walk(&entry.path(), &path, spec, limits, paths)?;
            }
        } else if is_data_name(&path, spec.format.is_some()) && is_chosen(&path, spec) && entry.path().is_file() {
            count(paths.len(), place(), limits)?;
            paths.push(path);
        }
    }
    Ok(())
}

fn count(n_files: usize, place: Place, limits: &Limits) -> Result<(), Failure> {
    if n_files < limits.files_max {
        return Ok(());
    }
    Err(Failure::over_limit(place, format!("there are more than {} files", limits.files_max), "files_max"))
}

fn only_split(found: &mut Vec<Found>, split: &str, spec: &Spec) -> Result<(), Failure> {
    let mut there: Vec<String> = found.iter().filter_map(|file| file.split.clone()).collect();
    there.sort();
    there.dedup();
    found.retain(|file| file.split.as_deref() == Some(split));
    if found.is_empty() {
        let problem = format!("it has no part `{split}`; its parts are: {}", there.join(", "));
        return Err(Failure::new(
            Kind::Unreadable,
            Place::file(&source_name(spec)),
            problem,
            "choose one of them with `split`",
        ));
    }
    Ok(())
}
