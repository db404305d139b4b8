//! The closing scan of an erasure: every byte under the project folder, compressed contents unpacked.
//!
//! Files are read raw. What raw bytes would hide is read again as its text: rows of our tables, text values of the records
//! (a value may be split over database pages), packed files, and every value of every file that somebody else made and
//! whose format we read (compressed, in columns, with escapes). A file of a kind that hides its content and that we
//! cannot open is a hit: nobody could say that the person is not in it.

use super::collect::in_background;
use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use loopwright_sources::{Kind, Limits, texts};
use loopwright_store::TableKey;
use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Numbers of fewer digits are looked for as they are written only.
const DIGITS_MIN: usize = 7;
/// Numbers of fewer digits must stand by themselves: a measured value has that many places of its own.
const DIGITS_INSIDE_MIN: usize = 10;

/// What is looked for.
pub struct Needles {
    strings: Vec<String>,
    digits: Vec<String>,
    raw: AhoCorasick,
    longest: usize,
}

/// What a scan saw.
#[derive(Clone, Debug, Default)]
pub struct ScanReport {
    /// Files read.
    pub n_files: u64,
    /// Bytes read, compressed contents counted unpacked.
    pub n_bytes: u64,
    /// Where something was found, without saying what.
    pub hits: BTreeSet<String>,
}

impl Needles {
    /// Strings to look for, in any case; those with at least seven digits also in any grouping of the digits.
    pub fn new(strings: impl IntoIterator<Item = String>) -> Result<Self> {
        let strings: Vec<String> =
            strings.into_iter().filter(|s| !s.trim().is_empty()).collect::<BTreeSet<_>>().into_iter().collect();
        // Only of numbers: the digits of a sentence in a row are nobody's.
        let is_number = |s: &&String| !s.chars().any(char::is_alphabetic);
        let digits: BTreeSet<String> =
            strings.iter().filter(is_number).map(|s| digits_of(s)).filter(|d| d.len() >= DIGITS_MIN).collect();
        // Records and reports are JSON: there a quote or a line end is written otherwise.
        let escaped: Vec<String> = strings.iter().map(|s| serde_json::Value::from(s.as_str()).to_string()).collect();
        let escaped = escaped.iter().map(|s| &s[1..s.len() - 1]);
        let patterns: BTreeSet<&str> =
            strings.iter().map(String::as_str).chain(digits.iter().map(String::as_str)).chain(escaped).collect();
        let raw = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(patterns.iter())
            .map_err(|error| Error::bug("failed to prepare the strings of a scan").because(error))?;
        let longest = patterns.iter().map(|p| p.len()).max().unwrap_or(0);
        Ok(Self { digits: digits.into_iter().collect(), raw, longest, strings })
    }

    /// How many strings are looked for.
    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// True if there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.strings.is_empty()
    }

    /// Does the text hold one of the strings? An identifier such as `C-004` does not count within `C-0042`.
    pub fn are_in_text(&self, text: &str) -> bool {
        let whole = |found: aho_corasick::Match| !goes_on(text.as_bytes(), found.start(), found.end());
        if self.raw.find_overlapping_iter(text).any(whole) {
            return true;
        }
        if self.digits.is_empty() {
            return false;
        }
        let packed = packed_digits(text);
        self.digits.iter().any(|digits| {
            let mut places = packed.match_indices(digits.as_str());
            places
                .any(|(at, _)| digits.len() >= DIGITS_INSIDE_MIN || !goes_on(packed.as_bytes(), at, at + digits.len()))
        })
    }

    fn are_in_bytes(&self, mut reader: impl Read, n_bytes: &mut u64) -> std::io::Result<bool> {
        let keep = self.longest + 1;
        let mut window: Vec<u8> = Vec::with_capacity(CHUNK_BYTES + keep);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let n = reader.read(&mut chunk)?;
            if n == 0 {
                return Ok(self.hit(&window));
            }
            *n_bytes += n as u64;
            window.extend_from_slice(&chunk[..n]);
            // The last bytes wait for what follows them: a hit there may go on into a longer word.
            if self.hit(&window[..window.len().saturating_sub(1)]) && self.hit(&window) {
                return Ok(true);
            }
            let from = window.len().saturating_sub(keep);
            window.drain(..from);
        }
    }

    fn hit(&self, bytes: &[u8]) -> bool {
        self.raw.find_overlapping_iter(bytes).any(|found| !goes_on(bytes, found.start(), found.end()))
    }
}

/// Is the found stretch only part of a longer word or number?
fn goes_on(bytes: &[u8], start: usize, end: usize) -> bool {
    let word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let before = start.checked_sub(1).and_then(|at| bytes.get(at));
    (word(before) && word(bytes.get(start)))
        || (word(bytes.get(end)) && word(end.checked_sub(1).and_then(|at| bytes.get(at))))
}

fn digits_of(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// The text with separators between digits left out: `+1 (555) 12-3` gives `+1555123`.
fn packed_digits(text: &str) -> String {
    let mut packed = String::with_capacity(text.len());
    let mut gap = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            if !packed.ends_with(|last: char| last.is_ascii_digit()) || gap.len() > 3 {
                packed.push_str(&gap);
            }
            gap.clear();
            packed.push(c);
        } else if matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}') {
            gap.push(c);
        } else {
            packed.push_str(&gap);
            gap.clear();
            packed.push(c);
        }
    }
    packed
}

/// Reads everything under the project folder.
pub async fn scan(ctx: &Context, needles: Needles) -> Result<ScanReport> {
    let needles = std::sync::Arc::new(needles);
    let dir = ctx.project.dir.clone();
    let for_files = needles.clone();
    let state = ctx.store.layout().state();
    let mut report = in_background(move || scan_files(&dir, &state, &for_files)).await?;
    let hits = Mutex::new(BTreeSet::new());
    let note = |place: &str, text: &str| {
        if needles.are_in_text(text) {
            hits.lock().expect("no holder of this lock panics").insert(place.to_string());
        }
    };
    let mut n_bytes = 0;
    ctx.store
        .dump_text(|place: &str, text: &str| {
            n_bytes += text.len() as u64;
            note(&format!("records, `{place}`"), text);
        })
        .await?;
    ctx.store
        .tables()
        .scan_text(|table: &TableKey, text: &str| {
            n_bytes += text.len() as u64;
            note(&format!("table `{}`", table.path()), text);
        })
        .await?;
    report.n_bytes += n_bytes;
    report.hits.extend(hits.into_inner().expect("no holder of this lock panics"));
    Ok(report)
}

/// First bytes of files that hide their content in ways that we do not undo.
const OPAQUE: [&[u8]; 7] = [b"PK\x03\x04", b"7z\xBC\xAF", b"\xFD7zXZ", b"BZh", b"Rar!", b"%PDF", b"\x04\x22\x4D\x18"];

/// Reads everything below `dir`; below `state` lies what we made ourselves.
fn scan_files(dir: &Path, state: &Path, needles: &Needles) -> Result<ScanReport> {
    let mut report = ScanReport::default();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).outside(|| format!("failed to list `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry.outside(|| format!("failed to list `{}`", folder.display()))?;
            let path = entry.path();
            let kind = entry.file_type().outside(|| format!("failed to look at `{}`", path.display()))?;
            if needles.are_in_text(&entry.file_name().to_string_lossy()) {
                report.hits.insert(format!("the name of `{}`", path.display()));
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                scan_file(&path, needles, &mut report)?;
                if !path.starts_with(state) {
                    look_inside(&path, needles, &mut report)?;
                }
            }
        }
    }
    Ok(report)
}

/// Notes a file into which nobody can look.
fn closed(path: &Path, error: &dyn std::fmt::Display, report: &mut ScanReport) {
    let why = error.to_string().lines().next().unwrap_or_default().to_string();
    report.hits.insert(format!("`{}`, which cannot be looked into ({why}): mend or remove it", path.display()));
}

/// What packings, columns and escapes hide in a file that is not our own.
fn look_inside(path: &Path, needles: &Needles, report: &mut ScanReport) -> Result<()> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(8).read_to_end(&mut head))
        .outside(|| format!("failed to read `{}`", path.display()))?;
    if OPAQUE.iter().any(|magic| head.starts_with(magic)) {
        report.hits.insert(format!("`{}`, which cannot be looked into: unpack or remove it", path.display()));
    } else if texts::can_read(path) {
        let (mut found, mut n_bytes) = (false, 0);
        let name = path.to_string_lossy();
        let read = texts::every_text(path, &name, &Limits::default(), &mut |text| {
            n_bytes += text.len() as u64;
            found |= needles.are_in_text(text);
        });
        report.n_bytes += n_bytes;
        match read {
            Ok(()) if found => drop(report.hits.insert(format!("`{}`", path.display()))),
            Ok(()) => {}
            // Bytes of no format were read as they are; so was a text that only looks like one of a format.
            Err(error) if error.kind() == Kind::WrongFormat || head.is_ascii() => {}
            Err(error) => closed(path, &error, report),
        }
    }
    Ok(())
}

fn scan_file(path: &PathBuf, needles: &Needles, report: &mut ScanReport) -> Result<()> {
    let doing = || format!("failed to read `{}`", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        // A file that went away between listing and reading holds nothing any more.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).outside(doing),
    };
    report.n_files += 1;
    let mut found = needles.are_in_bytes(BufReader::new(file), &mut report.n_bytes).outside(doing)?;
    match texts::unpacked(path, &Limits::default()) {
        Ok(None) => {}
        Ok(Some(unpacked)) => match needles.are_in_bytes(unpacked, &mut report.n_bytes) {
            Ok(inside) => found |= inside,
            Err(error) => closed(path, &error, report),
        },
        Err(error) => closed(path, &error, report),
    }
    if found {
        report.hits.insert(format!("`{}`", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn needles() -> Needles {
        Needles::new(["C-004".into(), "Ada Lovett".into(), "+1 555 010 7788".into()]).unwrap()
    }

    #[test]
    fn text_is_found_in_any_case_and_grouping_but_not_within_longer_words() {
        let check = |text: &str, expected: bool| assert_eq!(needles().are_in_text(text), expected, "{text}");
        check("from ADA LOVETT, thanks", true);
        check("call (1) 555-010-77-88", true);
        check("customer C-004.", true);
        check("customer C-0042", false);
        check("Ada Lovettson", false);
        check("nothing here", false);
        let short = Needles::new(["555 0107".into(), "order 22551, stuck at 70 percent".into()]).unwrap();
        assert!(short.are_in_text("call 555-0107 now"));
        assert!(!short.are_in_text("loss 0.85550107"), "a measured value");
        assert!(!short.are_in_text("loss 0.2255170"), "the digits of a sentence");
    }

    #[test]
    fn bytes_are_found_across_chunks_and_inside_gzip() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = vec![b'.'; CHUNK_BYTES - 4];
        bytes.extend(b"Ada Lovett");
        std::fs::write(dir.path().join("split.bin"), &bytes).unwrap();
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(b"hello ada lovett bye").unwrap();
        std::fs::write(dir.path().join("packed.gz"), gz.finish().unwrap()).unwrap();
        std::fs::write(dir.path().join("clean.txt"), b"C-0042 Ada Lovettson").unwrap();
        let report = scan_files(dir.path(), Path::new("none"), &needles()).unwrap();
        assert_eq!(report.n_files, 3);
        assert_eq!(report.hits.len(), 2, "{:?}", report.hits);
    }

    #[test]
    fn escapes_are_undone_and_what_cannot_be_opened_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let needles = Needles::new(["J\u{fc}rgen Klopp".into()]).unwrap();
        std::fs::write(dir.path().join("a.jsonl"), br#"{"text": "by J\u00fcrgen Klopp"}"#).unwrap();
        std::fs::write(dir.path().join("b.zip"), b"PK\x03\x04whatever").unwrap();
        std::fs::write(dir.path().join("c.json"), b"{no json at all").unwrap();
        std::fs::write(dir.path().join("d.parquet"), b"PAR1\xff\xfe\x00broken").unwrap();
        let scan = |state: &Path| scan_files(dir.path(), state, &needles).unwrap().hits;
        let hits: Vec<String> = scan(Path::new("none")).into_iter().collect();
        assert_eq!(hits.len(), 3, "{hits:?}");
        for (hit, name) in hits.iter().zip(["a.jsonl", "b.zip", "d.parquet"]) {
            assert!(hit.contains(name), "{hit}");
        }
        assert!(scan(dir.path()).is_empty(), "our own files are read raw and as tables");
    }
}
