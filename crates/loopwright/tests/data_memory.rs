//! `--memory` through the binary: a curation of an input more than twice as large stays beneath it, and says so.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod room;

use room::{Room, message};
use serde_json::json;
use std::{
    fs::File,
    io::{BufWriter, Write},
};

/// Rows of some 1.7 KB; the last of each hundred repeats the first. Their words differ in letters, since MinHash takes all
/// numbers for the same.
fn fill(room: &Room, n_rows: usize) -> u64 {
    let path = room.path("sources/long.jsonl");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    for n in 0..n_rows {
        let from = if n % 100 == 99 { n - 99 } else { n };
        let letter = |c: char| c.to_digit(10).map_or(c, |digit| char::from(b'a' + digit as u8));
        let text: String =
            (0..14).flat_map(|k| (message(from * 14 + k) + ". ").chars().map(letter).collect::<Vec<_>>()).collect();
        let label = ["billing", "delivery", "returns"][from % 3];
        let row = json!({"id": format!("r{n}"), "text": text, "label": label, "customer": format!("C-{}", n % 1000)});
        writeln!(file, "{row}").unwrap();
    }
    file.flush().unwrap();
    path.metadata().unwrap().len()
}

const STEPS: &str = "steps = [{step = \"whitespace\"}, {step = \"exact_dedup\"}, {step = \"minhash\"}, \
                     {step = \"split\", train = 1.0, validation = 0.0, test = 0.0}]\n";

#[test]
fn a_curation_stays_beneath_its_memory() {
    let room = Room::new("[\"sources/long.jsonl\"]", STEPS);
    let cap_mib = 192;
    let input_bytes = fill(&room, 240_000);
    assert!(input_bytes > (cap_mib << 20) * 2, "{input_bytes} bytes");
    room.run(&["data", "import"]);
    let (ok, stdout, says) = room.try_run(&["data", "curate", "--memory", &format!("{cap_mib}MiB")]);
    assert!(ok, "{says}");
    assert!(stdout.contains("\"n_rows\": 237600"), "{stdout}");
    let peak = says.lines().find_map(|line| line.strip_prefix("memory: at most ")?.split(' ').next());
    let peak_mib: u64 = peak.unwrap().parse().unwrap();
    assert!((cap_mib / 3..=cap_mib).contains(&peak_mib), "{says}");
}

#[test]
fn too_little_memory_is_refused_with_a_cap_that_works() {
    let room = Room::new("[\"sources/long.jsonl\"]", STEPS);
    fill(&room, 200);
    room.run(&["data", "import"]);
    let (ok, _, says) = room.try_run(&["data", "curate", "--memory", "20MiB"]);
    assert!(!ok && says.contains("20 MiB of memory are too few"), "{says}");
    let enough = says.split("`--memory ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    let (ok, _, says) = room.try_run(&["data", "curate", "--memory", enough]);
    assert!(ok, "{enough}: {says}");
}
