//! The stated rates, measured on made traffic.

use super::*;
use crate::Kind;
use rand::RngExt;

/// Messages of a made support desk: a topic, drawn from the first `n_topics`, with words of its own among common ones.
fn traffic(n: usize, n_topics: usize, seed: u64) -> Vec<String> {
    let common =
        ["please", "help", "my", "the", "is", "not", "order", "today", "hello", "thanks", "when", "i", "a", "again"];
    let topics = [
        ["parcel", "late", "delivery"],
        ["refund", "money", "back"],
        ["password", "login", "reset"],
        ["invoice", "tax", "copy"],
        ["scooter", "battery", "charge"],
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut message = || {
        let topic = topics[rng.random_range(0..n_topics)];
        let mut words: Vec<&str> =
            (0..rng.random_range(3..8)).map(|_| common[rng.random_range(0..common.len())]).collect();
        words.push(topic[rng.random_range(0..3)]);
        words.push(topic[rng.random_range(0..3)]);
        words.shuffle(&mut rng);
        words.join(" ")
    };
    (0..n).map(|_| message()).collect()
}

fn settings(alpha: f64, n_permutations: u32, seed: u64) -> DriftSettings {
    DriftSettings { alpha, n_permutations, seed, ..DriftSettings::default() }
}

/// P-values of `n_checks` checks on unchanged traffic with so many rows on each side.
fn p_values(n_reference: usize, n_window: usize, n_checks: u64, kernel: Kernel) -> Vec<f64> {
    let one = |nth: u64| {
        let settings = DriftSettings { kernel, ..settings(0.05, 99, nth) };
        check(&traffic(n_reference, 4, 2 * nth), &traffic(n_window, 4, 2 * nth + 1), &settings).unwrap().p_value
    };
    (0..n_checks).map(one).collect()
}

/// The share of p-values at most `alpha` must not exceed `alpha` by more than 3.3 standard errors (a chance below
/// 1 in 2,000 for a correct test), and their mean must be near one half: a test that never alarms would fail, too.
fn assert_calibrated(p_values: &[f64]) {
    let n = p_values.len() as f64;
    for alpha in [0.05, 0.1, 0.2] {
        let share = p_values.iter().filter(|p| **p <= alpha).count() as f64 / n;
        let bound = alpha + 3.3 * (alpha * (1.0 - alpha) / n).sqrt();
        assert!(share <= bound, "{share:.3} of {n} checks alarm at level {alpha}, expected at most {bound:.3}");
    }
    let mean = p_values.iter().sum::<f64>() / n;
    assert!(
        (mean - 0.505).abs() < 3.3 * (1.0 / 12.0 / n).sqrt(),
        "the mean p-value is {mean:.3}, expected about 0.505"
    );
}

#[test]
fn false_alarms_stay_within_alpha_at_50_rows() {
    assert_calibrated(&p_values(50, 50, 400, Kernel::Cosine));
}

#[test]
fn false_alarms_stay_within_alpha_at_200_rows() {
    assert_calibrated(&p_values(200, 200, 200, Kernel::Cosine));
}

#[test]
fn false_alarms_stay_within_alpha_at_1000_rows() {
    assert_calibrated(&p_values(1_000, 1_000, 24, Kernel::Cosine));
}

#[test]
fn false_alarms_stay_within_alpha_for_unequal_samples_and_the_gaussian_kernel() {
    assert_calibrated(&p_values(200, 40, 200, Kernel::Cosine));
    assert_calibrated(&p_values(60, 90, 200, Kernel::Gaussian));
}

#[test]
fn a_new_topic_is_found_and_named() {
    for (n, kernel) in [(300, Kernel::Cosine), (300, Kernel::Gaussian), (1_000, Kernel::Cosine)] {
        let settings = DriftSettings { kernel, ..settings(0.01, 199, 5) };
        let result = check(&traffic(n, 4, 1), &traffic(n, 5, 2), &settings).unwrap();
        assert!(result.alarm, "{n} rows: {result:?}");
        assert_eq!(result.p_value, 1.0 / 200.0);
        assert!(result.effect > 4.0 && result.statistic > 0.0, "{result:?}");
        let top: Vec<&str> = result.moved.iter().take(3).map(|term| term.term.as_str()).collect();
        assert!(top.iter().all(|term| ["scooter", "battery", "charge"].contains(term)), "{top:?}");
    }
}

#[test]
fn same_input_and_seed_give_the_same_result_and_a_copy_is_quiet() {
    let (x, y) = (traffic(60, 4, 1), traffic(80, 4, 2));
    let one = check(&x, &y, &settings(0.05, 199, 7)).unwrap();
    assert_eq!(check(&x, &y, &settings(0.05, 199, 7)).unwrap(), one);
    let serial = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(serial.install(|| check(&x, &y, &settings(0.05, 199, 7)).unwrap()), one, "threads do not matter");
    let copy = check(&x, &x, &settings(0.05, 199, 7)).unwrap();
    assert!(!copy.alarm && copy.moved.is_empty());
    // Rows that are all the same: every deal ties, and ties count against an alarm.
    let same = vec!["hello".to_string(); 30];
    assert_eq!(check(&same, &same, &settings(0.05, 99, 1)).unwrap().p_value, 1.0);
    let empty = vec![String::new(); 30];
    assert_eq!(
        check(&empty, &empty, &DriftSettings { kernel: Kernel::Gaussian, ..settings(0.05, 99, 1) }).unwrap().p_value,
        1.0
    );
}

#[test]
fn large_samples_are_thinned_the_larger_one_first() {
    for (n_x, n_y, max, expected) in
        [(50, 60, 200, (50, 60)), (900, 50, 200, (150, 50)), (50, 900, 200, (50, 150)), (900, 900, 200, (100, 100))]
    {
        assert_eq!(sample_sizes(n_x, n_y, max), expected);
    }
    let thin = DriftSettings { rows_max: 100, ..settings(0.05, 99, 3) };
    let result = check(&traffic(300, 4, 1), &traffic(40, 4, 2), &thin).unwrap();
    assert_eq!((result.n_reference, result.n_window), (60, 40));
}

#[test]
fn nonsense_is_refused() {
    let rows = traffic(30, 4, 1);
    let refused = |x: &[String], settings: DriftSettings| {
        assert_eq!(check(x, &rows, &settings).unwrap_err().kind(), Kind::Invalid)
    };
    refused(&rows[..9], settings(0.05, 99, 0));
    refused(&rows, settings(0.0, 99, 0));
    refused(&rows, settings(f64::NAN, 99, 0));
    refused(&rows, settings(0.01, 98, 0));
    refused(&rows, settings(0.01, 2_000_000, 0));
    refused(&rows, DriftSettings { rows_max: 4, ..settings(0.05, 99, 0) });
}

#[test]
fn a_fifth_of_new_topics_is_found_nine_times_in_ten_at_150_rows() {
    let found = |nth: &u64| {
        check(&traffic(150, 4, 2 * nth), &traffic(150, 5, 2 * nth + 1), &settings(0.05, 99, *nth)).unwrap().alarm
    };
    let n_found = (0..40u64).filter(found).count();
    assert!(n_found >= 36, "{n_found} of 40 shifts found");
}
