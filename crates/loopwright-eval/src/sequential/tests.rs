use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// The mixture integrated by Simpson's rule.
fn integrated(k: u64, m: u64) -> f64 {
    const N: u32 = 20_000;
    let f = |q: f64| 2.0 * (2.0 * q).powi(k as i32) * (2.0 * (1.0 - q)).powi((m - k) as i32);
    let h = 0.5 / f64::from(N);
    let weight = |i: u32| {
        if i == 0 || i == N {
            1.0
        } else if i % 2 == 1 {
            4.0
        } else {
            2.0
        }
    };
    (0..=N).map(|i| weight(i) * f(0.5 + h * f64::from(i))).sum::<f64>() * h / 3.0
}

#[test]
fn the_closed_form_is_the_integral() {
    for m in [0_u64, 1, 2, 5, 17, 60, 200] {
        for k in [0, m / 4, m / 2, m.div_ceil(2), 2 * m / 3, m] {
            let (got, expected) = (ln_e_value(k, m - k).exp(), integrated(k, m));
            assert!((got / expected - 1.0).abs() < 1e-8, "k {k} of {m}: got {got}, expected {expected}");
        }
    }
}

#[test]
fn evidence_stays_finite() {
    assert_eq!(ln_e_value(5000, 0), LN_E_MAX);
    assert!(ln_e_value(0, 1_000_000).is_finite());
    assert!(ln_e_value(500_000, 500_000) < 0.0);
}

/// The probability that the evidence ever reaches 1/alpha within 2,000 telling pairs of equally good models, summed
/// exactly along all paths.
#[test]
fn the_exact_crossing_probability_keeps_alpha() {
    for alpha in [0.01_f64, 0.05, 0.2] {
        let mut alive = vec![1.0];
        let mut crossed = 0.0;
        for m in 1..=2000_u64 {
            let mut next = vec![0.0; m as usize + 1];
            for (k, p) in alive.iter().enumerate() {
                next[k] += 0.5 * p;
                next[k + 1] += 0.5 * p;
            }
            for k in (0..=m).rev() {
                if ln_e_value(k, m - k) < -alpha.ln() {
                    break;
                }
                crossed += std::mem::take(&mut next[k as usize]);
            }
            alive = next;
        }
        assert!(crossed <= alpha && crossed > 0.3 * alpha, "alpha {alpha}: {crossed}");
    }
}

/// Ends of `n_trials` simulated canaries with a look after every outcome: shares promoted and rolled back, and the
/// median number of pairs to a decision.
fn canaries(
    n_trials: u64,
    alpha: f64,
    outcomes: impl Fn(&mut ChaCha8Rng) -> Vec<(Arm, bool)> + Sync,
) -> (f64, f64, u64) {
    let trial = |trial: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        rng.set_stream(trial);
        let mut test = SequentialTest::new(0.95);
        for (arm, right) in outcomes(&mut rng) {
            test.observe(arm, right);
            // The intervals of `evidence()` take no part in the decision.
            if test.evidence.e_better_max.max(test.evidence.e_worse) >= 1.0 / alpha {
                break;
            }
        }
        (decide(&test.evidence, alpha), test.evidence.n_pairs)
    };
    let ends: Vec<_> = (0..n_trials).into_par_iter().map(trial).collect();
    let share = |v| ends.iter().filter(|end| end.0 == v).count() as f64 / n_trials as f64;
    let mut n_pairs: Vec<u64> = ends.iter().map(|end| end.1).collect();
    n_pairs.sort();
    (share(SequentialVerdict::Promote), share(SequentialVerdict::RollBack), n_pairs[n_pairs.len() / 2])
}

fn steady(live: f64, candidate: f64, share: f64, n: usize) -> impl Fn(&mut ChaCha8Rng) -> Vec<(Arm, bool)> + Sync {
    move |rng| {
        let mut one = |_| match rng.random_bool(share) {
            true => (Arm::Candidate, rng.random_bool(candidate)),
            false => (Arm::Live, rng.random_bool(live)),
        };
        (0..n).map(&mut one).collect()
    }
}

/// Equally good models. The bound is Ville's; the truth lies below it (the evidence overshoots 1/alpha, and the
/// traffic ends), so 10,000 trials need no extra slack for chance.
#[test]
fn equal_models_are_rarely_told_apart() {
    for (accuracy, share) in [(0.75, 0.5), (0.92, 0.3)] {
        let (promoted, rolled_back, _) = canaries(10_000, 0.05, steady(accuracy, accuracy, share, 1000));
        assert!(promoted <= 0.05 && rolled_back <= 0.05, "accuracy {accuracy}: {promoted} {rolled_back}");
        assert!(promoted > 0.0, "the simulation must be able to err");
    }
}

#[test]
fn a_clear_difference_is_decided_within_a_few_hundred_pairs() {
    let (promoted, _, median) = canaries(1000, 0.05, steady(0.75, 0.92, 0.5, 800));
    assert!(promoted >= 0.99 && median < 150, "promoted {promoted}, median {median}");
    let (_, rolled_back, median) = canaries(1000, 0.05, steady(0.92, 0.75, 0.5, 800));
    assert!(rolled_back >= 0.99 && median < 150, "rolled back {rolled_back}, median {median}");
}

/// Two equal models while the traffic grows easier, the candidate on a tenth of it. Pairing the i-th with the i-th
/// compares the candidate's late answers with live's early ones.
fn easier_traffic(rng: &mut ChaCha8Rng) -> Vec<(Arm, bool)> {
    const N: usize = 3000;
    let mut one = |i: usize| {
        let arm = if rng.random_bool(0.1) { Arm::Candidate } else { Arm::Live };
        (arm, rng.random_bool(0.5 + 0.45 * i as f64 / N as f64))
    };
    (0..N).map(&mut one).collect()
}

#[test]
fn changing_traffic_is_not_taken_for_a_better_model() {
    let (promoted, rolled_back, _) = canaries(2000, 0.05, easier_traffic);
    assert!(promoted <= 0.05 && rolled_back <= 0.05, "{promoted} {rolled_back}");
    let rank_paired = |rng: &mut ChaCha8Rng| {
        let outcomes = easier_traffic(rng);
        let of = |arm: Arm| outcomes.iter().filter(move |o| o.0 == arm).copied().collect::<Vec<_>>();
        of(Arm::Live).into_iter().zip(of(Arm::Candidate)).flat_map(|(a, b)| [a, b]).collect()
    };
    let (promoted, _, _) = canaries(200, 0.05, rank_paired);
    assert!(promoted > 0.5, "pairing by rank would have promoted {promoted}");
}

#[test]
fn an_outcome_meets_the_newest_waiting_one() {
    use Arm::{Candidate, Live};
    let seen = evidence(&[(Live, false), (Live, true), (Candidate, true), (Candidate, true), (Candidate, false)], 0.95);
    // The first candidate meets the second live (both right), the second meets the first, the third waits.
    assert_eq!((seen.n_pairs, seen.n_only_candidate, seen.n_only_live), (2, 1, 0));
    assert_eq!((seen.n_live, seen.n_live_right, seen.n_candidate, seen.n_candidate_right), (2, 1, 3, 2));
    assert!((seen.e_better - 1.5).abs() < 1e-12 && seen.e_better_max == seen.e_better, "{seen:?}");
    assert_eq!(seen.candidate_accuracy.unwrap().point, 2.0 / 3.0);
}

#[test]
fn a_stored_test_goes_on_as_if_nothing_had_happened() {
    let outcomes = steady(0.7, 0.9, 0.3, 60)(&mut ChaCha8Rng::seed_from_u64(1));
    let mut test = SequentialTest::new(0.95);
    outcomes[..30].iter().for_each(|(arm, right)| test.observe(*arm, *right));
    let mut test: SequentialTest = serde_json::from_str(&serde_json::to_string(&test).unwrap()).unwrap();
    outcomes[30..].iter().for_each(|(arm, right)| test.observe(*arm, *right));
    assert_eq!(test.evidence(), evidence(&outcomes, 0.95));
}

#[test]
fn nothing_seen_decides_nothing() {
    let seen = evidence(&[], 0.95);
    assert_eq!(decide(&seen, 0.05), SequentialVerdict::Continue { about_n_more: None });
    assert_eq!((always_valid_p(&seen), seen.live_accuracy), (1.0, None));
    assert_eq!(decide(&Evidence::default(), 0.05), SequentialVerdict::Continue { about_n_more: None });
}

/// The estimate on the data of a canary half-way is of the right size: at 0.75 against 0.92 some 85 pairs decide
/// (ln 20 plus the mixture's price of about ln(m)/2, over 0.053 per pair).
#[test]
fn the_estimate_of_what_is_missing_is_sober() {
    let seen = Evidence {
        n_pairs: 40,
        n_only_candidate: 9,
        n_only_live: 2,
        e_better: ln_e_value(9, 2).exp(),
        e_better_max: ln_e_value(9, 2).exp(),
        e_worse: ln_e_value(2, 9).exp(),
        ..Evidence::default()
    };
    let SequentialVerdict::Continue { about_n_more: Some(n) } = decide(&seen, 0.05) else {
        panic!("decided too early")
    };
    assert!((5..80).contains(&n), "{n}");
}

#[test]
fn variants_have_arms() {
    assert_eq!((Arm::of_variant("live"), Arm::of_variant("canary")), (Some(Arm::Live), Some(Arm::Candidate)));
    assert_eq!(Arm::of_variant("other"), None);
}
