//! OpenAI's embeddings.

use crate::{
    Error, Result,
    ask::Prompt,
    wire::{
        completions::Prompts,
        fields::{About, read_json},
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Texts of one request.
const N_TEXTS_MAX: usize = 2048;

/// A request that was found good.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedAsk {
    /// The route asked for.
    pub route: String,
    /// The texts, in order.
    pub texts: Vec<Prompt>,
    /// The first so many numbers are asked for.
    pub dimensions: Option<usize>,
    /// As base64 of little-endian floats, instead of numbers?
    pub base64: bool,
    /// The end user, as the client names them.
    pub user: Option<String>,
    /// The client's tag.
    pub tag: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    model: String,
    input: Prompts,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
    user: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
}

/// Reads and checks the body of `POST /v1/embeddings`.
pub fn read_embedding(body: &[u8]) -> Result<EmbedAsk> {
    let fields: Body = read_json(body)?;
    let base64 = match fields.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            let message = format!("`encoding_format` must be float or base64, got `{other}`");
            return Err(Error::invalid("encoding_format", "invalid_value", message));
        }
    };
    if fields.dimensions == Some(0) {
        return Err(Error::invalid("dimensions", "invalid_value", "`dimensions` must be at least 1"));
    }
    let about = About::read(fields.user, fields.metadata)?;
    Ok(EmbedAsk {
        route: fields.model,
        texts: fields.input.read("input", N_TEXTS_MAX)?,
        dimensions: fields.dimensions,
        base64,
        user: about.user,
        tag: about.tag,
    })
}

/// The first `n` numbers of an embedding, of length 1 again (as Matryoshka embeddings are cut, Kusupati et al. 2022).
pub fn shortened(mut vector: Vec<f32>, n: Option<usize>) -> Result<Vec<f32>> {
    let Some(n) = n.filter(|n| *n != vector.len()) else { return Ok(vector) };
    if n > vector.len() {
        let message = format!("`dimensions` must be at most {}, the model's own, got {n}", vector.len());
        return Err(Error::invalid("dimensions", "invalid_value", message));
    }
    vector.truncate(n);
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    Ok(vector)
}

/// The answer's body.
pub fn embeddings_json(model: &str, vectors: &[Vec<f32>], base64: bool, n_tokens: u32) -> Value {
    let data = vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = match base64 {
            true => json!(BASE64_STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())),
            false => json!(vector),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let usage = json!({"prompt_tokens": n_tokens, "total_tokens": n_tokens});
    json!({"object": "list", "data": data.collect::<Vec<_>>(), "model": model, "usage": usage})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_texts_or_tokens() {
        let read = |fields: Value| {
            let mut body = json!({"model": "minds", "input": "a"});
            fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
            read_embedding(body.to_string().as_bytes())
        };
        assert_eq!(read(json!({"input": [[1, 2], [3]]})).unwrap().texts.len(), 2);
        let all = read(json!({"encoding_format": "base64", "dimensions": 3})).unwrap();
        assert_eq!((all.base64, all.dimensions), (true, Some(3)));
        for (fields, param) in [
            (json!({"input": ""}), "input"),
            (json!({"input": []}), "input"),
            (json!({"encoding_format": "hex"}), "encoding_format"),
            (json!({"dimensions": 0}), "dimensions"),
        ] {
            assert_eq!(read(fields).unwrap_err().param(), Some(param));
        }
    }

    #[test]
    fn a_shortened_embedding_has_length_one_again() {
        assert_eq!(shortened(vec![3.0, 4.0, 12.0], Some(2)).unwrap(), [0.6, 0.8]);
        assert_eq!(shortened(vec![3.0, 4.0], None).unwrap(), [3.0, 4.0]);
        assert_eq!(shortened(vec![1.0], Some(2)).unwrap_err().param(), Some("dimensions"));
    }

    #[test]
    fn base64_holds_the_same_numbers() {
        let body = embeddings_json("minds", &[vec![1.0, -0.5]], true, 4);
        // 1.0 is 00 00 80 3f, -0.5 is 00 00 00 bf.
        assert_eq!(body["data"][0]["embedding"], "AACAPwAAAL8=");
        assert_eq!(body["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    }
}
