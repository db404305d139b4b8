//! Texts: a plain text by document, line or paragraph; Markdown with its front matter; a page's main text.

use super::{
    encoding,
    failure::{AtPlace, Flow, Place},
    lines::Lines,
    page,
    sink::{Fields, Job, RowSink},
    spec::TextUnit,
    unpack::Bytes,
    yaml,
};
use serde_json::Value;
use std::io::Read;

/// Reads a plain text in the units that the settings ask for.
pub(super) fn read_text(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    match job.spec.text_unit {
        TextUnit::Document => whole(job, stream, sink, |text| Ok(with_text(text))),
        TextUnit::Line => lines(job, stream, sink),
        TextUnit::Paragraph => paragraphs(job, stream, sink),
    }
}

/// Reads a Markdown file: front matter between `---` lines gives fields, what follows is the text.
pub(super) fn read_markdown(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    whole(job, stream, sink, |text| {
        let (front, body) = front_matter(text);
        let mut fields = front.map(yaml::fields).transpose().map_err(|why| format!("front matter: {why}"))?;
        let mut fields = fields.take().unwrap_or_default();
        fields.insert("text".into(), Value::String(body.to_string()));
        Ok(fields)
    })
}

/// Reads a page: its title, language and main text, see [`page`].
pub(super) fn read_page(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    whole(job, stream, sink, |text| {
        let page = page::read(text);
        let named = [("title", page.title), ("language", page.language)];
        let mut fields = with_text(&page.text);
        fields.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_string(), Value::String(value?)))));
        Ok(fields)
    })
}

/// Parts a Markdown text into front matter, if it begins with some, and body.
pub(super) fn front_matter(text: &str) -> (Option<&str>, &str) {
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else { return (None, text) };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if matches!(line.trim_end(), "---" | "...") {
            let body = rest[at + line.len()..].trim_start_matches(['\r', '\n']);
            return (Some(&rest[..at]), body);
        }
        at += line.len();
    }
    (None, text)
}

fn with_text(text: &str) -> Fields {
    Fields::from_iter([("text".to_string(), Value::String(text.to_string()))])
}

/// A file that is one row. An empty one is none.
fn whole(
    job: Job<'_>,
    stream: Bytes<'_>,
    sink: &mut dyn RowSink,
    fields: impl FnOnce(&str) -> Result<Fields, String>,
) -> Flow {
    let mut bytes = Vec::new();
    let bytes_max = job.limits.record_bytes_max;
    stream.take(bytes_max as u64 + 1).read_to_end(&mut bytes).at(|| Place::file(job.name))?;
    if bytes.len() > bytes_max {
        let hint = "; a plain text can be read by line or paragraph (`text_unit`)";
        return sink.reject(1, job.too_long("the document") + hint, &bytes);
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(());
    }
    let text = utf8(&bytes, job.first_offset);
    match text.and_then(fields) {
        Ok(fields) => sink.row(1, fields),
        Err(reason) => sink.reject(1, reason, &bytes),
    }
}

fn utf8(bytes: &[u8], offset: u64) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| encoding::not_utf8(bytes, offset).unwrap_or_else(|| "not UTF-8".to_string()))
}

fn lines(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    let mut lines = Lines::new(stream, job.limits.record_bytes_max);
    while let Some(line) = lines.next().at(|| Place::file(job.name))? {
        if !line.is_whole {
            sink.reject(line.number, job.too_long("the line"), line.bytes)?;
            continue;
        }
        match utf8(line.bytes, job.first_offset + line.offset) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => sink.row(line.number, with_text(text))?,
            Err(reason) => sink.reject(line.number, reason, line.bytes)?,
        }
    }
    Ok(())
}

/// Lines that belong together.
struct Paragraph {
    first_line: u64,
    offset: u64,
    bytes: Vec<u8>,
    is_too_long: bool,
}

fn paragraphs(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    let bytes_max = job.limits.record_bytes_max;
    let mut lines = Lines::new(stream, bytes_max);
    let mut open: Option<Paragraph> = None;
    while let Some(line) = lines.next().at(|| Place::file(job.name))? {
        if line.bytes.trim_ascii().is_empty() {
            open.take().map_or(Ok(()), |paragraph| close(job, &paragraph, sink))?;
            continue;
        }
        let paragraph = open.get_or_insert_with(|| Paragraph {
            first_line: line.number,
            offset: line.offset,
            bytes: Vec::new(),
            is_too_long: false,
        });
        if !line.is_whole || paragraph.bytes.len() + line.bytes.len() > bytes_max {
            paragraph.is_too_long = true;
        } else {
            paragraph.bytes.extend_from_slice(line.bytes);
            paragraph.bytes.push(b'\n');
        }
    }
    open.map_or(Ok(()), |paragraph| close(job, &paragraph, sink))
}

fn close(job: Job<'_>, paragraph: &Paragraph, sink: &mut dyn RowSink) -> Flow {
    let bytes = paragraph.bytes.trim_ascii_end();
    if paragraph.is_too_long {
        return sink.reject(paragraph.first_line, job.too_long("the paragraph"), bytes);
    }
    match utf8(bytes, job.first_offset + paragraph.offset) {
        Ok(text) => sink.row(paragraph.first_line, with_text(text)),
        Err(reason) => sink.reject(paragraph.first_line, reason, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limits::Limits, sink::testing::Kept, spec::Spec};
    use proptest::prelude::*;

    type Reader = fn(Job<'_>, Bytes<'_>, &mut dyn RowSink) -> Flow;

    fn kept(reader: Reader, text_unit: TextUnit, bytes: &[u8]) -> Kept {
        let spec = Spec { text_unit, ..Spec::default() };
        let limits = Limits { record_bytes_max: 100, ..Limits::default() };
        let job = Job { name: "a.txt", spec: &spec, limits: &limits, depth: 0, first_offset: 0 };
        Kept::of(|sink| reader(job, Box::new(std::io::Cursor::new(bytes.to_vec())), sink))
    }

    fn texts(kept: &Kept) -> Vec<&str> {
        kept.fields.iter().filter_map(|fields| fields["text"].as_str()).collect()
    }

    #[test]
    fn a_text_is_cut_as_asked() {
        let text = b"one\ntwo\n\n \nthree\n";
        for (unit, rows) in [
            (TextUnit::Document, vec!["one\ntwo\n\n \nthree\n"]),
            (TextUnit::Line, vec!["one", "two", "three"]),
            (TextUnit::Paragraph, vec!["one\ntwo", "three"]),
        ] {
            assert_eq!(texts(&kept(read_text, unit, text)), rows, "{unit:?}");
        }
        assert_eq!(kept(read_text, TextUnit::Document, b" \n").n_rows, 0);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused_alone() {
        let long = "x".repeat(60);
        let file = format!("a\n\n{long}\n{long}\n\nb\n");
        let paragraphs = kept(read_text, TextUnit::Paragraph, file.as_bytes());
        assert_eq!((texts(&paragraphs), paragraphs.rejected[0].0), (vec!["a", "b"], 3));
        let document = kept(read_text, TextUnit::Document, file.as_bytes());
        assert!(document.rejected[0].1.contains("`text_unit`"), "{:?}", document.rejected);
        let lines = kept(read_text, TextUnit::Line, b"a\nb\xFC\nc");
        assert_eq!(texts(&lines), ["a", "c"]);
        assert!(lines.rejected[0].1.contains("0xFC at offset 3"), "{:?}", lines.rejected);
    }

    #[test]
    fn markdown_keeps_its_text_and_gives_its_front_matter() {
        let file = b"---\ntitle: A\ntags: [x, y]\n---\n\n# A\n\n---\ntext\n";
        let kept_file = kept(read_markdown, TextUnit::Document, file);
        let [row] = &kept_file.rows[..] else { panic!("{:?}", kept_file.rows) };
        let row: serde_json::Value = serde_json::from_str(row.strip_prefix("1 ").unwrap()).unwrap();
        assert_eq!(row, serde_json::json!({"title": "A", "tags": ["x", "y"], "text": "# A\n\n---\ntext\n"}));
        let plain = kept(read_markdown, TextUnit::Document, b"---\nno end\n");
        assert_eq!(texts(&plain), ["---\nno end\n"]);
        let broken = kept(read_markdown, TextUnit::Document, b"---\na: [1\n---\nb\n");
        assert!(broken.rejected[0].1.starts_with("front matter: "), "{:?}", broken.rejected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for unit in [TextUnit::Document, TextUnit::Line, TextUnit::Paragraph] {
                kept(read_text, unit, &bytes);
            }
            kept(read_markdown, TextUnit::Document, &[b"---\n".as_slice(), &bytes, b"\n---\n"].concat());
            kept(read_page, TextUnit::Document, &bytes);
        }
    }
}
