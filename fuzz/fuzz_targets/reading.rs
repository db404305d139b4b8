//! What all targets do: read the bytes under a name, within small limits, and look at what came.

use loopwright_sources::{
    error::Kind,
    Limits, OpenSettings, Read, Spec, TextUnit, open_reader,
};
use std::io::Cursor;

/// Longest record, in bytes.
const RECORD_BYTES_MAX: usize = 4096;

/// Reads the bytes in every unit of text. A panic, a broken thread or a record over the limit is a finding.
pub fn read_or_refuse(name: &str, bytes: &[u8]) {
    let limits = Limits {
        record_bytes_max: RECORD_BYTES_MAX,
        batch_bytes_max: 16 * 1024,
        unpacked_bytes_max: 64 << 20,
        spooled_bytes_max: 64 << 20,
        ..Limits::default()
    };
    let settings = OpenSettings { limits, child: None };
    for text_unit in [TextUnit::Document, TextUnit::Line, TextUnit::Paragraph] {
        let spec = Spec { text_unit, ..Spec::default() };
        for read in open_reader(name, Cursor::new(bytes.to_vec()), &spec, &settings) {
            match read {
                Ok(Read::Row(row)) => assert!(row.text.len() <= RECORD_BYTES_MAX),
                Ok(Read::Rejected(row)) => assert!(!row.reason.is_empty()),
                Err(error) => assert_ne!(error.kind(), Kind::Crashed, "{error}"),
            }
        }
    }
}
