//! Private key blocks (RFC 7468): from `-----BEGIN … PRIVATE KEY-----` to its end.

/// Longest block, in bytes: an RSA key of 16,384 bits takes 12,800.
pub(crate) const BLOCK_BYTES_MAX: usize = 16 * 1024;
/// Longest label between the dashes.
const LABEL_BYTES_MAX: usize = 40;
const DASHES: &str = "-----";

/// The block whose first dash stands at `start`. Without its end it goes as far as the base64 does.
pub(super) fn find(text: &str, start: usize) -> Option<(usize, usize)> {
    let label = text[start..].strip_prefix("-----BEGIN ")?;
    let length = label.bytes().take(LABEL_BYTES_MAX).take_while(|b| b.is_ascii_uppercase() || *b == b' ').count();
    let name = &label[..length];
    let body = label[length..].strip_prefix(DASHES)?;
    if !(name.ends_with("PRIVATE KEY") || name.ends_with("PRIVATE KEY BLOCK")) {
        return None;
    }
    let body_start = text.len() - body.len();
    let last = format!("{DASHES}END {name}{DASHES}");
    let window = &body.as_bytes()[..body.len().min(BLOCK_BYTES_MAX)];
    let end = match window.windows(last.len()).position(|part| part == last.as_bytes()) {
        Some(at) => body_start + at + last.len(),
        None => body_start + window.iter().take_while(|b| is_base64(**b) || b.is_ascii_whitespace()).count(),
    };
    Some((start, start + text[start..end].trim_end().len()))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_whole() {
        let check = |text: &str, expected: Option<&str>| {
            let found = text.find("-----BEGIN").and_then(|at| find(text, at)).map(|(start, end)| &text[start..end]);
            assert_eq!(found, expected);
        };
        let encrypted =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----";
        check(&format!("a {encrypted} b"), Some(encrypted));
        check("-----BEGIN EC PRIVATE KEY-----\nMIIB\nAA==\n!", Some("-----BEGIN EC PRIVATE KEY-----\nMIIB\nAA=="));
        check("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", None);
        check("-----BEGIN CERTIFICATE-----", None);
    }
}
