//! What can be found, and what is to be masked.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A kind of personal data or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PiiKind {
    /// A key, token, password or private key.
    Secret,
    /// A payment card number (ISO/IEC 7812: 13 to 19 digits with a Luhn check digit).
    Card,
    /// A bank account number (ISO 13616, check by mod 97).
    Iban,
    /// A number that a state gives a person: US SSN and ITIN, UK NHS number and NINO, German tax id, French NIR, Spanish
    /// DNI and NIE, Italian codice fiscale, Dutch BSN.
    NationalId,
    /// An address of a cryptocurrency: Bitcoin and its kin (Base58Check, Bech32), Ethereum.
    Crypto,
    /// An e-mail address.
    Email,
    /// A phone number, international (E.164) or in a national shape.
    Phone,
    /// An IP address, version 4 or 6.
    Ip,
    /// A hardware address of a network card (EUI-48).
    Mac,
    /// A passport or driving licence number, recognised by the words before it.
    Document,
    /// A date of birth, recognised by the words before it.
    BirthDate,
    /// A place on earth as latitude and longitude.
    Coordinates,
    /// A person's name.
    Person,
    /// Any other identifier of the text's author, such as a customer number.
    Id,
}

impl PiiKind {
    /// Every kind, the one that wins a tie first.
    pub const ALL: [Self; 14] = [
        Self::Secret,
        Self::Card,
        Self::Iban,
        Self::NationalId,
        Self::Crypto,
        Self::Email,
        Self::Phone,
        Self::Ip,
        Self::Mac,
        Self::Document,
        Self::BirthDate,
        Self::Coordinates,
        Self::Person,
        Self::Id,
    ];

    /// The text that takes the place of a finding.
    pub fn mask(self) -> &'static str {
        match self {
            Self::Secret => "<SECRET>",
            Self::Card => "<CARD>",
            Self::Iban => "<IBAN>",
            Self::NationalId => "<NATIONAL_ID>",
            Self::Crypto => "<CRYPTO>",
            Self::Email => "<EMAIL>",
            Self::Phone => "<PHONE>",
            Self::Ip => "<IP>",
            Self::Mac => "<MAC>",
            Self::Document => "<DOCUMENT>",
            Self::BirthDate => "<BIRTH_DATE>",
            Self::Coordinates => "<COORDINATES>",
            Self::Person => "<PERSON>",
            Self::Id => "<ID>",
        }
    }

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::NationalId => "national_id",
            Self::Crypto => "crypto",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ip => "ip",
            Self::Mac => "mac",
            Self::Document => "document",
            Self::BirthDate => "birth_date",
            Self::Coordinates => "coordinates",
            Self::Person => "person",
            Self::Id => "id",
        }
    }
}

/// A found span: byte positions in the text that was searched, on character boundaries, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub kind: PiiKind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A text with its findings masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redacted {
    /// The masked text.
    pub text: String,
    /// What was masked: positions in the *original* text, in order, without overlaps.
    pub findings: Vec<Finding>,
}

impl Redacted {
    /// Findings per kind.
    pub fn counts(&self) -> BTreeMap<PiiKind, u64> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(finding.kind).or_default() += 1;
        }
        counts
    }
}

/// Which kinds are masked. By default all: a kind whose shape alone would hit other numbers (national ids without a check
/// digit, documents, dates of birth, coordinates) is found only after a word that says what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedactPolicy {
    /// The masked kinds.
    pub kinds: BTreeSet<PiiKind>,
}

impl Default for RedactPolicy {
    fn default() -> Self {
        Self { kinds: PiiKind::ALL.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_from_a_list_of_words_and_defaults_to_all() {
        let some: RedactPolicy = serde_json::from_str(r#"{"kinds": ["email", "card"]}"#).unwrap();
        assert_eq!(some.kinds, BTreeSet::from([PiiKind::Card, PiiKind::Email]));
        assert_eq!(serde_json::from_str::<RedactPolicy>("{}").unwrap().kinds.len(), PiiKind::ALL.len());
        assert!(serde_json::from_str::<RedactPolicy>(r#"{"kind": []}"#).is_err());
    }

    #[test]
    fn stored_words_and_masks_are_those_of_serde_and_differ() {
        for kind in PiiKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.as_str()));
            assert_eq!(kind.mask(), format!("<{}>", kind.as_str().to_uppercase()));
        }
        assert!(PiiKind::ALL.is_sorted(), "ties go to the kind that comes first in both orders");
    }
}
