//! What must hold between the values of a loop.

use super::resolved::LoopSettings;
use loopwright_train::Method;

/// Checks a loop's settings; says what is wrong.
pub(super) fn check_loop(it: &LoopSettings) -> Result<(), String> {
    let name = &it.name;
    let rule =
        |holds: bool, section: &str, says: &str| if holds { Ok(()) } else { Err(format!("[{section}.{name}] {says}")) };
    let share = |x: f64| (0.0..1.0).contains(&x);
    rule(!it.data.sources.is_empty(), "data", "sources is empty: name at least one file")?;
    let recipe = crate::jobs::recipe::of(it).map_err(|error| error.to_string())?;
    recipe.check().map_err(|error| format!("[data.{name}] steps: {error}"))?;
    it.data.expectations.validate().map_err(|error| format!("[data.{name}] expectations: {error}"))?;
    rule(it.data.memory_mb >= 16, "data", "memory_mb must be at least 16")?;
    rule(
        share(it.data.validation_share) && share(it.data.test_share),
        "data",
        "shares must be at least 0 and below 1",
    )?;
    rule(
        it.data.validation_share + it.data.test_share < 0.9,
        "data",
        "validation_share and test_share leave nothing to train on",
    )?;
    rule(
        (0.0..=1.0).contains(&it.data.near_duplicate_similarity),
        "data",
        "near_duplicate_similarity must be between 0 and 1",
    )?;
    rule(
        it.train.n_heads > 0 && it.train.hidden_size.is_multiple_of(it.train.n_heads),
        "train",
        "hidden_size must be a multiple of n_heads",
    )?;
    rule(
        (it.train.hidden_size / it.train.n_heads.max(1)).is_multiple_of(2),
        "train",
        "hidden_size / n_heads must be even (rotary positions)",
    )?;
    rule(it.train.vocab_size >= 300, "train", "vocab_size must be at least 300 (256 bytes and the special tokens)")?;
    rule(it.train.context_tokens >= 32, "train", "context_tokens must be at least 32")?;
    rule(it.train.batch_size > 0 && it.train.pretrain_batch_size > 0, "train", "batch sizes must be at least 1")?;
    rule(
        it.train.lora_r > 0 && !it.train.lora_targets.is_empty(),
        "train",
        "lora_r and lora_targets must not be empty",
    )?;
    rule(it.tune.trials > 0 && it.tune.parallel > 0, "tune", "trials and parallel must be at least 1")?;
    rule(it.train.method != Method::Pretrain, "train", "method must be lora, full, dpo, classify or embed")?;
    rule(it.train.gradient_accumulation_steps > 0, "train", "gradient_accumulation_steps must be at least 1")?;
    rule(
        it.train.method != Method::Embed || it.train.batch_size > 1,
        "train",
        "batch_size must be at least 2 with method = \"embed\": the other pairs are the negatives",
    )?;
    rule(
        !it.train.gradient_checkpointing || !matches!(it.train.method, Method::Classify | Method::Embed),
        "train",
        "gradient_checkpointing is not there for method = \"classify\" and \"embed\"",
    )?;
    rule(it.train.mnrl_scale > 0.0, "train", "mnrl_scale must be above 0")?;
    it.train.check_backend().map_err(|says| format!("[train.{name}] {says}"))?;
    rule(it.train.dpo_beta > 0.0, "train", "dpo_beta must be above 0")?;
    let in_few_bits = it.train.load_in_4bit || it.train.load_in_8bit;
    rule(
        !(it.train.load_in_4bit && it.train.load_in_8bit),
        "train",
        "load_in_4bit and load_in_8bit exclude each other",
    )?;
    rule(
        !in_few_bits || matches!(it.train.method, Method::Lora | Method::Dpo),
        "train",
        "load_in_4bit and load_in_8bit need a frozen base: method = \"lora\" or \"dpo\"",
    )?;
    rule((0.0..=1.0).contains(&it.train.warmup_ratio), "train", "warmup_ratio must be between 0 and 1")?;
    rule(
        it.train.base.is_empty() || it.train.base.parse::<loopwright_types::ModelRef>().is_ok(),
        "train",
        "base must be a model version such as `smollm@1`, or empty",
    )?;
    rule((1..=90).contains(&it.route.canary_share_percent), "route", "canary_share_percent must be between 1 and 90")?;
    rule(
        0.0 < it.route.canary_alpha && it.route.canary_alpha < 0.5,
        "route",
        "canary_alpha must be above 0 and below 0.5",
    )?;
    it.route.rules().map_err(|says| format!("[route.{name}] {says}"))?;
    rule(it.route.max_answer_tokens > 0, "route", "max_answer_tokens must be at least 1")?;
    rule(0.0 < it.eval.alpha && it.eval.alpha < 0.5, "eval", "alpha must be above 0 and below 0.5")?;
    rule(
        it.monitor.false_alarms_per_month > 0.0 && it.monitor.checks_per_month > 0.0,
        "monitor",
        "the false-alarm budget and the checks must be above 0",
    )?;
    rule(
        it.monitor.min_rows >= 20 && it.monitor.max_rows >= it.monitor.min_rows,
        "monitor",
        "min_rows must be at least 20 and max_rows no less",
    )
}
