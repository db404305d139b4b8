//! What code may say only in one place, or nowhere. Comments and texts may say anything.

use crate::{File, code};
use toml::{Table, Value};

/// The one crate that prints and exits.
const BINARY: &str = "loopwright";
/// The one crate that knows databases and clouds.
const STORE: &str = "loopwright-store";

const PRINTING: [&str; 6] = ["print!", "println!", "eprint!", "eprintln!", "dbg!", "process::exit"];
const STORES: [&str; 4] = ["sqlx", "object_store", "deltalake", "datafusion"];
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "#[ignore"];

/// Outside the binary, nothing under `src/` prints or exits, tests excepted.
pub fn printing(files: &[File]) -> Vec<String> {
    let libraries =
        files.iter().filter(|file| file.crate_name() != BINARY && file.path.contains("/src/") && !file.is_test());
    let way_out = "return a value or an error and let the binary print; for talk use `tracing`";
    libraries
        .filter(|file| file.is_rust())
        .flat_map(|file| find(file, &PRINTING, code::before_tests, way_out))
        .collect()
}

/// Outside the store, neither code nor a manifest names what it is built on.
pub fn stores(files: &[File]) -> Vec<String> {
    let others = files.iter().filter(|file| file.crate_name() != STORE);
    let way_out = "call `loopwright-store`, which owns databases and clouds";
    others
        .flat_map(|file| match file.is_rust() {
            true => find(file, &STORES, |code| code, way_out),
            false => find_dependencies(file, &STORES, way_out),
        })
        .collect()
}

/// Nothing is promised and not done, in tests neither.
pub fn unfinished(files: &[File]) -> Vec<String> {
    let way_out = "finish it or take it out";
    files.iter().filter(|file| file.is_rust()).flat_map(|file| find(file, &UNFINISHED, |code| code, way_out)).collect()
}

/// Each line of the looked-at part of `file` on which the code says one of `words`.
fn find(file: &File, words: &[&str], part: fn(&str) -> &str, way_out: &str) -> Vec<String> {
    let code = code::code_only(&file.text);
    let code = part(&code);
    let found = words.iter().flat_map(|word| code::lines_with(code, word).into_iter().map(move |line| (line, word)));
    found.map(|(line, word)| format!("{}:{line}: says `{word}`: {way_out}", file.path)).collect()
}

fn find_dependencies(file: &File, words: &[&str], way_out: &str) -> Vec<String> {
    // A manifest that cannot be read is reported with its edges.
    let Ok(manifest) = file.text.parse::<Table>() else { return Vec::new() };
    let sections = ["dependencies", "build-dependencies", "dev-dependencies"];
    let tables = sections.iter().filter_map(|section| manifest.get(*section).and_then(Value::as_table));
    let keys = tables.flat_map(Table::keys).filter(|key| words.contains(&key.replace('-', "_").as_str()));
    keys.map(|key| format!("{}: depends on `{key}`: {way_out}", file.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, text: &str) -> [File; 1] {
        [File::new(path, text)]
    }

    #[test]
    fn only_the_binary_prints() {
        for call in ["println!(\"a\")", "eprintln!()", "std::process::exit(1)", "dbg!(a)", "print!(\"a\")"] {
            let text = format!("fn a() {{\n    {call};\n}}\n");
            let found = printing(&at("crates/loopwright-lm/src/a.rs", &text));
            assert!(found.len() == 1 && found[0].starts_with("crates/loopwright-lm/src/a.rs:2: says `"), "{found:?}");
            assert!(printing(&at("crates/loopwright/src/a.rs", &text)).is_empty());
            assert!(printing(&at("crates/loopwright-lm/tests/a.rs", &text)).is_empty());
            assert!(printing(&at("crates/loopwright-lm/src/a/tests.rs", &text)).is_empty());
            let tested = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
            assert!(printing(&at("crates/loopwright-lm/src/a.rs", &tested)).is_empty());
        }
        assert!(printing(&at("crates/loopwright-lm/src/a.rs", "//! println!(\"a\")\nblueprint!()\n")).is_empty());
    }

    #[test]
    fn only_the_store_names_what_it_is_built_on() {
        for word in STORES {
            let text = format!("use {word}::A;\n");
            assert_eq!(stores(&at("crates/loopwright-data/src/a.rs", &text)).len(), 1, "{word}");
            assert_eq!(stores(&at("crates/loopwright-data/tests/a.rs", &text)).len(), 1, "{word}");
            assert!(stores(&at("crates/loopwright-store/src/a.rs", &text)).is_empty());
            assert!(stores(&at("crates/loopwright-data/src/a.rs", &format!("// {word} is below us\n"))).is_empty());
            let manifest = format!("[dependencies]\n{word}.workspace = true\n");
            assert_eq!(stores(&at("crates/loopwright-data/Cargo.toml", &manifest)).len(), 1, "{word}");
        }
    }

    #[test]
    fn nothing_is_left_unfinished() {
        for text in
            ["fn a() { todo!() }", "fn a() { unimplemented!(\"b\") }", "#[test]\n#[ignore = \"slow\"]\nfn a() {}"]
        {
            for path in ["crates/loopwright-lm/src/a.rs", "crates/loopwright-lm/tests/a.rs"] {
                assert_eq!(unfinished(&at(path, text)).len(), 1, "{text}");
            }
        }
        assert!(unfinished(&at("crates/loopwright-lm/src/a.rs", "const A: &str = \"todo!()\"; // todo!()")).is_empty());
    }
}
