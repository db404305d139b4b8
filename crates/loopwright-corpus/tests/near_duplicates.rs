//! Near-duplicate search from outside: datatrove's survivors, and what neither batches, memory, threads nor kills change.

#![allow(clippy::unwrap_used)]

use loopwright_corpus::minhash::{self, Clusters, Finder, MEMORY_BYTES_MIN, MinHashSettings, ShingleHash, Simplify};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Made by `.ci/peers/near_duplicates_corpus.py`, and what `.ci/peers/datatrove_minhash.py` found in it; the first line
/// names its version.
const CORPUS: &str = include_str!("data/near_duplicates.jsonl");
const DATATROVE: &str = include_str!("data/near_duplicates.datatrove.tsv");

fn corpus() -> Vec<String> {
    let text = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_string();
    CORPUS.lines().map(text).collect()
}

fn near(folder: &Path, memory_bytes: u64) -> Finder {
    Finder::near(&MinHashSettings::default(), folder, memory_bytes).unwrap()
}

fn clusters_of(texts: &[String]) -> Clusters {
    let folder = tempfile::tempdir().unwrap();
    let mut finder = near(folder.path(), MEMORY_BYTES_MIN);
    finder.add(0, texts).unwrap();
    finder.finish().unwrap()
}

#[test]
fn documents_in_memory_have_the_same_clusters() {
    for texts in [Vec::new(), corpus(), large_corpus()] {
        assert_eq!(minhash::clusters(&MinHashSettings::default(), &texts).unwrap(), clusters_of(&texts));
    }
}

/// A corpus of more documents than the least memory holds: each of ours with eight beginnings.
fn large_corpus() -> Vec<String> {
    let beginnings = ["", "a", "b c", "d e f", "g h i j", "k l m n o", "p q r s t u", "v w x y z v w"];
    let texts = corpus();
    beginnings.iter().flat_map(|beginning| texts.iter().map(move |text| format!("{beginning} {text}"))).collect()
}

#[test]
fn survivors_and_clusters_are_datatroves() {
    let clusters = clusters_of(&corpus());
    let expected: Vec<Vec<i64>> = DATATROVE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').map(|number| number.parse().unwrap()).collect())
        .collect();
    assert_eq!(clusters.n_documents(), expected.len() as u64);
    let mut id_of = BTreeMap::new();
    for (index, row) in expected.iter().enumerate() {
        let cluster = clusters.of(index as u64);
        assert_eq!((i64::from(cluster.is_kept), cluster.size as i64), (row[0], row[2]), "document {index}");
        if row[1] >= 0 {
            assert_eq!(*id_of.entry(row[1]).or_insert(cluster.id), cluster.id, "document {index}");
        } else {
            assert_eq!(cluster.id, index as u64);
        }
    }
    // The order of joining is put to the test: some cluster keeps another document than its first.
    let keeps_a_later_one = |index| clusters.of(clusters.of(index).id).id > index;
    assert!((0..clusters.n_documents()).any(keeps_a_later_one));
    assert_eq!(clusters.kept().count(), expected.iter().filter(|row| row[0] == 1).count());
}

#[test]
fn many_small_runs_give_what_one_gives() {
    let texts = large_corpus();
    let small = tempfile::tempdir().unwrap();
    let mut finder = near(small.path(), MEMORY_BYTES_MIN);
    finder.add(0, &texts).unwrap();
    let large = tempfile::tempdir().unwrap();
    let mut at_once = near(large.path(), 64 << 20);
    at_once.add(0, &texts).unwrap();
    assert!(files(small.path(), ".sorted").len() >= 2 && files(large.path(), ".sorted").is_empty());
    assert_eq!(finder.finish().unwrap(), at_once.finish().unwrap());
}

#[test]
fn runs_of_single_batches_are_merged_in_rounds() {
    // 60 runs; the least memory reads 14 at once at most.
    let texts = corpus();
    let folder = tempfile::tempdir().unwrap();
    let mut finder = near(folder.path(), MEMORY_BYTES_MIN);
    for (batch, texts) in texts.chunks(5).enumerate() {
        finder.add(batch as u64 * 5, texts).unwrap();
        finder.write_run().unwrap();
    }
    assert!(files(folder.path(), ".sorted").len() >= 50);
    assert_eq!(finder.finish().unwrap(), clusters_of(&texts));
    assert!(files(folder.path(), ".part").is_empty());
}

#[test]
fn a_killed_search_goes_on_from_its_runs() {
    let texts = corpus();
    let folder = tempfile::tempdir().unwrap();
    let mut killed = near(folder.path(), MEMORY_BYTES_MIN);
    killed.add(0, &texts[..100]).unwrap();
    killed.write_run().unwrap();
    killed.add(100, &texts[100..150]).unwrap();
    killed.write_run().unwrap();
    killed.add(150, &texts[150..200]).unwrap();
    drop(killed);
    // A kill while a run is written, and one whose file was cut short afterwards.
    fs::write(folder.path().join("run-000002.sorted.part"), b"half").unwrap();
    let second = &files(folder.path(), ".sorted")[1];
    let length = fs::metadata(second).unwrap().len();
    fs::File::options().write(true).open(second).unwrap().set_len(length - 1).unwrap();

    let mut finder = near(folder.path(), MEMORY_BYTES_MIN);
    assert!(finder.has(99) && !finder.has(100) && !finder.has(150));
    assert!(files(folder.path(), ".part").is_empty());
    // Of all documents, the first hundred are not signed again.
    assert_eq!(finder.add(0, &texts).unwrap(), texts.len() as u64 - 100);
    assert_eq!(finder.add(0, &texts).unwrap(), 0);
    assert_eq!(finder.finish().unwrap(), clusters_of(&texts));
}

#[test]
fn a_finished_bucket_is_not_merged_again_until_its_runs_change() {
    let texts = corpus();
    let folder = tempfile::tempdir().unwrap();
    let mut finder = near(folder.path(), MEMORY_BYTES_MIN);
    finder.add(0, &texts[..200]).unwrap();
    let clusters = finder.finish().unwrap();
    let buckets = files(folder.path(), ".pairs");
    assert_eq!(buckets.len(), 14);
    // One bucket is lost, one cut, one never ended; the finished ones are told by their unchanged time of writing.
    fs::remove_file(&buckets[0]).unwrap();
    let cut = fs::File::options().write(true).open(&buckets[1]).unwrap();
    cut.set_len(cut.metadata().unwrap().len() - 8).unwrap();
    fs::write(folder.path().join("bucket-002.pairs.7.part"), b"half").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    for path in &buckets[1..] {
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let is_old = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap() == old;
    let again = near(folder.path(), MEMORY_BYTES_MIN).finish().unwrap();
    assert_eq!(again, clusters);
    assert_eq!(buckets.iter().map(is_old).collect::<Vec<_>>(), [vec![false; 2], vec![true; 12]].concat());
    assert!(files(folder.path(), ".part").is_empty());

    let mut finder = near(folder.path(), MEMORY_BYTES_MIN);
    finder.add(200, &texts[200..]).unwrap();
    assert_eq!(finder.finish().unwrap(), clusters_of(&texts));
    assert!(!buckets.iter().any(is_old));
}

#[test]
fn damaged_work_and_work_of_other_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut finder = near(folder.path(), MEMORY_BYTES_MIN);
    finder.add(0, &corpus()).unwrap();
    finder.write_run().unwrap();
    let other = MinHashSettings { seed: 2, ..MinHashSettings::default() };
    let error = Finder::near(&other, folder.path(), MEMORY_BYTES_MIN).unwrap_err();
    assert!(error.to_string().starts_with("expected a folder of its own for each search, got"), "{error}");
    assert!(Finder::exact(&Simplify::default(), folder.path(), MEMORY_BYTES_MIN).is_err());

    let run = &files(folder.path(), ".sorted")[0];
    let mut bytes = fs::read(run).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(run, bytes).unwrap();
    let error = near(folder.path(), MEMORY_BYTES_MIN).finish().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("its checksum is wrong"), "{error}: {source}");
}

#[test]
fn gaps_and_limits_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut finder = near(folder.path(), MEMORY_BYTES_MIN);
    finder.add(0, &["a"]).unwrap();
    finder.add(5, &["b"]).unwrap();
    let error = finder.add(1 << 31, &["c"]).unwrap_err();
    assert_eq!(error.to_string(), "expected at most 2147483648 documents, got one with index 2147483648");
    let error = finder.finish().unwrap_err();
    assert_eq!(error.to_string(), "expected all documents from 0 to 5, got none with the indices 1 to 4");
    let error = Finder::near(&MinHashSettings::default(), folder.path(), 5).unwrap_err();
    assert_eq!(error.to_string(), "a search needs 1048576 bytes, but may take 5\nhint: raise `memory_bytes`");
    // Four bytes for each document in the end: 275,000 need more than the least.
    let many = tempfile::tempdir().unwrap();
    let mut finder = near(many.path(), MEMORY_BYTES_MIN);
    for batch in 0..11 {
        finder.add(batch * 25_000, &[""; 25_000]).unwrap();
    }
    let error = finder.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the clusters' forest needs 1100000 bytes, but may take 1048576\nhint: raise `memory_bytes`"
    );
}

#[test]
fn nothing_in_gives_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let clusters = near(folder.path(), MEMORY_BYTES_MIN).finish().unwrap();
    assert_eq!((clusters.n_documents(), clusters.kept().count()), (0, 0));
}

#[test]
fn exact_duplicates_keep_their_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut finder = Finder::exact(&Simplify::default(), folder.path(), MEMORY_BYTES_MIN).unwrap();
    finder.add(0, &["Hi!", "a b", "hi", "A  b.", "a c", "hi?", "", "!"]).unwrap();
    let clusters = finder.finish().unwrap();
    assert_eq!(clusters.kept().collect::<Vec<_>>(), [0, 1, 4, 6]);
    assert_eq!((clusters.of(5).id, clusters.of(5).size), (0, 3));
}

#[test]
fn narrow_hashes_find_the_same_here() {
    let settings = MinHashSettings { hash: ShingleHash::XxHash32, ..MinHashSettings::default() };
    let (texts, folder) = (corpus(), tempfile::tempdir().unwrap());
    let mut finder = Finder::near(&settings, folder.path(), MEMORY_BYTES_MIN).unwrap();
    finder.add(0, &texts).unwrap();
    let (narrow, wide) = (finder.finish().unwrap(), clusters_of(&texts));
    // Other values meet by other chances at the edge, but exact copies meet in any case.
    let n_kept = |clusters: &Clusters| clusters.kept().count() as f64;
    assert!((n_kept(&narrow) / n_kept(&wide) - 1.0).abs() < 0.05);
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    paths.sort();
    paths
}

fn documents() -> impl Strategy<Value = Vec<String>> {
    let part = ["one two three ", "four five six ", "seven eight nine ", "ten eleven twelve ", "x ", "y ", "z "];
    let document = prop::collection::vec(prop::sample::select(part.to_vec()), 0..7).prop_map(|parts| parts.concat());
    prop::collection::vec(document, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_their_order_runs_and_threads_change_nothing(
        texts in documents(),
        batch in 1usize..12,
        order in any::<prop::sample::Index>(),
        threads in 1usize..5,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let shuffled = pool.install(|| {
            let mut finder = near(folder.path(), MEMORY_BYTES_MIN);
            let mut batches: Vec<(usize, &[String])> = texts.chunks(batch).enumerate().collect();
            let n_batches = batches.len();
            if n_batches > 0 {
                batches.rotate_left(order.index(n_batches));
                batches[..n_batches / 2].reverse();
            }
            for (number, texts) in batches {
                finder.add((number * batch) as u64, texts).unwrap();
                if number % 2 == 0 {
                    finder.write_run().unwrap();
                }
            }
            finder.finish().unwrap()
        });
        prop_assert_eq!(shuffled, clusters_of(&texts));
    }

    #[test]
    fn clusters_part_the_documents(texts in documents()) {
        let clusters = clusters_of(&texts);
        let mut members = BTreeMap::<u64, u64>::new();
        for index in 0..clusters.n_documents() {
            let cluster = clusters.of(index);
            prop_assert_eq!(cluster.is_kept, cluster.id == index);
            prop_assert_eq!(clusters.of(cluster.id).size, cluster.size);
            *members.entry(cluster.id).or_default() += 1;
        }
        for (id, size) in &members {
            prop_assert_eq!(clusters.of(*id).size, *size);
        }
        prop_assert_eq!(clusters.kept().collect::<Vec<_>>(), members.into_keys().collect::<Vec<_>>());
        // Equal documents of five words or more are always together.
        for (a, text) in texts.iter().enumerate().filter(|(_, text)| text.split(' ').count() > 5) {
            for b in texts.iter().enumerate().filter(|(_, other)| *other == text).map(|(b, _)| b) {
                prop_assert_eq!(clusters.of(a as u64).id, clusters.of(b as u64).id);
            }
        }
    }
}
