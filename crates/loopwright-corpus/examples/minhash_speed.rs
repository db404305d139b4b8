//! Measures near-duplicate removal: `bench/minhash.sh` runs it beside datatrove, `docs/near-duplicates.md` has figures.
//!
//! ```text
//! minhash_speed clusters CORPUS.jsonl CLUSTERS.tsv MEMORY_MIB    survives (1 or 0), cluster, size of each document
//! minhash_speed sign CORPUS.jsonl                                signatures only, on one thread
//! minhash_speed grow DOCUMENTS MEMORY_MIB                        a made-up corpus, made while it is read
//! ```
//!
//! The last line on stdout is JSON. Threads are set by `RAYON_NUM_THREADS`; peak memory is read where `/proc` has it.
#![allow(clippy::print_stdout, missing_docs)]

use loopwright_corpus::minhash::{Clusters, Finder, MinHashSettings, Scratch, Signer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::{
    error::Error,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    time::Instant,
};

const BATCH_DOCUMENTS: usize = 1000;
const MIB: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = match arguments[..] {
        ["clusters", corpus, out, memory_mib] => cluster_file(corpus, out, memory_mib.parse()?)?,
        ["sign", corpus] => sign_file(corpus)?,
        ["grow", documents, memory_mib] => grow(documents.parse()?, memory_mib.parse()?)?,
        _ => return Err("expected `clusters`, `sign` or `grow`; see the head of this file".into()),
    };
    println!("{measured}");
    Ok(())
}

fn cluster_file(corpus: &str, out: &str, memory_mib: u64) -> Result<serde_json::Value, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (clusters, mut measured) = clusters_of(texts_of(corpus)?, folder.path(), memory_mib)?;
    let began = Instant::now();
    let mut out = BufWriter::new(File::create(out)?);
    let mut kept_bytes = 0;
    for (index, text) in texts_of(corpus)?.enumerate() {
        let cluster = clusters.of(index as u64);
        kept_bytes += if cluster.is_kept { text?.len() } else { 0 };
        writeln!(out, "{}\t{}\t{}", u8::from(cluster.is_kept), cluster.id, cluster.size)?;
    }
    out.flush()?;
    measured["kept_bytes"] = kept_bytes.into();
    measured["seconds"]["filter"] = began.elapsed().as_secs_f64().into();
    Ok(measured)
}

type Texts = Box<dyn Iterator<Item = Result<String, Box<dyn Error>>>>;

fn texts_of(corpus: &str) -> Result<Texts, Box<dyn Error>> {
    #[derive(serde::Deserialize)]
    struct Row {
        text: String,
    }
    let lines = BufReader::new(File::open(corpus)?).lines();
    Ok(Box::new(lines.map(|line| Ok(serde_json::from_str::<Row>(&line?)?.text))))
}

fn clusters_of(
    mut texts: impl Iterator<Item = Result<String, Box<dyn Error>>>,
    folder: &Path,
    memory_mib: u64,
) -> Result<(Clusters, serde_json::Value), Box<dyn Error>> {
    let began = Instant::now();
    let mut finder = Finder::near(&MinHashSettings::default(), folder, memory_mib * MIB)?;
    let (mut batch, mut n_documents, mut n_bytes) = (Vec::with_capacity(BATCH_DOCUMENTS), 0, 0);
    loop {
        batch.clear();
        for text in texts.by_ref().take(BATCH_DOCUMENTS) {
            batch.push(text?);
        }
        if batch.is_empty() {
            break;
        }
        finder.add(n_documents, &batch)?;
        n_documents += batch.len() as u64;
        n_bytes += batch.iter().map(String::len).sum::<usize>();
    }
    finder.write_run()?;
    let signed = began.elapsed().as_secs_f64();
    let clusters = finder.finish()?;
    let clustered = began.elapsed().as_secs_f64() - signed;
    let measured = json!({
        "documents": n_documents,
        "text_mib": n_bytes as f64 / MIB as f64,
        "kept": clusters.kept().count(),
        "memory_mib": memory_mib,
        "threads": rayon::current_num_threads(),
        "seconds": {"signatures": signed, "clusters": clustered},
        "peak_mib": peak_mib(),
    });
    Ok((clusters, measured))
}

fn sign_file(corpus: &str) -> Result<serde_json::Value, Box<dyn Error>> {
    let texts: Vec<String> = texts_of(corpus)?.collect::<Result<_, _>>()?;
    let settings = MinHashSettings::default();
    let (signer, mut scratch) = (Signer::new(&settings)?, Scratch::default());
    let mut values = vec![0; settings.values()];
    let (began, began_cpu) = (Instant::now(), cpu_seconds());
    let n_signed = texts.iter().filter(|text| signer.sign_with(&mut scratch, text, &mut values)).count();
    let seconds = began.elapsed().as_secs_f64();
    let per_cpu_s = cpu_seconds().zip(began_cpu).map(|(now, then)| texts.len() as f64 / (now - then));
    Ok(json!({"documents": texts.len(), "signed": n_signed, "seconds": seconds,
        "documents_per_s": texts.len() as f64 / seconds, "documents_per_cpu_s": per_cpu_s}))
}

fn grow(n_documents: u64, memory_mib: u64) -> Result<serde_json::Value, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let texts = (0..n_documents).map(|index| Ok(made_up(index)));
    Ok(clusters_of(texts, folder.path(), memory_mib)?.1)
}

/// The text at an index: 100 to 200 made-up words; one of five is a copy of an earlier one with three words changed.
fn made_up(index: u64) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(index);
    if index % 5 == 4 {
        // An index that is not itself a copy's.
        let original = rng.random_range(0..index) / 5 * 5;
        let mut words: Vec<String> = made_up(original).split(' ').map(str::to_string).collect();
        for _ in 0..3 {
            let at = rng.random_range(0..words.len());
            words[at] = word(&mut rng);
        }
        return words.join(" ");
    }
    let n_words = rng.random_range(100..=200);
    (0..n_words).map(|_| word(&mut rng)).collect::<Vec<_>>().join(" ")
}

/// One of 50,000 words of five letters on average, common ones more often.
fn word(rng: &mut ChaCha8Rng) -> String {
    let mut number = (50_000.0 * rng.random::<f64>().powi(2)) as u32 + 1;
    let mut word = String::new();
    while number > 0 {
        word.push((b'a' + (number % 13) as u8) as char);
        word.push((b'n' + (number % 7) as u8) as char);
        number /= 29;
    }
    word
}

/// Seconds that this thread, the main one, was on a processor; other work on the machine does not stretch them.
fn cpu_seconds() -> Option<f64> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(statistics.split(' ').next()?.parse::<u64>().ok()? as f64 / 1e9)
}

/// The most memory that this process ever had resident.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}
