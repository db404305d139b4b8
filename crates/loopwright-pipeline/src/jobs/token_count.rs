//! Whose tokens a data card counts.
//!
//! Those of the model that the rows are for: the base that the project file names, or the base that the loop has trained
//! of its own text. Before there is one, or where its folder holds no `tokenizer.json`, the card counts pieces
//! ([`loopwright_data::tokens`]); it says which.

use super::{collect::in_background, train};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_lm::{TOKENIZER_FILE, Tokenizer};
use loopwright_store::ObjectKey;
use loopwright_types::{ModelRef, ModelVersion};

/// The tokenizer of the model that is trained on the loop's rows, with the model's name.
pub(super) async fn tokenizer(ctx: &Context, it: &LoopSettings) -> Result<Option<(String, Tokenizer)>> {
    let Some(version) = base(ctx, it).await? else { return Ok(None) };
    let name = version.model.to_string();
    let dir = ctx.store.objects().local_dir(&ObjectKey::ModelDir { model: version.model })?;
    let path = dir.join(TOKENIZER_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let read = move || Tokenizer::from_file(&path).doing(|| "failed to count tokens for the data card".into());
    Ok(Some((name, in_background(read).await?)))
}

/// The base, if it is there.
async fn base(ctx: &Context, it: &LoopSettings) -> Result<Option<ModelVersion>> {
    if it.train.base.is_empty() {
        return train::newest(ctx, &train::base_name(it)).await;
    }
    let wrong = |problem| Error::user(format!("[train.{}] base: {problem}", it.name));
    let named: ModelRef = it.train.base.parse().map_err(wrong)?;
    let version: Option<ModelVersion> = ctx.store.get(&named.to_string()).await?;
    // An adapter has the tokenizer of the base that it sits on; training refuses it by name.
    Ok(version.filter(|version| version.base.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_data::tokens::pieces;
    use loopwright_lm::chat;

    const TEXT: &str = "Where's my parcel?  I ordered 12 kettles, and it says 'shipped' since 2026-01-03. \
        Where's my parcel?  I ordered 12 kettles, and it says 'shipped' since 2026-01-03.\n\n Größe_XL?";

    #[test]
    fn a_text_has_no_fewer_tokens_than_pieces_and_as_many_once_each_piece_is_a_token() {
        let tokens = |vocab_size, text: &str| {
            Tokenizer::train_bpe(&[text], vocab_size, &chat::SPECIAL_TOKENS).unwrap().encode(text).len() as u64
        };
        let twice = format!("{TEXT}{TEXT}");
        assert!(tokens(chat::SPECIAL_TOKENS.len() + 256, &twice) > pieces(&twice));
        assert_eq!(tokens(4000, &twice), pieces(&twice));
    }
}
