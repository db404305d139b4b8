//! Addresses of cryptocurrencies: Base58Check (Bitcoin, Litecoin, Dogecoin, Tron), Bech32 (BIP 173, BIP 350), and
//! Ethereum's 20 bytes in hexadecimal.

use super::{char_at, char_before};
use crate::{Finding, PiiKind};
use sha2::{Digest, Sha256};
use std::ops::Range;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Characters of a Base58Check address.
const BASE58_CHARS: std::ops::RangeInclusive<usize> = 26..=35;
/// Characters of a Bech32 address (BIP 173: at most 90 in all).
const BECH32_CHARS: std::ops::RangeInclusive<usize> = 14..=90;
/// `0x` and 20 bytes.
const ETHEREUM_CHARS: usize = 42;
/// A version byte, the hash of a key or script (RIPEMD-160), and four bytes of check.
const PAYLOAD_BYTES: usize = 25;
/// Version bytes: Bitcoin key and script, Dogecoin, Litecoin key and script, Tron.
const VERSIONS: [u8; 6] = [0x00, 0x05, 0x1e, 0x30, 0x32, 0x41];
/// Human-readable parts of Bitcoin and Litecoin.
const PREFIXES: [&str; 2] = ["bc", "ltc"];

pub(super) fn find(text: &str, words: &[Range<usize>], found: &mut Vec<Finding>) {
    for word in words.iter().filter(|word| word.len() >= *BECH32_CHARS.start() && word.len() <= *BECH32_CHARS.end()) {
        let address = &text[word.clone()];
        let is_address = is_ethereum(address) || is_base58_check(address) || is_bech32(address);
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        if is_address && !joined(char_before(text, word.start)) && !joined(char_at(text, word.end)) {
            found.push(Finding { kind: PiiKind::Crypto, start: word.start, end: word.end });
        }
    }
}

fn is_ethereum(word: &str) -> bool {
    word.len() == ETHEREUM_CHARS
        && word.strip_prefix("0x").is_some_and(|rest| {
            rest.bytes().all(|byte| byte.is_ascii_hexdigit()) && rest.bytes().any(|byte| byte != rest.as_bytes()[0])
        })
}

fn is_base58_check(word: &str) -> bool {
    let Some(payload) = BASE58_CHARS.contains(&word.len()).then(|| base58_bytes(word)).flatten() else { return false };
    VERSIONS.contains(&payload[0]) && base58_check(&payload[..PAYLOAD_BYTES - 4]) == payload[PAYLOAD_BYTES - 4..]
}

/// The first four bytes of the hash of the hash.
fn base58_check(payload: &[u8]) -> [u8; 4] {
    let twice = Sha256::digest(Sha256::digest(payload));
    [twice[0], twice[1], twice[2], twice[3]]
}

fn base58_bytes(word: &str) -> Option<[u8; PAYLOAD_BYTES]> {
    let mut bytes = [0; PAYLOAD_BYTES];
    for character in word.bytes() {
        let mut carry = BASE58.iter().position(|it| *it == character)?;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry % 256) as u8;
            carry /= 256;
        }
        if carry > 0 {
            return None;
        }
    }
    Some(bytes)
}

fn is_bech32(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    if lower != word && word.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return false;
    }
    let Some((prefix, data)) = lower.split_once('1') else { return false };
    let values: Option<Vec<u8>> =
        data.bytes().map(|b| BECH32.iter().position(|c| *c == b).map(|at| at as u8)).collect();
    PREFIXES.contains(&prefix)
        && values.is_some_and(|it| it.len() > 6 && matches!(bech32_rest(prefix, &it), 1 | 0x2bc8_30a3))
}

/// The remainder of BIP 173's checksum polynomial: 1 for Bech32, 0x2bc830a3 for Bech32m.
fn bech32_rest(prefix: &str, values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let expanded = prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31));
    expanded.chain(values.iter().copied()).fold(1, |rest, value| {
        let top = rest >> 25;
        let shifted = (rest & 0x01ff_ffff) << 5 ^ u32::from(value);
        (0..5).filter(|bit| top >> bit & 1 == 1).fold(shifted, |rest, bit| rest ^ GENERATOR[bit])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, marks::Marks};
    use proptest::prelude::*;

    /// Base58Check text of a payload with its check appended.
    fn base58_text(payload: &[u8]) -> String {
        let mut rest = payload.to_vec();
        rest.extend(base58_check(payload));
        let n_zeros = rest.iter().take_while(|byte| **byte == 0).count();
        let mut text = Vec::new();
        while rest.iter().any(|byte| *byte != 0) {
            let mut remainder = 0;
            for byte in &mut rest {
                let value = remainder * 256 + usize::from(*byte);
                *byte = (value / 58) as u8;
                remainder = value % 58;
            }
            text.push(char::from(BASE58[remainder]));
        }
        text.extend(std::iter::repeat_n('1', n_zeros));
        text.iter().rev().collect()
    }

    /// Bech32 text of these five-bit values.
    fn bech32_text(prefix: &str, values: &[u8]) -> String {
        let padded: Vec<u8> = values.iter().copied().chain([0; 6]).collect();
        let check = bech32_rest(prefix, &padded) ^ 1;
        let tail = (0..6).map(|at| (check >> (5 * (5 - at)) & 31) as u8);
        let data = values.iter().copied().chain(tail).map(|value| char::from(BECH32[usize::from(value)]));
        format!("{prefix}1{}", data.collect::<String>())
    }

    #[test]
    fn addresses_are_found_by_their_checks() {
        check(
            |text, found| find(text, &Marks::of(text).words, found),
            &[
                // The first address of the chain, and BIP 173's and BIP 350's examples.
                ("to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa!", &["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"]),
                ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", &["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"]),
                (
                    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                    &["bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"],
                ),
                ("0x52908400098527886E0F7030069857D2E4169EE7", &["0x52908400098527886E0F7030069857D2E4169EE7"]),
                ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", &[]),
                ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", &[]),
                ("0x0000000000000000000000000000000000000000", &[]),
                ("0x52908400098527886E0F7030069857D2E4169EE", &[]),
            ],
        );
    }

    #[test]
    fn texts_are_those_of_their_payloads() {
        let zero_key = [0; 21];
        assert_eq!(base58_text(&zero_key), "1111111111111111111114oLvT2");
        assert!(is_bech32(&bech32_text("bc", &[0, 14, 20, 15, 7, 13, 26, 0, 25, 18])));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_address_is_found_and_a_changed_one_is_not(hash in any::<[u8; 20]>(), version in prop::sample::select(VERSIONS.to_vec()), at in 1_usize..25) {
            let mut payload = vec![version];
            payload.extend(hash);
            let values: Vec<u8> = hash.iter().map(|byte| byte % 32).collect();
            for address in [base58_text(&payload), bech32_text("bc", &values)] {
                let mut found = Vec::new();
                find(&address, &Marks::of(&address).words, &mut found);
                let has_digit = address.bytes().any(|byte| byte.is_ascii_digit());
                prop_assert_eq!(found.len(), usize::from(has_digit), "{}", address);
                let mut changed: Vec<char> = address.chars().collect();
                changed[at] = if changed[at] == 'z' { 'y' } else { 'z' };
                let changed: String = changed.into_iter().collect();
                found.clear();
                find(&changed, &Marks::of(&changed).words, &mut found);
                prop_assert!(found.is_empty(), "{}", changed);
            }
        }
    }
}
