//! Which format a file has: told by its first bytes, then by its name.
//!
//! Binary formats and packings are known by their magic bytes, so a `.csv` that is packed is unpacked. Text formats
//! look alike, so the name's ending decides between them and the first bytes may only contradict it. What a name or the
//! settings claim and the bytes deny is an error that says both.

use super::{
    failure::{Failure, Place},
    sniff,
};
use crate::error::Kind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON value a line (JSONL, NDJSON).
    JsonLines,
    /// A JSON array of rows, or JSON values one after another over several lines.
    Json,
    /// A table with a header: comma, semicolon or tab between the fields.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow IPC, file or stream.
    Arrow,
    /// Plain text.
    Text,
    /// Markdown, with or without front matter.
    Markdown,
    /// A web page.
    Html,
    /// YAML: one row a document.
    Yaml,
    /// A tar archive of files of any of these.
    Tar,
}

/// A packing around a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// RFC 1952, one member or many.
    Gzip,
    /// RFC 8878, one frame or many.
    Zstd,
}

/// Name endings by format.
const ENDINGS: [(&str, Format); 21] = [
    ("jsonl", Format::JsonLines),
    ("ndjson", Format::JsonLines),
    ("json", Format::Json),
    ("csv", Format::Csv),
    ("tsv", Format::Csv),
    ("tab", Format::Csv),
    ("parquet", Format::Parquet),
    ("pq", Format::Parquet),
    ("arrow", Format::Arrow),
    ("arrows", Format::Arrow),
    ("feather", Format::Arrow),
    ("ipc", Format::Arrow),
    ("txt", Format::Text),
    ("text", Format::Text),
    ("md", Format::Markdown),
    ("markdown", Format::Markdown),
    ("html", Format::Html),
    ("htm", Format::Html),
    ("yaml", Format::Yaml),
    ("yml", Format::Yaml),
    ("tar", Format::Tar),
];

/// Where the word `ustar` stands in a tar header.
const USTAR_AT: usize = 257;

/// Lines looked at to tell whether a file can be JSON lines.
const LINES_LOOKED_AT: usize = 20;

impl Format {
    /// The word in settings and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonLines => "json_lines",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Yaml => "yaml",
            Self::Tar => "tar",
        }
    }

    /// Whether it holds rows; the others hold documents.
    pub(super) fn is_table(self) -> bool {
        matches!(self, Self::JsonLines | Self::Json | Self::Csv | Self::Parquet | Self::Arrow)
    }

    fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow | Self::Tar)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The format that a name claims, packings taken off: `a.jsonl.gz` is JSON lines, `a.tgz` a tar.
pub(super) fn claimed_by(name: &str) -> Option<Format> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let bare = without_packing(&name);
    if name.ends_with(".tgz") || name.ends_with(".tzst") {
        return Some(Format::Tar);
    }
    let ending = bare.rsplit_once('.')?.1;
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format)
}

/// A name without the endings of packings.
pub(super) fn without_packing(name: &str) -> &str {
    [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// The packing that first bytes tell of.
pub(super) fn packing(head: &[u8]) -> Option<Packing> {
    match head {
        [0x1F, 0x8B, ..] => Some(Packing::Gzip),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Packing::Zstd),
        // A skippable frame may come first (RFC 8878, section 3.1.2).
        [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Packing::Zstd),
        _ => None,
    }
}

/// First bytes that tell a binary format.
pub(super) const MAGIC_BYTES: u64 = 512;

/// Whether a file is packed, an archive or of a binary format: parsers of these are worth attacking.
pub(super) fn needs_child(name: &str, head: &[u8]) -> bool {
    packing(head).is_some() || binary(head).is_some() || claimed_by(name).is_some_and(Format::is_binary)
}

/// The format of unpacked bytes, from their head, the settings and the name.
pub(super) fn detect(name: &str, head: &[u8], wanted: Option<Format>) -> Result<Format, Failure> {
    let claimed = wanted.or_else(|| claimed_by(name));
    if let Some(found) = binary(head) {
        return match wanted {
            Some(wanted) if wanted != found && found != Format::Tar => {
                Err(contradiction(name, wanted, &format!("a {found} file")))
            }
            _ => Ok(found),
        };
    }
    match claimed {
        // Old tar files have no magic word; the reader checks their checksums.
        Some(Format::Tar) => Ok(Format::Tar),
        Some(claimed) if claimed.is_binary() => Err(contradiction(name, claimed, &described(head))),
        Some(claimed) => contradicted(claimed, head)
            .map_or(Ok(text_variant(claimed, head)), |found| Err(contradiction(name, claimed, &found))),
        None => guessed(name, head),
    }
}

/// Binary formats by their magic bytes.
fn binary(head: &[u8]) -> Option<Format> {
    match head {
        [b'P', b'A', b'R', b'1', ..] | [b'P', b'A', b'R', b'E', ..] => Some(Format::Parquet),
        [b'A', b'R', b'R', b'O', b'W', b'1', 0, 0, ..] => Some(Format::Arrow),
        // An Arrow stream: continuation mark, then the length of the schema message.
        [0xFF, 0xFF, 0xFF, 0xFF, _, _, _, 0, ..] => Some(Format::Arrow),
        _ if head.get(USTAR_AT..USTAR_AT + 5) == Some(b"ustar") => Some(Format::Tar),
        _ => None,
    }
}

/// What speaks against a text format, if anything does.
fn contradicted(claimed: Format, head: &[u8]) -> Option<String> {
    if let Some((what, _)) = sniff::foreign(head) {
        return Some(what.to_string());
    }
    let start = head.trim_ascii_start();
    let is_page = starts_page(start);
    match claimed {
        Format::Csv if matches!(start.first(), Some(b'{' | b'[')) => Some("JSON".into()),
        Format::Csv | Format::JsonLines | Format::Json if is_page => Some("HTML or XML".into()),
        Format::JsonLines | Format::Json if !start.is_empty() && !has_json(head) => Some(described(head)),
        _ => None,
    }
}

/// Whether one of the first lines begins as JSON does; a single broken line is only a rejected row.
fn has_json(head: &[u8]) -> bool {
    let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.take(LINES_LOOKED_AT).any(|line| matches!(line.first(), Some(b'{' | b'[' | b'"')))
}

/// `.json` files hold an array, values over many lines, or JSON lines; `.jsonl` files are sometimes arrays.
fn text_variant(claimed: Format, head: &[u8]) -> Format {
    if !matches!(claimed, Format::Json | Format::JsonLines) {
        return claimed;
    }
    let start = head.trim_ascii_start();
    let first_line = start.split(|byte| *byte == b'\n').next().unwrap_or(start);
    let is_line = serde_json::from_slice::<serde::de::IgnoredAny>(first_line).is_ok();
    match (claimed, start.first()) {
        (_, Some(b'[')) if !is_line || claimed == Format::Json => Format::Json,
        (Format::Json, Some(b'{')) if is_line && start.len() > first_line.len() => Format::JsonLines,
        _ => claimed,
    }
}

fn starts_page(start: &[u8]) -> bool {
    let lower: Vec<u8> = start.iter().take(16).map(u8::to_ascii_lowercase).collect();
    [b"<!doctype".as_slice(), b"<html", b"<?xml", b"<head", b"<body"].iter().any(|tag| lower.starts_with(tag))
}

/// A name that tells nothing: JSON and pages can be recognised, tables and texts cannot be told apart.
fn guessed(name: &str, head: &[u8]) -> Result<Format, Failure> {
    let start = head.trim_ascii_start();
    match sniff::foreign(head) {
        Some((what, hint)) => Err(Failure::new(Kind::WrongFormat, Place::file(name), format!("it is {what}"), hint)),
        None if matches!(start.first(), Some(b'{')) => Ok(text_variant(Format::Json, head)),
        None if matches!(start.first(), Some(b'[')) => Ok(Format::Json),
        None if starts_page(start) => Ok(Format::Html),
        None => Err(Failure::new(
            Kind::WrongFormat,
            Place::file(name),
            "neither its name nor its first bytes tell the format",
            "name the format in the source's settings, e.g. `format = \"csv\"`",
        )),
    }
}

/// What bytes seem to be, with an article.
fn described(head: &[u8]) -> String {
    if let Some((what, _)) = sniff::foreign(head) {
        return what.to_string();
    }
    let start = head.trim_ascii_start();
    match start.first() {
        None => "an empty file".into(),
        Some(b'{' | b'[') => "JSON".into(),
        Some(_) if starts_page(start) => "HTML or XML".into(),
        Some(_) => {
            let shown: String = String::from_utf8_lossy(&start[..start.len().min(64)]).chars().take(24).collect();
            format!("something that begins with `{}`", shown.escape_debug())
        }
    }
}

fn contradiction(name: &str, claimed: Format, found: &str) -> Failure {
    Failure::new(
        Kind::WrongFormat,
        Place::file(name),
        format!("expected {claimed} from its name or the settings, got {found}"),
        "rename the file, or name its format in the source's settings, e.g. `format = \"json_lines\"`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_and_names_tell_the_format() {
        let mut tar = vec![0; 512];
        tar[USTAR_AT..USTAR_AT + 5].copy_from_slice(b"ustar");
        for (name, head, format) in [
            ("a.csv", b"text,label\n".as_slice(), Format::Csv),
            ("a.csv", b"PAR1\x15", Format::Parquet),
            ("a", b"ARROW1\0\0", Format::Arrow),
            ("a", b"\xff\xff\xff\xff\x10\x01\0\0", Format::Arrow),
            ("x.tar", &tar, Format::Tar),
            ("a.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n", Format::JsonLines),
            ("a.jsonl", b"broken\n{\"text\":\"b\"}\n", Format::JsonLines),
            ("a.jsonl", b"[\n{\"text\":\"a\"}]", Format::Json),
            ("a.json", b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n", Format::JsonLines),
            ("a.json", b"{\n \"text\":\"a\"}\n", Format::Json),
            ("a.json.gz", b"[1]", Format::Json),
            ("export", b"  {\"a\":1}", Format::Json),
            ("export", b"<!DOCTYPE html>", Format::Html),
            ("notes.MD", b"# a", Format::Markdown),
        ] {
            assert_eq!(detect(name, head, None).unwrap(), format, "{name} {head:?}");
        }
    }

    #[test]
    fn claims_that_the_bytes_deny_are_named() {
        for (name, head, words) in [
            ("a.parquet", b"text,label\n".as_slice(), ["expected parquet", "`text,label"]),
            ("a.csv", b"{\"a\":1}", ["expected csv", "JSON"]),
            ("a.jsonl", b"text,label\n", ["expected json_lines", "`text,label"]),
            ("a.jsonl", b"<html>", ["expected json_lines", "HTML"]),
            ("a.txt", b"%PDF-1.4", ["expected text", "PDF"]),
            ("a.arrow", b"", ["expected arrow", "an empty file"]),
            ("a.csv", b"t\0e\0x\0t\0", ["expected csv", "UTF-16"]),
            ("a.bin", b"hello", ["neither its name", "format = "]),
        ] {
            let error = detect(name, head, None).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind, Kind::WrongFormat);
            assert!(words.iter().all(|word| text.contains(word)) && text.contains("\nhint: "), "{text}");
        }
        assert!(detect("a", b"PAR1", Some(Format::Csv)).is_err());
    }

    #[test]
    fn names_lose_their_packing() {
        for (name, format) in [
            ("d/train.jsonl.zst", Some(Format::JsonLines)),
            ("a.tgz", Some(Format::Tar)),
            ("a.tar.gz", Some(Format::Tar)),
            ("README", None),
            ("a.gz", None),
        ] {
            assert_eq!(claimed_by(name), format, "{name}");
        }
    }
}
