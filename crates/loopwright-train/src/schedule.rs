//! The learning rate of each step: a linear rise, then half a cosine down to nothing (Loshchilov & Hutter 2017).

/// Learning rate of a step, counted from 0, of `n_steps`.
///
/// ```
/// use loopwright_train::learning_rate;
/// let rates: Vec<f64> = (0..6).map(|step| learning_rate(step, 6, 1.0, 0.34)).collect();
/// // Two steps up (1/2, 1), then the cosine over the four that are left: (1 + cos(π·i/4))/2.
/// let want = [0.5, 1.0, 1.0, 0.8535534, 0.5, 0.1464466];
/// assert!(rates.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6));
/// ```
pub fn learning_rate(step: u64, n_steps: u64, highest: f64, warmup_share: f64) -> f64 {
    let n_warmup = (n_steps as f64 * warmup_share).floor();
    let step = step as f64;
    if step < n_warmup {
        return highest * (step + 1.0) / n_warmup;
    }
    let done = (step - n_warmup) / (n_steps as f64 - n_warmup).max(1.0);
    highest * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
}
