//! An adapter over a base in few bits is an adapter over the numbers that the base then stands for.

use crate::{adapted, model};
use candle_core::backprop::GradStore;
use loopwright_lm::{Batch, Bits, Model, chat};

const BITS: [Bits; 2] = [Bits::Nf4, Bits::Int8];

fn batch() -> Batch {
    let rows: [(&[u32], &[bool]); 2] = [
        (&[1, 7, 8, 9, 10, 11, 12, 2], &[false, false, true, true, false, true, true, true]),
        (&[1, 13, 14, 15, 2], &[false, true, true, true, true]),
    ];
    Batch::new(&rows, chat::PAD).unwrap()
}

/// A model of the other's shape under the same adapter.
fn under(base: &Model, adapted: &Model) -> Model {
    base.with_adapter(adapted.adapter().unwrap())
}

fn gradients(model: &Model, recompute: bool) -> (f32, GradStore) {
    let batch = batch();
    if recompute {
        return model.loss_and_gradients(&batch, batch.weight().unwrap(), 5).unwrap();
    }
    let loss = model.loss(&batch, 5).unwrap();
    (loss.to_scalar().unwrap(), loss.backward().unwrap())
}

#[test]
fn losses_and_gradients_are_those_over_the_unpacked_base() {
    for (bits, dropout) in [(Bits::Nf4, 0.0), (Bits::Nf4, 0.25), (Bits::Int8, 0.0)] {
        let adapted = adapted(false, dropout);
        let packed = adapted.without_adapter().packed(bits).unwrap();
        let (few, full) = (under(&packed, &adapted), under(&packed.unpacked().unwrap(), &adapted));
        for recompute in [false, true] {
            let ((loss, got), (want_loss, want)) = (gradients(&few, recompute), gradients(&full, recompute));
            // The same products of the same numbers.
            assert_eq!(loss, want_loss);
            for (name, var) in few.trainable_parameters() {
                let numbers =
                    |store: &GradStore| store.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(numbers(&got), numbers(&want), "{bits:?}: gradient of `{name}`");
            }
            // Nothing of the base learns.
            for (name, var) in packed.named_parameters() {
                assert!(got.get(&var).is_none(), "`{name}` got a gradient");
            }
        }
        assert_ne!(gradients(&few, false).0, gradients(&adapted, false).0, "packing changes numbers");
    }
}

#[test]
fn a_packed_base_answers_nearly_as_the_whole_one() {
    let whole = model(true);
    let tokens = batch().tokens;
    let logits = |model: &Model| model.forward(&tokens, None).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let want = logits(&whole);
    let size = want.iter().map(|x| x * x).sum::<f32>().sqrt();
    let gap = |bits: Bits| {
        let got = logits(&whole.packed(bits).unwrap());
        got.iter().zip(&want).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt() / size
    };
    // NF4 rounds normal numbers with an error near 0.1 of their size (the mean square over its gaps, half a gap being
    // 0.05 to 0.15 of the largest, which is some 2.5 deviations), and errors of many maps add up; 8 bits with 0.006.
    let (nf4, int8) = (gap(Bits::Nf4), gap(Bits::Int8));
    assert!(0.01 < nf4 && nf4 < 0.4, "{nf4}");
    assert!(0.0005 < int8 && int8 < 0.03, "{int8}");
}

#[test]
fn the_base_takes_the_memory_that_is_said() {
    let whole = model(false);
    for bits in BITS {
        let packed = whole.packed(bits).unwrap();
        assert_eq!(packed.n_parameters(), whole.n_parameters());
        let n_packed =
            whole.n_parameters() - packed.named_parameters().iter().map(|(_, v)| v.elem_count() as u64).sum::<u64>();
        let left = packed.packed_bytes() as f64 / (n_packed * 4) as f64;
        let want = if bits == Bits::Nf4 { 4.6 / 32.0 } else { 10.5 / 32.0 };
        assert!(left < want, "{bits:?}: {left}");
        assert_eq!(whole.base_bytes() - packed.base_bytes(), n_packed * 4 - packed.packed_bytes());
    }
}

#[test]
fn a_packed_base_learns_and_is_written_only_by_its_adapter() {
    let adapted = adapted(false, 0.0);
    let few = under(&adapted.without_adapter().packed(Bits::Nf4).unwrap(), &adapted);
    let dir = tempfile::tempdir().unwrap();
    assert!(few.save(dir.path()).unwrap_err().to_string().contains("few bits"));
    assert!(few.merged().unwrap_err().to_string().contains("few bits"));
    assert!(few.copy().unwrap_err().to_string().contains("few bits"));
    few.adapter().unwrap().save(dir.path()).unwrap();
    // The ordinary files of an adapter, which belong to the whole base as well.
    let read = loopwright_lm::Adapter::load(dir.path(), &adapted.without_adapter()).unwrap();
    assert!(adapted.without_adapter().with_adapter(&read).merged().is_ok());
    let digests = few.packed_digests();
    assert!(!digests.is_empty());
    assert_eq!(digests, few.packed_digests());
    assert_ne!(digests, adapted.without_adapter().packed(Bits::Int8).unwrap().packed_digests());
}
