//! The identity of a dataset version's content.

use loopwright_types::{Conversation, Digest, Example, dataset::Origin};
use sha2::{Digest as _, Sha256};

/// SHA-256 over the rows in their order, every field with its length: the same rows in another order, or a byte moved
/// from one field to the next, give another digest.
pub fn digest(examples: &[Example]) -> Digest {
    let mut running = Running::default();
    examples.iter().for_each(|row| running.add(row));
    running.finish()
}

/// The digest of rows that come one after another.
#[derive(Clone, Debug, Default)]
pub struct Running(Sha256);

impl Running {
    /// Takes the next row in, as [`Digest::of_parts`] takes its next part.
    pub fn add(&mut self, row: &Example) {
        let row = row_digest(row);
        self.0.update((row.as_str().len() as u64).to_le_bytes());
        self.0.update(row.as_str().as_bytes());
    }

    /// The digest of the rows so far.
    pub fn finish(self) -> Digest {
        Digest::from_hash(&self.0.finalize())
    }
}

fn row_digest(row: &Example) -> Digest {
    // Taken apart in full, so that a new field cannot be forgotten here.
    let Example {
        row_id,
        text,
        label,
        split,
        subject,
        group,
        language,
        cluster,
        source,
        origin,
        at,
        licence,
        tags,
        conversation,
    } = row;
    let cluster = cluster.to_string();
    let optional = |value: Option<&str>| value.map_or_else(|| "-".to_string(), |value| format!("+{value}"));
    let subject = optional(subject.as_ref().map(|subject| subject.as_str()));
    let group = optional(group.as_deref());
    let origin = match origin {
        Origin::Source => "source".to_string(),
        Origin::Correction { trace } => format!("correction:{trace}"),
        Origin::Augmented { parent, generator } => format!("augmented:{}:{generator}:{parent}", generator.len()),
    };
    let at = at.map_or_else(|| "-".to_string(), |at| at.millis().to_string());
    let licence = optional(licence.as_deref());
    let turns = optional(conversation.as_ref().map(Conversation::render).as_deref());
    let fields: [&str; 13] = [
        row_id.as_str(),
        text,
        label,
        split.as_str(),
        &subject,
        &group,
        language,
        &cluster,
        source,
        &origin,
        &at,
        &licence,
        &turns,
    ];
    Digest::of_parts(fields.into_iter().chain(tags.iter().map(String::as_str)).map(str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::Split;

    #[test]
    fn content_and_order_both_count() {
        let row = |id: &str, text: &str| Example {
            row_id: id.into(),
            text: text.into(),
            label: "x".into(),
            split: Split::Train,
            subject: None,
            group: None,
            language: "eng".into(),
            cluster: 1,
            source: "s".into(),
            origin: Origin::Source,
            ..Example::default()
        };
        let (a, b) = (row("a", "one"), row("b", "two"));
        let both = digest(&[a.clone(), b.clone()]);
        assert_eq!(both, digest(&[a.clone(), b.clone()]));
        assert_ne!(both, digest(&[b.clone(), a.clone()]));
        let changed = [
            Example { group: Some(String::new()), ..b.clone() },
            Example { split: Split::Test, ..b.clone() },
            Example { cluster: 2, ..b.clone() },
            Example { origin: Origin::Correction { trace: "t".into() }, ..b.clone() },
            Example { origin: Origin::Augmented { parent: "a".into(), generator: "noise".into() }, ..b.clone() },
        ];
        for other in changed {
            assert_ne!(both, digest(&[a.clone(), other]));
        }
    }

    #[test]
    fn no_rows_have_the_digest_of_no_parts() {
        assert_eq!(digest(&[]), Digest::of_parts([]));
    }
}
