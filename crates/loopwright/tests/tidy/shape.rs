//! How crates and files look from outside: names, docs, sizes.

use crate::{File, code};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Fewest lines of `//!` at the head of a crate.
const DOC_LINES_MIN: usize = 5;
/// Most lines of a file before its tests.
const FILE_LINES_MAX: usize = 500;
/// From this many lines of Rust on, no crate may hold more than a quarter of them.
const QUARTER_RULE_FROM_LINES: usize = 20_000;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "misc", "shared", "stuff"];

/// A package is named as its folder and takes the workspace's lints.
pub fn manifests(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_manifest()) {
        // A manifest that cannot be read is reported with its edges.
        let Ok(manifest) = file.text.parse::<Table>() else { continue };
        let entry = |section: &str, key: &str| manifest.get(section).and_then(|table| table.get(key)).cloned();
        let name = entry("package", "name").as_ref().and_then(Value::as_str).unwrap_or_default().to_string();
        if name != file.crate_name() {
            let folder = file.crate_name();
            problems.push(format!("{}: package `{name}` lives in `{folder}`: rename one of them", file.path));
        }
        if entry("lints", "workspace") != Some(Value::Boolean(true)) {
            problems.push(format!("{}: lacks the workspace's lints: add `[lints]` `workspace = true`", file.path));
        }
    }
    problems
}

/// Each crate's lib.rs or main.rs begins with docs that teach.
pub fn docs(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_manifest()) {
        let folder = file.path.trim_end_matches("Cargo.toml");
        let roots: Vec<&File> = ["lib", "main"]
            .iter()
            .filter_map(|root| files.iter().find(|file| file.path == format!("{folder}src/{root}.rs")))
            .collect();
        if roots.is_empty() {
            problems.push(format!("{folder}src: has neither lib.rs nor main.rs"));
        }
        for root in roots {
            let n_lines = root.text.lines().take_while(|line| line.starts_with("//!")).count();
            if n_lines < DOC_LINES_MIN {
                problems.push(format!(
                    "{}: begins with {n_lines} lines of `//!`, expected at least {DOC_LINES_MIN}: say what the crate \
                     is for, its main type, who calls it",
                    root.path
                ));
            }
        }
    }
    problems
}

/// No file or folder has a name that says nothing.
pub fn names(files: &[File]) -> Vec<String> {
    let says_nothing = |part: &str| EMPTY_NAMES.contains(&part.trim_end_matches(".rs"));
    let bad = files.iter().filter(|file| file.path.split('/').any(says_nothing));
    bad.map(|file| format!("{}: the name says nothing: name the file after its one idea", file.path)).collect()
}

/// No file is longer than [`FILE_LINES_MAX`] before its tests.
pub fn long_files(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && !file.is_test()) {
        let n_lines = code::before_tests(&code::code_only(&file.text)).lines().count();
        if n_lines > FILE_LINES_MAX {
            problems.push(format!(
                "{}: {n_lines} lines before its tests, expected at most {FILE_LINES_MAX}: two ideas share this file, \
                 give each its own",
                file.path
            ));
        }
    }
    problems
}

/// Once the whole is large, no crate is more than a quarter of it.
pub fn big_crates(files: &[File]) -> Vec<String> {
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        *lines.entry(file.crate_name()).or_default() += file.text.lines().count();
    }
    let total: usize = lines.values().sum();
    if total <= QUARTER_RULE_FROM_LINES {
        return Vec::new();
    }
    let big = lines.iter().filter(|(_, n_lines)| **n_lines * 4 > total);
    big.map(|(name, n_lines)| {
        format!("crates/{name}: {n_lines} of {total} lines, more than a quarter: move a noun of its own into a crate")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = 'loopwright-lm'\n[lints]\nworkspace = true\n";

    fn lines(n: usize) -> String {
        "fn a() {}\n".repeat(n)
    }

    #[test]
    fn manifests_carry_name_and_lints() {
        let check = |path: &str, text: &str| manifests(&[File::new(path, text)]);
        assert!(check("crates/loopwright-lm/Cargo.toml", MANIFEST).is_empty());
        let found = check("crates/lm/Cargo.toml", MANIFEST);
        assert!(found.len() == 1 && found[0].contains("package `loopwright-lm` lives in `lm`"), "{found:?}");
        for lints in ["", "[lints]\nworkspace = false\n", "[lints.rust]\nmissing_docs = 'warn'\n"] {
            let found = check("crates/a/Cargo.toml", &format!("[package]\nname = 'a'\n{lints}"));
            assert!(found.len() == 1 && found[0].contains("lints"), "{lints}: {found:?}");
        }
    }

    #[test]
    fn crates_begin_with_docs() {
        let check = |root: &str, text: &str| {
            docs(&[File::new("crates/a/Cargo.toml", ""), File::new(&format!("crates/a/src/{root}"), text)])
        };
        assert!(check("lib.rs", &"//! a\n".repeat(5)).is_empty());
        assert!(check("main.rs", &"//! a\n".repeat(4))[0].contains("crates/a/src/main.rs: begins with 4 lines"));
        // Docs that come after something else are not at the head.
        assert_eq!(check("lib.rs", &format!("use a;\n{}", "//! a\n".repeat(9))).len(), 1);
        assert!(check("other.rs", "")[0].contains("neither"));
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        for path in ["crates/a/src/utils.rs", "crates/a/src/common/b.rs", "crates/a/tests/helpers/mod.rs"] {
            assert_eq!(names(&[File::new(path, "")]).len(), 1, "{path}");
        }
        for path in ["crates/a/src/utilisation.rs", "crates/a/src/uncommon.rs"] {
            assert!(names(&[File::new(path, "")]).is_empty(), "{path}");
        }
    }

    #[test]
    fn long_files_are_named_and_tests_do_not_count() {
        let check = |text: String| long_files(&[File::new("crates/a/src/b.rs", &text)]);
        assert!(check(lines(500)).is_empty());
        assert!(check(format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(500), lines(300))).is_empty());
        assert!(long_files(&[File::new("crates/a/src/b/tests.rs", &lines(501))]).is_empty());
        assert!(check(lines(501))[0].contains("501 lines"));
        // A string that looks like the head of the tests does not hide what follows.
        assert_eq!(check(format!("const A: &str = \"\n#[cfg(test)]\nmod tests {{\";\n{}", lines(500))).len(), 1);
    }

    #[test]
    fn a_crate_with_more_than_a_quarter_is_named_once_the_whole_is_large() {
        let file = |name: &str, n: usize| File::new(&format!("crates/{name}/src/lib.rs"), &lines(n));
        assert!(big_crates(&[file("a", 19_000), file("b", 1_000)]).is_empty());
        let even = ["a", "b", "c", "d", "e"].map(|name| file(name, 4_001));
        assert!(big_crates(&even).is_empty());
        let found = big_crates(&[file("a", 6_000), file("b", 5_000), file("c", 5_000), file("d", 4_001)]);
        assert!(found.len() == 1 && found[0].starts_with("crates/a: 6000 of 20001 lines"), "{found:?}");
    }
}
