//! Which crate may use which.
//!
//! A crate stands on a floor and may use the crates that its row lists, all on lower floors. In tests it may also use
//! any other crate on a lower floor. A new edge is a change of this table and of the one in ARCHITECTURE.md, with its
//! reason.

use crate::File;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// One crate of the house.
struct Room {
    name: &'static str,
    floor: u8,
    may_use: &'static [&'static str],
}

const TYPES: &str = "loopwright-types";
const STORE: &str = "loopwright-store";
const LM: &str = "loopwright-lm";
const SEARCH: &str = "loopwright-search";
const GUARD: &str = "loopwright-guard";
const SOURCES: &str = "loopwright-sources";
const CORPUS: &str = "loopwright-corpus";
const DATA: &str = "loopwright-data";
const TRAIN: &str = "loopwright-train";
const EVAL: &str = "loopwright-eval";
const SERVE: &str = "loopwright-serve";
const DEPLOY: &str = "loopwright-deploy";
const OBSERVE: &str = "loopwright-observe";
const PIPELINE: &str = "loopwright-pipeline";
const SERVER: &str = "loopwright-server";
const BINARY: &str = "loopwright";

const HOUSE: [Room; 16] = [
    Room { name: TYPES, floor: 0, may_use: &[] },
    Room { name: STORE, floor: 1, may_use: &[TYPES] },
    Room { name: LM, floor: 1, may_use: &[TYPES] },
    Room { name: SEARCH, floor: 1, may_use: &[TYPES] },
    Room { name: GUARD, floor: 2, may_use: &[TYPES, LM] },
    Room { name: SOURCES, floor: 2, may_use: &[TYPES] },
    Room { name: CORPUS, floor: 2, may_use: &[TYPES] },
    Room { name: DATA, floor: 3, may_use: &[TYPES, STORE, LM, GUARD, CORPUS] },
    Room { name: TRAIN, floor: 3, may_use: &[TYPES, STORE, LM] },
    Room { name: EVAL, floor: 3, may_use: &[TYPES, STORE, LM, GUARD] },
    Room { name: SERVE, floor: 3, may_use: &[TYPES, STORE, LM, GUARD] },
    Room { name: DEPLOY, floor: 3, may_use: &[TYPES, STORE] },
    Room { name: OBSERVE, floor: 3, may_use: &[TYPES, STORE, LM, GUARD] },
    Room {
        name: PIPELINE,
        floor: 4,
        may_use: &[TYPES, STORE, LM, SEARCH, GUARD, SOURCES, CORPUS, DATA, TRAIN, EVAL, SERVE, DEPLOY, OBSERVE],
    },
    Room { name: SERVER, floor: 5, may_use: &[TYPES, STORE, GUARD, SERVE, OBSERVE, EVAL, PIPELINE] },
    Room { name: BINARY, floor: 6, may_use: &[TYPES, PIPELINE, SERVER] },
];

fn room(name: &str) -> Option<&'static Room> {
    HOUSE.iter().find(|room| room.name == name)
}

/// Every edge that the table does not list, every crate that it does not know, and every row without a crate.
pub fn check(files: &[File]) -> Vec<String> {
    let manifests: Vec<&File> = files.iter().filter(|file| file.is_manifest()).collect();
    let present: BTreeSet<&str> = manifests.iter().map(|file| file.crate_name()).collect();
    let missing = HOUSE.iter().filter(|room| !present.contains(room.name)).map(|room| {
        format!("`{}` is in the table but not under crates/: take its row out of tests/tidy/edges.rs", room.name)
    });
    missing.chain(manifests.iter().flat_map(|file| check_manifest(file))).collect()
}

/// Every row of the table that the map in ARCHITECTURE.md does not show as it is.
pub fn check_map(page: &str) -> Vec<String> {
    let rows = HOUSE.iter().map(row_of_map);
    let missing = rows.filter(|row| !page.lines().any(|line| line.starts_with(row.as_str())));
    missing
        .map(|row| format!("ARCHITECTURE.md: has no row that begins with `{row}`: bring its map up to date"))
        .collect()
}

/// The head of a crate's row: `| 2 | `loopwright-guard` | types, lm |`.
fn row_of_map(room: &Room) -> String {
    let short: Vec<&str> = room.may_use.iter().map(|name| name.trim_start_matches("loopwright-")).collect();
    let uses = if short.is_empty() { "–".to_string() } else { short.join(", ") };
    format!("| {} | `{}` | {uses} |", room.floor, room.name)
}

fn check_manifest(file: &File) -> Vec<String> {
    let Some(user) = room(file.crate_name()) else {
        return vec![format!(
            "{}: `{}` has no floor: give it a row in tests/tidy/edges.rs and in ARCHITECTURE.md",
            file.path,
            file.crate_name()
        )];
    };
    let manifest = match file.text.parse::<Table>() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("{}: cannot be read as TOML: {}", file.path, error.message())],
    };
    let mut problems = Vec::new();
    for (used, only_in_tests) in own_dependencies(&manifest) {
        if !is_allowed(user, &used, only_in_tests) {
            let allowed = if user.may_use.is_empty() { "none".into() } else { user.may_use.join(", ") };
            problems.push(format!(
                "{}: edge `{}` → `{used}` is not in the table (allowed: {allowed}): move the code to the floor where \
                 both may reach it, or meet through a stored record; a new edge needs its row and its reason in \
                 ARCHITECTURE.md",
                file.path, user.name
            ));
        }
    }
    problems
}

fn is_allowed(user: &Room, used: &str, only_in_tests: bool) -> bool {
    let is_lower = room(used).is_some_and(|used| used.floor < user.floor);
    user.may_use.contains(&used) || (only_in_tests && is_lower)
}

/// Our crates among the dependencies of a manifest, and whether only its tests use them.
fn own_dependencies(manifest: &Table) -> BTreeSet<(String, bool)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let mut found = BTreeSet::new();
    for table in tables {
        for (section, only_in_tests) in
            [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
        {
            for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                // A dependency may be renamed: `lm = { package = "loopwright-lm", … }`.
                let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                if name == BINARY || name.starts_with("loopwright-") {
                    found.insert((name.to_string(), only_in_tests));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(crate_name: &str, manifest: &str) -> Vec<String> {
        check_manifest(&File::new(&format!("crates/{crate_name}/Cargo.toml"), manifest))
    }

    #[test]
    fn the_table_itself_goes_downwards() {
        for user in &HOUSE {
            for used in user.may_use {
                let used = room(used).unwrap_or_else(|| panic!("{} may use {used}, which has no row", user.name));
                assert!(used.floor < user.floor, "{} may use {}, which is not below it", user.name, used.name);
            }
        }
    }

    #[test]
    fn listed_edges_and_strangers_pass() {
        let manifest = "[dependencies]\nloopwright-types.workspace = true\nserde = '1'\n";
        assert!(problems(STORE, manifest).is_empty());
        let dev = "[dev-dependencies]\nloopwright-store = { path = '../loopwright-store' }\n";
        assert!(problems(GUARD, dev).is_empty());
    }

    #[test]
    fn an_unlisted_edge_is_named() {
        for manifest in [
            "[dependencies]\nloopwright-eval.workspace = true\n",
            "[dependencies.evaluation]\npackage = 'loopwright-eval'\nversion = '1'\n",
            "[build-dependencies]\nloopwright-eval = '1'\n",
            "[target.'cfg(unix)'.dependencies]\nloopwright-eval = '1'\n",
            // The same floor is not a lower one, in tests neither.
            "[dev-dependencies]\nloopwright-eval = '1'\n",
        ] {
            let found = problems(TRAIN, manifest);
            assert_eq!(found.len(), 1, "{manifest}");
            assert!(found[0].contains("`loopwright-train` → `loopwright-eval`"), "{found:?}");
        }
        // A lower floor is not enough outside tests.
        assert_eq!(problems(DEPLOY, "[dependencies]\nloopwright-lm.workspace = true\n").len(), 1);
        assert_eq!(problems(PIPELINE, "[dev-dependencies]\nloopwright = '1'\n").len(), 1);
    }

    #[test]
    fn a_crate_without_a_floor_and_a_floor_without_a_crate_are_named() {
        assert!(problems("loopwright-attic", "")[0].contains("has no floor"));
        let found = check(&[File::new("crates/loopwright-types/Cargo.toml", "")]);
        assert_eq!(found.len(), HOUSE.len() - 1);
        assert!(found[0].contains("`loopwright-store` is in the table"), "{found:?}");
    }

    #[test]
    fn a_map_that_says_otherwise_is_named() {
        let page: String = HOUSE.iter().map(|room| row_of_map(room) + " what lives there |\n").collect();
        assert!(check_map(&page).is_empty());
        assert!(page.contains("| 2 | `loopwright-guard` | types, lm |"));
        let found = check_map(&page.replace("| types, lm |", "| types, store, lm |"));
        assert!(found.len() == 1 && found[0].contains("`loopwright-guard` | types, lm |"), "{found:?}");
    }

    #[test]
    fn a_broken_manifest_is_named() {
        assert!(problems(STORE, "[dependencies").first().is_some_and(|text| text.contains("TOML")));
    }
}
