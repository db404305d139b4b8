//! The documents whose keys wait in memory for the next sorted run.

use rayon::prelude::*;

/// What the records of one corpus look like. A record is one bucket's values and the document's index, all of them
/// big-endian, so that records compare as their bytes do: by the values from left to right, then by the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Buckets of a document.
    pub(super) buckets: usize,
    /// Values in a bucket.
    pub(super) bucket_values: usize,
    /// Bytes of a value.
    pub(super) value_bytes: usize,
}

impl Shape {
    pub(super) const INDEX_BYTES: usize = size_of::<u32>();

    pub(super) fn values(&self) -> usize {
        self.buckets * self.bucket_values
    }

    /// Bytes of a record's values.
    pub(super) fn key_bytes(&self) -> usize {
        self.bucket_values * self.value_bytes
    }

    /// Bytes of a record.
    pub(super) fn record_bytes(&self) -> usize {
        self.key_bytes() + Self::INDEX_BYTES
    }

    /// Bytes of memory that a waiting document takes, its share of the sorting of `n_sorts` buckets at once included.
    pub(super) fn waiting_bytes(&self, n_sorts: usize) -> usize {
        self.values() * size_of::<u64>() + size_of::<u32>() + n_sorts * size_of::<Place>()
    }
}

/// A document's first value in a bucket, and its place in the buffer.
pub(super) type Place = (u64, u32);

/// Marks a document that has no keys.
const NO_KEYS: u32 = u32::MAX;

/// Keys of documents, in the order in which they came.
#[derive(Debug)]
pub(super) struct Buffer {
    shape: Shape,
    values: Vec<u64>,
    documents: Vec<u32>,
}

impl Buffer {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, values: Vec::new(), documents: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.documents.len()
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.documents.clear();
    }

    /// How many documents have keys.
    pub(super) fn n_records(&self) -> usize {
        self.documents.iter().filter(|document| **document != NO_KEYS).count()
    }

    /// Takes documents in, in parallel. `fill` writes a text's keys, and says whether it has any.
    pub(super) fn extend<S: Default, T: Sync>(
        &mut self,
        first_index: u32,
        texts: &[T],
        capacity: usize,
        fill: impl Fn(&mut S, &T, &mut [u64]) -> bool + Sync,
    ) {
        let (from, width) = (self.len(), self.shape.values());
        // Exactly as much as was granted; a vector that doubles could hold up to twice that.
        self.values.reserve_exact(capacity * width - self.values.len());
        self.documents.reserve_exact(capacity - from);
        self.values.resize((from + texts.len()) * width, 0);
        self.documents.extend((first_index..).take(texts.len()));
        let values = self.values[from * width..].par_chunks_exact_mut(width);
        let slots = texts.par_iter().zip(values).zip(&mut self.documents[from..]).with_min_len(16);
        slots.for_each_init(S::default, |scratch, ((text, values), document)| {
            if !fill(scratch, text, values) {
                *document = NO_KEYS;
            }
        });
    }

    /// The places of the documents with keys, sorted by their record in `bucket`.
    pub(super) fn sorted(&self, bucket: usize) -> Vec<Place> {
        let mut places = Vec::with_capacity(self.len());
        let kept = (0..self.len() as u32).filter(|place| self.documents[*place as usize] != NO_KEYS);
        places.extend(kept.map(|place| (self.key(bucket, place)[0], place)));
        places.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0)
                .then_with(|| self.key(bucket, a.1).cmp(self.key(bucket, b.1)))
                .then_with(|| self.documents[a.1 as usize].cmp(&self.documents[b.1 as usize]))
        });
        places
    }

    /// Whether two places have the same values in `bucket`.
    pub(super) fn is_same(&self, bucket: usize, a: Place, b: Place) -> bool {
        a.0 == b.0 && self.key(bucket, a.1) == self.key(bucket, b.1)
    }

    /// Writes the record of a place into `record`.
    pub(super) fn record(&self, bucket: usize, place: Place, record: &mut Vec<u8>) {
        record.clear();
        for value in self.key(bucket, place.1) {
            record.extend_from_slice(&value.to_be_bytes()[size_of::<u64>() - self.shape.value_bytes..]);
        }
        record.extend_from_slice(&self.documents[place.1 as usize].to_be_bytes());
    }

    fn key(&self, bucket: usize, place: u32) -> &[u64] {
        let start = place as usize * self.shape.values() + bucket * self.shape.bucket_values;
        &self.values[start..start + self.shape.bucket_values]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_sort_as_their_bytes_do() {
        let shape = Shape { buckets: 2, bucket_values: 2, value_bytes: 4 };
        let mut buffer = Buffer::new(shape);
        let texts = [[1u64, 9, 7, 1], [1, 2, 7, 1], [0, 0, 0, 0], [256, 0, 6, 9]];
        buffer.extend(5, &texts, 8, |_: &mut (), text: &[u64; 4], values| {
            values.copy_from_slice(text);
            text[0] > 0
        });
        assert_eq!((buffer.len(), buffer.n_records()), (4, 3));
        let mut record = Vec::new();
        let mut records = |bucket| -> Vec<Vec<u8>> {
            let places = buffer.sorted(bucket);
            places
                .into_iter()
                .map(|place| {
                    buffer.record(bucket, place, &mut record);
                    record.clone()
                })
                .collect()
        };
        assert_eq!(
            records(0),
            [
                [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 6],
                [0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 5],
                [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 8]
            ]
        );
        // Equal keys: by the document's index.
        assert_eq!(records(1).iter().map(|record| record[11]).collect::<Vec<_>>(), [8, 5, 6]);
        assert!(records(0).is_sorted() && records(1).is_sorted());
        assert_eq!(shape.record_bytes(), 12);
    }
}
