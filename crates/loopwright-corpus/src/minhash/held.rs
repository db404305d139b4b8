//! The search over documents that all are in memory: no folder, and the same clusters.

use super::{
    buffer::Buffer,
    forest::{Clusters, DOCUMENTS_MAX, Forest},
    method::Method,
    settings::MinHashSettings,
    sign::Signer,
};
use crate::{Error, Result};

/// The clusters of these documents, joined in the order in which [`super::Finder`] joins them. A document takes the bytes
/// of its signature (896 by default) while the search runs.
///
/// ```
/// use loopwright_corpus::minhash::{MinHashSettings, clusters};
///
/// let texts = ["a kettle that whistles when its water boils", "short", "A kettle that whistles, when its water boils!"];
/// let found = clusters(&MinHashSettings::default(), &texts)?;
/// assert_eq!(found.kept().collect::<Vec<_>>(), [0, 1]);
/// # Ok::<(), loopwright_corpus::Error>(())
/// ```
pub fn clusters<T: AsRef<str> + Sync>(settings: &MinHashSettings, texts: &[T]) -> Result<Clusters> {
    let method = Method::Near(Signer::new(settings)?);
    if texts.len() as u64 > DOCUMENTS_MAX {
        let expected = format!("at most {DOCUMENTS_MAX} documents");
        return Err(Error::Documents { expected, got: texts.len().to_string() });
    }
    let mut buffer = Buffer::new(method.shape());
    buffer.extend(0, texts, texts.len(), |scratch, text: &T, keys| method.keys(scratch, text.as_ref(), keys));
    let mut forest = Forest::new(texts.len());
    for bucket in 0..method.shape().buckets {
        for pair in buffer.sorted(bucket).windows(2).filter(|pair| buffer.is_same(bucket, pair[0], pair[1])) {
            forest.join(pair[0].1 as usize, pair[1].1 as usize);
        }
    }
    Ok(forest.into_clusters())
}
