//! Every trainable parameter gets a gradient, and it is the slope of the loss.
//!
//! The slope along a direction d of length 1 is (L(w + h·d) − L(w − h·d)) / 2h. With losses near 3, an f32 loss is exact
//! to 2e-7, so the slope to 2e-7 / h = 2e-5 at h = 1e-2; the third derivative adds about h² times a number near 1, 1e-4.
//! The tolerance is 4e-4 plus 1% of the gradient's length. A dropped gradient is off by its whole length, which the test
//! wants to be at least 5e-3.

use crate::{adapted, model, noise};
use candle_core::{Tensor, Var};
use loopwright_lm::{Batch, Model, chat, loss};

const STEP: f32 = 1e-2;

fn batch() -> Batch {
    let long = [1u32, 7, 8, 9, 10, 11, 12, 2];
    let short = [1u32, 13, 14, 15, 2];
    Batch::new(
        &[(&long, &[false, false, true, true, false, true, true, true]), (&short, &[false, true, true, true, true])],
        chat::PAD,
    )
    .unwrap()
}

/// Loss at w + h·d.
fn moved(var: &Var, direction: &Tensor, by: f32, loss: &dyn Fn() -> f64) -> f64 {
    let start = var.as_detached_tensor().copy().unwrap();
    var.set(&(&start + (direction * f64::from(by)).unwrap()).unwrap()).unwrap();
    let value = loss();
    var.set(&start).unwrap();
    value
}

fn check(model: &Model, loss: &dyn Fn(&Model) -> Tensor) {
    let parameters = model.trainable_parameters();
    let gradients = loss(model).backward().unwrap();
    let value = || f64::from(loss(model).to_scalar::<f32>().unwrap());
    for (i, (name, var)) in parameters.iter().enumerate() {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("`{name}` got no gradient"));
        let length = f64::from(gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt();
        assert!(length > 5e-3, "`{name}` has a gradient of length {length}, too short to judge");
        let steepest = (gradient / length).unwrap();
        let n = var.elem_count();
        let random = |seed: u64| {
            let signs =
                (0..n).map(|k| noise(k as u64 * 77_777 + seed).signum() / (n as f32).sqrt()).collect::<Vec<_>>();
            Tensor::from_vec(signs, var.shape(), var.device()).unwrap()
        };
        for direction in [steepest, random(i as u64), random(i as u64 + 500), random(i as u64 + 900)] {
            let got = f64::from((gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
            let gap = moved(var, &direction, STEP, &value) - moved(var, &direction, -STEP, &value);
            let slope = gap / (2.0 * f64::from(STEP));
            assert!(
                (got - slope).abs() < 4e-4 + 0.01 * length,
                "`{name}`: gradient {got}, slope {slope}, length {length}"
            );
        }
    }
}

#[test]
fn every_base_weight_of_a_tied_model() {
    check(&model(true), &|model| model.loss(&batch(), 0).unwrap());
}

#[test]
fn every_base_weight_of_an_untied_model() {
    check(&model(false), &|model| model.loss(&batch(), 0).unwrap());
}

#[test]
fn every_adapter_weight() {
    check(&adapted(true, 0.0), &|model| model.loss(&batch(), 0).unwrap());
}

#[test]
fn every_adapter_weight_under_dropout() {
    check(&adapted(false, 0.25), &|model| model.loss(&batch(), 11).unwrap());
}

#[test]
fn the_plain_forward_and_loss() {
    let plain = |model: &Model| {
        let batch = batch();
        let logits = model.forward_train(&batch.tokens, 3).unwrap();
        loss::cross_entropy(&logits, &batch.targets, &batch.mask).unwrap()
    };
    for model in [model(true), adapted(false, 0.0)] {
        check(&model, &plain);
        let (a, b) = (plain(&model), model.loss(&batch(), 3).unwrap());
        let (a, b) = (a.to_scalar::<f32>().unwrap(), b.to_scalar::<f32>().unwrap());
        assert!((a - b).abs() < 2e-6, "{a} {b}");
    }
}

#[test]
fn under_an_adapter_the_base_takes_no_gradient() {
    let model = adapted(true, 0.0);
    let gradients = model.loss(&batch(), 0).unwrap().backward().unwrap();
    for (name, var) in model.named_parameters() {
        assert!(gradients.get(&var).is_none(), "`{name}`");
    }
}

#[test]
fn the_same_batch_gives_the_same_bits() {
    let model = adapted(true, 0.2);
    let bits = || {
        let gradients = model.loss(&batch(), 5).unwrap().backward().unwrap();
        let of =
            |(_, var): &(String, Var)| gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        model.trainable_parameters().iter().flat_map(of).map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(bits(), bits());
}

/// Blocks computed twice give what blocks kept give; the same operations run in the same order on the way back.
#[test]
fn recomputed_blocks_give_the_same_gradients() {
    for (model, total) in
        [(model(true), 9.0), (model(false), 9.0), (adapted(true, 0.0), 9.0), (adapted(false, 0.25), 4.0)]
    {
        let loss = model.loss_in(&batch(), total, 5).unwrap();
        let want = loss.backward().unwrap();
        let (value, got) = model.loss_and_gradients(&batch(), total, 5).unwrap();
        assert_eq!(value, loss.to_scalar::<f32>().unwrap());
        // Any other gradient would be a tensor with a history, which keeps a block's activations alive.
        let histories = got.get_ids().filter(|id| got.get_id(**id).unwrap().track_op()).count();
        assert_eq!(histories, 0);
        for (name, var) in model.trainable_parameters() {
            let gap = (got.get(&var).unwrap() - want.get(&var).unwrap()).unwrap().abs().unwrap();
            let gap = gap.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
            assert!(gap < 1e-7, "`{name}`: {gap}");
        }
    }
}

/// The loss as a function of the rows' log-probabilities: −(log p₁ + log p₂) / 9 has the slope −1/9 by each.
#[test]
fn gradients_by_likelihood_are_those_of_the_loss() {
    for model in [model(true), model(false), adapted(true, 0.0), adapted(false, 0.25)] {
        let want = model.loss_in(&batch(), 9.0, 5).unwrap();
        let gradients = want.backward().unwrap();
        for recompute in [false, true] {
            let mut sum = 0.0;
            let slopes = |rows: &[f64]| {
                sum = rows.iter().sum();
                vec![-1.0 / 9.0; 2]
            };
            let got = model.likelihood_gradients(&batch(), (5, recompute), slopes).unwrap();
            assert!((sum / 9.0 + f64::from(want.to_scalar::<f32>().unwrap())).abs() < 1e-6);
            for (name, var) in model.trainable_parameters() {
                let gap = (got.get(&var).unwrap() - gradients.get(&var).unwrap()).unwrap().abs().unwrap();
                let gap = gap.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
                assert!(gap < 1e-6, "`{name}`: {gap}");
            }
        }
        let rows = model.log_probabilities(&batch()).unwrap();
        let mean = f64::from(model.evaluate(&batch()).unwrap());
        let weight = f64::from(batch().weight().unwrap());
        assert!((rows.iter().sum::<f64>() + mean * weight).abs() < 1e-5, "{rows:?} {mean}");
    }
}

/// Two texts in one row and a third beside them, the first token of each not predicted.
fn packed() -> Batch {
    let row = [1u32, 7, 8, 9, 2, 1, 10, 11, 12, 2];
    let counts = [false, true, true, true, true, false, true, true, false, true];
    let other = [1u32, 13, 14, 2];
    Batch::new(&[(&row, &counts), (&other, &[false, true, true, true])], chat::PAD)
        .unwrap()
        .with_texts(&[&[5], &[]])
        .unwrap()
}

#[test]
fn every_weight_under_packed_texts() {
    check(&model(true), &|model| model.loss(&packed(), 0).unwrap());
    check(&adapted(false, 0.0), &|model| model.loss(&packed(), 0).unwrap());
}

/// A packed row is its texts: the loss is their weighted mean, and so is every gradient. Packed without their starts they
/// are not.
#[test]
fn packed_texts_are_read_as_if_each_had_a_row() {
    let texts: [(&[u32], &[bool]); 3] = [
        (&[1, 7, 8, 9, 2], &[false, true, true, true, true]),
        (&[1, 10, 11, 12, 2], &[false, true, true, false, true]),
        (&[1, 13, 14, 2], &[false, true, true, true]),
    ];
    for model in [model(true), model(false), adapted(true, 0.0)] {
        let apart = texts.map(|text| Batch::new(&[text], chat::PAD).unwrap());
        let total: f32 = apart.iter().map(|batch| batch.weight().unwrap()).sum();
        assert_eq!(total, packed().weight().unwrap());
        let mean: f32 =
            apart.iter().map(|batch| model.evaluate(batch).unwrap() * batch.weight().unwrap() / total).sum();
        let loss = model.loss(&packed(), 0).unwrap();
        for packed in [model.evaluate(&packed()).unwrap(), loss.to_scalar::<f32>().unwrap()] {
            assert!((packed - mean).abs() < 1e-6, "{packed} {mean}");
        }
        let crossing = packed().with_texts(&[&[], &[]]).unwrap();
        assert!((model.evaluate(&crossing).unwrap() - mean).abs() > 1e-3);
        let want = apart.iter().map(|batch| model.loss_in(batch, total, 0).unwrap().backward().unwrap());
        let want = want.reduce(|mut all, one| all.extend(one).map(|()| all).unwrap()).unwrap();
        let largest = |numbers: &Tensor| {
            numbers.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap()
        };
        // Matrices of other heights add the same terms in another order; measured, that comes to 1.2e-6 after two blocks.
        // What one text could take from another is a thousand times as large, see above.
        for got in [loss.backward().unwrap(), model.loss_and_gradients(&packed(), total, 0).unwrap().1] {
            for (name, var) in model.trainable_parameters() {
                let (got, want) = (got.get(&var).unwrap(), want.get(&var).unwrap());
                let gap = largest(&(got - want).unwrap());
                assert!(gap < 4e-6 * largest(want).max(1.0), "`{name}`: {gap} of {}", largest(want));
            }
        }
    }
    assert!(packed().with_texts(&[&[0], &[]]).is_err());
    assert!(packed().with_texts(&[&[5, 5], &[]]).is_err());
    assert!(packed().with_texts(&[&[5]]).is_err());
}
