//! Recognising files that are not text tables, by their first bytes.

/// First bytes, what such a file is, and what to do about it.
const MAGIC: [(&[u8], &str, &str); 14] = [
    (b"\x89PNG", "a PNG image", "choose the file that holds the messages"),
    (b"\xFF\xD8\xFF", "a JPEG image", "choose the file that holds the messages"),
    (b"GIF8", "a GIF image", "choose the file that holds the messages"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet (.xlsx)", "unpack it, or save the sheet as CSV (UTF-8)"),
    (b"\x1F\x8B", "a gzip archive", "unpack it with `gunzip`"),
    (b"BZh", "a bzip2 archive", "unpack it with `bunzip2`"),
    (b"\x28\xB5\x2F\xFD", "a Zstandard archive", "unpack it with `unzstd`"),
    (b"PAR1", "a Parquet file", "write it as CSV with `text` and `label` columns"),
    (b"%PDF", "a PDF document", "choose the file that holds the messages"),
    (b"SQLite format 3", "an SQLite database", "write the table as CSV with `text` and `label` columns"),
    (b"\x7FELF", "a program", "choose the file that holds the messages"),
    (b"\xD0\xCF\x11\xE0", "an old Office document (.xls)", "save the sheet as CSV (UTF-8)"),
    (b"\xFF\xFE", "UTF-16 text", "save it as CSV (UTF-8)"),
    (b"\xFE\xFF", "UTF-16 text", "save it as CSV (UTF-8)"),
];

/// How many bytes are searched for NULs.
const SEARCHED_BYTES: usize = 64 * 1024;

/// What a file is that is no text of any kind, and a hint. Formats and packings that are read have gone their way
/// before; UTF-16 with a byte order mark is text.
pub(super) fn foreign(head: &[u8]) -> Option<(&'static str, &'static str)> {
    if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
        return None;
    }
    if let Some((_, what, hint)) = MAGIC.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Some((what, hint));
    }
    let looked_at = &head[..head.len().min(SEARCHED_BYTES)];
    let n_nuls = looked_at.iter().filter(|byte| **byte == 0).count();
    match n_nuls {
        0 => None,
        // Western text in UTF-16 is half NULs, all at even or all at odd positions.
        _ if n_nuls * 4 > looked_at.len() && one_sided(looked_at) => {
            Some(("UTF-16 text without a byte order mark", "save it as UTF-8"))
        }
        _ => {
            Some(("a binary file (it holds NUL bytes)", "choose a file of text, or one of the binary formats we read"))
        }
    }
}

fn one_sided(bytes: &[u8]) -> bool {
    let n_even = bytes.iter().step_by(2).filter(|byte| **byte == 0).count();
    let n_odd = bytes.iter().skip(1).step_by(2).filter(|byte| **byte == 0).count();
    n_even * 10 < n_odd || n_odd * 10 < n_even
}
