//! Answers of many sequences at once, each as it would be alone: rows of several sequences pass through the model together,
//! and no number of one depends on another (see [`crate::held`]).

use crate::{
    cache::{KvCache, PAGE_TOKENS},
    error::Result,
    held::{self, View},
    kernel::{softmax, wide},
    layers::{Linear, Pass},
    lora::{Adapter, LoraPair},
    ops::{Frozen, Heads, Look, bend, read, tensor},
    team,
};
use candle_core::Tensor;
use std::ops::Range;

/// New tokens of one sequence.
#[derive(Debug)]
pub struct Segment<'a> {
    /// The tokens, which follow those in the cache.
    pub tokens: &'a [u32],
    /// What was read before; remembers these, too.
    pub cache: &'a mut KvCache,
    /// The adapter that this sequence is answered with.
    pub adapter: Option<&'a Adapter>,
    /// Logits are wanted after each of the last so many tokens.
    pub n_logits: usize,
}

/// Rows of neighbouring sequences under one adapter: where they end, and the adapter.
pub(crate) type Group<'a> = (usize, Option<&'a Adapter>);

/// x Wᵀ + b of several maps of the same rows, with the updates of each row's adapter.
pub(crate) fn maps(pass: &Pass, maps: &[&Linear], x: &Tensor) -> Result<Vec<Tensor>> {
    let (n_rows, width) = x.dims2()?;
    let numbers = read(x)?;
    let frozen: Vec<Option<Frozen>> = maps.iter().map(|map| map.weight.frozen()).collect();
    let full = frozen.iter().map(|weight| weight.as_ref().map(Frozen::numbers).transpose());
    let full = full.collect::<std::result::Result<Vec<_>, _>>()?;
    let views = maps.iter().zip(&full).map(|(map, full)| map.weight.view(full.as_ref().map(|full| &***full)));
    let views = views.collect::<Result<Vec<View>>>()?;
    let mut outs = held::times(&numbers, width, &views);
    for (map, out) in maps.iter().zip(&mut outs) {
        if let Some(bias) = &map.bias {
            let bias = read(bias.as_tensor())?;
            wide!(out.chunks_exact_mut(bias.len()).for_each(|row| {
                row.iter_mut().zip(&*bias).for_each(|(y, b)| *y += b);
            }));
        }
        for (range, adapter) in pass.groups(n_rows) {
            if let Some((adapter, pair)) = adapter.and_then(|adapter| Some((adapter, adapter.pair(map.place)?))) {
                update(&numbers[range.start * width..range.end * width], out, (range, n_rows), (adapter, pair))?;
            }
        }
    }
    let sizes = views.iter().map(|view| view.shape[0]).collect::<Vec<_>>();
    outs.into_iter().zip(sizes).map(|(out, n_out)| Ok(tensor(out, (n_rows, n_out))?)).collect()
}

/// out += s·(x Aᵀ) Bᵀ for the rows of a group.
fn update(
    x: &[f32],
    out: &mut [f32],
    (range, n_rows): (Range<usize>, usize),
    (adapter, pair): (&Adapter, &LoraPair),
) -> Result<()> {
    let ((rank, n_in), (n_out, _)) = (pair.a.dims2()?, pair.b.dims2()?);
    let (a, b) = (read(pair.a.as_tensor())?, read(pair.b.as_tensor())?);
    let mut low = held::times(x, n_in, &[View::full(&a, [rank, n_in])]).remove(0);
    let scale = adapter.config().scale() as f32;
    low.iter_mut().for_each(|low| *low *= scale);
    let added = held::times(&low, rank, &[View::full(&b, [n_out, rank])]).remove(0);
    debug_assert!(range.end <= n_rows);
    let out = &mut out[range.start * n_out..range.end * n_out];
    wide!(out.iter_mut().zip(&added).for_each(|(y, added)| *y += added));
    Ok(())
}

/// Attention of the segments' new rows, each over its own past and itself: q, k, v of all rows, not turned yet.
pub(crate) fn attend(
    segments: &mut [Segment],
    layer: usize,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    look: &Look,
) -> Result<Tensor> {
    let (shape, heads) = (q.dims2()?, look.heads);
    let q_width = shape.1;
    let mut q = read(q)?.to_vec();
    let mut rest = q.as_mut_slice();
    for segment in segments.iter() {
        let (rows, after) = rest.split_at_mut(segment.tokens.len() * q_width);
        look.turn(rows, q_width, segment.cache.n_tokens());
        rest = after;
    }
    remember(segments, layer, (k, v), look)?;
    let mut out = vec![0f32; q.len()];
    let mut tasks = Vec::new();
    let mut lines = q.chunks_exact(q_width).zip(out.chunks_exact_mut(q_width));
    for segment in segments.iter() {
        let position = segment.cache.n_tokens();
        for i in 0..segment.tokens.len() {
            let Some((q, out)) = lines.next() else { break };
            tasks.extend(tasks_of_row(&*segment.cache, (q, out), (layer, heads), position + i));
        }
    }
    team::each(tasks, |mut task| task.run(look));
    Ok(tensor(out, shape)?)
}

/// Writes the segments' new rows of keys, not turned yet, and values into their caches.
pub(crate) fn remember(segments: &mut [Segment], layer: usize, (k, v): (&Tensor, &Tensor), look: &Look) -> Result<()> {
    let width = look.heads.kv_width();
    let (mut k, v) = (read(k)?.to_vec(), read(v)?);
    let (mut keys, mut values) = (k.as_mut_slice(), &*v);
    for segment in segments {
        let n = segment.tokens.len() * width;
        let (new_keys, more_keys) = keys.split_at_mut(n);
        let (new_values, more_values) = values.split_at(n);
        look.turn(new_keys, width, segment.cache.n_tokens());
        segment.cache.write(layer, (new_keys, new_values), look.heads)?;
        (keys, values) = (more_keys, more_values);
    }
    Ok(())
}

/// Numbers of a head that are mixed at a time.
const PART: usize = 32;

/// The query heads of one row that look at the same keys.
struct Task<'a> {
    cache: &'a KvCache,
    layer: usize,
    kv_head: usize,
    q: &'a [f32],
    out: &'a mut [f32],
    position: usize,
}

fn tasks_of_row<'a>(
    cache: &'a KvCache,
    (q, out): (&'a [f32], &'a mut [f32]),
    (layer, heads): (usize, Heads),
    position: usize,
) -> impl Iterator<Item = Task<'a>> {
    let width = heads.heads / heads.kv_heads * heads.dim;
    let parts = q.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate();
    parts.map(move |(kv_head, (q, out))| Task { cache, layer, kv_head, q, out, position })
}

impl Task<'_> {
    fn run(&mut self, look: &Look) {
        let (dim, n) = (look.heads.dim, self.position + 1);
        let seen = look.reach.seen(self.position, n);
        let first_page = seen.start / PAGE_TOKENS;
        let width = n.next_multiple_of(PAGE_TOKENS) - first_page * PAGE_TOKENS;
        let seen = seen.start - first_page * PAGE_TOKENS..seen.end - first_page * PAGE_TOKENS;
        let pages = || self.cache.pages_of((self.layer, self.kv_head), n).skip(first_page);
        let mut scores = vec![0f32; width * self.q.len() / dim];
        wide!({
            for (page, (keys, _)) in pages().enumerate() {
                for (q, scores) in self.q.chunks_exact(dim).zip(scores.chunks_exact_mut(width)) {
                    let sums = dots(q, keys, look.scale);
                    scores[page * PAGE_TOKENS..][..PAGE_TOKENS].copy_from_slice(&sums);
                }
            }
            for scores in scores.chunks_exact_mut(width) {
                if let Some(cap) = look.cap {
                    bend(&mut scores[seen.clone()], None, cap);
                }
                scores[..seen.start].fill(0.0);
                scores[seen.end..].fill(0.0);
                softmax(&mut scores[seen.clone()]);
            }
            for (page, (_, values)) in pages().enumerate() {
                for (out, shares) in self.out.chunks_exact_mut(dim).zip(scores.chunks_exact(width)) {
                    mix(out, &shares[page * PAGE_TOKENS..][..PAGE_TOKENS], values);
                }
            }
        });
    }
}

/// Scores of a query [width] and a page's keys [width, tokens].
#[inline(always)]
fn dots(q: &[f32], keys: &[f32], scale: f32) -> [f32; PAGE_TOKENS] {
    // Several sums, so that no addition waits for the one before it.
    let (mut even, mut odd) = ([0f32; PAGE_TOKENS], [0f32; PAGE_TOKENS]);
    let (mut third, mut fourth) = (even, odd);
    let (q, q_rest) = q.as_chunks::<4>();
    let (keys, keys_rest) = keys.as_chunks::<PAGE_TOKENS>().0.as_chunks::<4>();
    for (x, keys) in q.iter().zip(keys) {
        add(&mut even, x[0], &keys[0]);
        add(&mut odd, x[1], &keys[1]);
        add(&mut third, x[2], &keys[2]);
        add(&mut fourth, x[3], &keys[3]);
    }
    for (x, keys) in q_rest.iter().zip(keys_rest) {
        add(&mut even, *x, keys);
    }
    std::array::from_fn(|i| ((even[i] + odd[i]) + (third[i] + fourth[i])) * scale)
}

/// sums += x · numbers
#[inline(always)]
fn add<const N: usize>(sums: &mut [f32; N], x: f32, numbers: &[f32; N]) {
    for i in 0..N {
        sums[i] += x * numbers[i];
    }
}

/// out += Σ shares · values [tokens, width].
#[inline(always)]
fn mix(out: &mut [f32], shares: &[f32], values: &[f32]) {
    let width = out.len();
    let (parts, rest) = out.as_chunks_mut::<PART>();
    for (p, part) in parts.iter_mut().enumerate() {
        // Kept in registers over the page.
        let mut sums = *part;
        for (share, value) in shares.iter().zip(values.chunks_exact(width)) {
            // A token that is not seen may hold anything.
            if *share != 0.0 {
                add(&mut sums, *share, &value.as_chunks::<PART>().0[p]);
            }
        }
        *part = sums;
    }
    let done = width - rest.len();
    for (share, value) in shares.iter().zip(values.chunks_exact(width)) {
        if *share != 0.0 {
            rest.iter_mut().zip(&value[done..]).for_each(|(out, value)| *out += share * value);
        }
    }
}
