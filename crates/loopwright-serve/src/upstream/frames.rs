//! Amazon's event streams (`application/vnd.amazon.eventstream`).
//!
//! ```text
//! total length (4) | length of headers (4) | CRC-32 of these 8 (4) | headers | payload | CRC-32 of all before (4)
//! header: length of name (1) | name | type (1) | value; type 7 is a text: length (2) | bytes
//! ```

/// Largest message; Amazon's own bound is 16 MiB.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
const PRELUDE: usize = 12;
const CRC: usize = 4;

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// `:message-type`: `event`, `exception` or `error`.
    pub message_type: String,
    /// `:event-type`, or `:exception-type`, or `:error-code`.
    pub kind: String,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Puts chunks of any size together to messages.
#[derive(Debug, Default)]
pub struct FrameReader(Vec<u8>);

impl FrameReader {
    /// Takes the next bytes and puts each message that they complete into `out`.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<Frame>) -> Result<(), String> {
        self.0.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(n) = whole(&self.0[start..])? {
            out.push(parse(&self.0[start..start + n])?);
            start += n;
        }
        self.0.drain(..start);
        Ok(())
    }
}

/// The length of the first message, if it is there whole.
fn whole(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(prelude) = bytes.get(..PRELUDE) else { return Ok(None) };
    let total = word(prelude, 0);
    let headers = word(prelude, 4);
    if crc32fast::hash(&prelude[..8]) as usize != word(prelude, 8) {
        return Err("the checksum of a message's head is wrong".into());
    }
    if !(PRELUDE + CRC..=MESSAGE_BYTES_MAX).contains(&total) || headers > total - PRELUDE - CRC {
        return Err(format!("a message says that it has {total} bytes, {headers} of them headers"));
    }
    Ok((bytes.len() >= total).then_some(total))
}

fn parse(message: &[u8]) -> Result<Frame, String> {
    let end = message.len() - CRC;
    if crc32fast::hash(&message[..end]) as usize != word(message, end) {
        return Err("the checksum of a message is wrong".into());
    }
    let body = PRELUDE + word(message, 4);
    let mut frame = Frame { payload: message[body..end].to_vec(), ..Frame::default() };
    let mut rest = &message[PRELUDE..body];
    while !rest.is_empty() {
        let (name, value) = header(&mut rest).ok_or("a message's headers are cut short")?;
        match (name, value) {
            (b":message-type", Some(text)) => frame.message_type = text,
            (b":event-type" | b":exception-type" | b":error-code", Some(text)) => frame.kind = text,
            _ => {}
        }
    }
    Ok(frame)
}

/// Takes one header off; the value of those that are texts.
fn header<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Option<String>)> {
    let (n, tail) = rest.split_first()?;
    let (name, tail) = tail.split_at_checked(usize::from(*n))?;
    let (kind, tail) = tail.split_first()?;
    let (n_length, n) = match kind {
        0 | 1 => (0, 0),
        2 => (0, 1),
        3 => (0, 2),
        4 => (0, 4),
        5 | 8 => (0, 8),
        6 | 7 => (2, usize::from(u16::from_be_bytes([*tail.first()?, *tail.get(1)?]))),
        9 => (0, 16),
        _ => return None,
    };
    let (value, tail) = tail.split_at_checked(n_length + n)?;
    *rest = tail;
    let text = (*kind == 7).then(|| String::from_utf8_lossy(&value[n_length..]).into_owned());
    Some((name, text))
}

fn word(bytes: &[u8], at: usize) -> usize {
    let four = bytes[at..at + 4].try_into().expect("four bytes were taken");
    u32::from_be_bytes(four) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with headers of text.
    fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut head = Vec::new();
        for (name, value) in headers {
            head.push(name.len() as u8);
            head.extend_from_slice(name.as_bytes());
            head.push(7);
            head.extend_from_slice(&(value.len() as u16).to_be_bytes());
            head.extend_from_slice(value.as_bytes());
        }
        let total = (PRELUDE + head.len() + payload.len() + CRC) as u32;
        let mut bytes = [total.to_be_bytes(), (head.len() as u32).to_be_bytes()].concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn read(chunks: &[&[u8]]) -> Result<Vec<Frame>, String> {
        let (mut reader, mut out) = (FrameReader::default(), Vec::new());
        for chunk in chunks {
            reader.take(chunk, &mut out)?;
        }
        Ok(out)
    }

    /// The published examples of the format: an empty message, a payload alone, and one header of type 4.
    #[test]
    fn published_messages_are_read() {
        let empty = hex::decode("000000100000000005c248eb7d98c8ff").unwrap();
        assert_eq!(read(&[&empty]).unwrap(), [Frame::default()]);
        let payload = hex::decode("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936").unwrap();
        assert_eq!(read(&[&payload]).unwrap()[0].payload, b"{'foo':'bar'}");
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let one = message(&[(":message-type", "event"), (":event-type", "messageStop")], b"{}");
        let two = message(&[(":message-type", "exception"), (":exception-type", "throttlingException")], b"{\"a\":1}");
        let both = [one, two].concat();
        let whole = read(&[&both]).unwrap();
        assert_eq!((whole[0].kind.as_str(), whole[1].message_type.as_str()), ("messageStop", "exception"));
        for size in 1..both.len() {
            let chunks: Vec<&[u8]> = both.chunks(size).collect();
            assert_eq!(read(&chunks).unwrap(), whole, "chunks of {size}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        let good = message(&[(":event-type", "x")], b"payload");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(read(&[&bad]).is_err(), "byte {at}");
        }
        // A length that would take gigabytes is refused before anything is kept for it.
        let mut huge = [u32::MAX.to_be_bytes(), 0u32.to_be_bytes()].concat();
        huge.extend_from_slice(&crc32fast::hash(&huge).to_be_bytes());
        assert!(read(&[&huge]).unwrap_err().contains("bytes"));
        let mut short = [12u32.to_be_bytes(), 0u32.to_be_bytes()].concat();
        short.extend_from_slice(&crc32fast::hash(&short).to_be_bytes());
        assert!(read(&[&short]).is_err());
    }
}
