//! Server-sent events as they come, in bounded memory (WHATWG HTML, section 9.2.6).

/// Longest line, and most data in one event.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its `event` field; empty where it has none.
    pub kind: String,
    /// Its data; lines are joined by line ends.
    pub data: String,
}

/// Puts chunks of any size together to events.
#[derive(Debug, Default)]
pub struct SseReader {
    /// The line under way.
    line: Vec<u8>,
    /// The event under way; data ends with a line end that is taken off.
    event: SseEvent,
    has_data: bool,
    is_after_cr: bool,
    is_begun: bool,
}

impl SseReader {
    /// Takes the next bytes and puts each event that they complete into `out`. Fails on what is too long or not UTF-8.
    pub fn take(&mut self, mut bytes: &[u8], out: &mut Vec<SseEvent>) -> Result<(), String> {
        if self.is_after_cr && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
        }
        if !bytes.is_empty() {
            self.is_after_cr = false;
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&bytes[..end])?;
            let line = std::mem::take(&mut self.line);
            self.end_line(&line, out)?;
            self.line = line;
            self.line.clear();
            let is_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            match (is_cr, bytes.first()) {
                (true, Some(b'\n')) => bytes = &bytes[1..],
                (true, None) => self.is_after_cr = true,
                _ => {}
            }
        }
        self.extend(bytes)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.line.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(format!("a line of its stream is longer than {EVENT_BYTES_MAX} bytes"));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], out: &mut Vec<SseEvent>) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|error| format!("its stream is not UTF-8: {error}"))?;
        let line = if self.is_begun { line } else { line.trim_start_matches('\u{feff}') };
        self.is_begun = true;
        if line.is_empty() {
            self.end_event(out);
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.event.data.len() + value.len() > EVENT_BYTES_MAX {
                    return Err(format!("an event of its stream is longer than {EVENT_BYTES_MAX} bytes"));
                }
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "event" => self.event.kind = value.into(),
            // Comments, ids and reconnection times say nothing here.
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self, out: &mut Vec<SseEvent>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            out.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Result<Vec<(String, String)>, String> {
        let (mut reader, mut out) = (SseReader::default(), Vec::new());
        for chunk in chunks {
            reader.take(chunk, &mut out)?;
        }
        Ok(out.into_iter().map(|event| (event.kind, event.data)).collect())
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text =
            "\u{feff}: hello\r\nevent: a\r\ndata: 1\r\n\r\ndata:2\ndata: 3\n\nid: 7\n\ndata\r\rdata: é\n\ndata: open";
        let whole = read(&[text.as_bytes()]).unwrap();
        let pair = |kind: &str, data: &str| (kind.to_string(), data.to_string());
        assert_eq!(whole, [pair("a", "1"), pair("", "2\n3"), pair("", ""), pair("", "é")]);
        for size in 1..text.len() {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(read(&chunks).unwrap(), whole, "chunks of {size}");
        }
    }

    #[test]
    fn what_never_ends_is_refused() {
        let long = vec![b'x'; EVENT_BYTES_MAX / 2];
        assert!(read(&[&long, &long, b"y"]).unwrap_err().contains("line"));
        let line = [b"data: ".as_slice(), &long, b"\n"].concat();
        assert!(read(&[&line, &line, &line]).unwrap_err().contains("event"));
        assert!(read(&[b"data: \xff\n"]).unwrap_err().contains("UTF-8"));
    }
}
