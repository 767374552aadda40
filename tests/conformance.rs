//! Keeps `docs/conformance.md` and `docs/scaling.md` honest: every test that they name exists.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_table_names_exists() {
    let named = holds("docs/conformance.md", |document| document);
    assert!(named > 80, "{named}");
}

#[test]
fn every_test_that_holds_what_replicas_share_exists() {
    let section = |document: String| {
        let (_, rest) = document.split_once("## How the work is shared").unwrap();
        rest.split("\n#").next().unwrap().to_owned()
    };
    let named = holds("docs/scaling.md", section);
    assert!(named > 5, "{named}");
}

/// How many tests a part of this document names in the last column of its tables; all of them
/// exist.
fn holds(document: &str, part: impl Fn(String) -> String) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut functions = HashSet::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut functions);
    }
    let table = part(fs::read_to_string(root.join(document)).unwrap());
    let cells = table
        .lines()
        .filter(|line| line.starts_with("| ") || line.starts_with("* `"))
        .flat_map(|line| match line.rsplit('|').nth(1) {
            Some(cell) => cell.split('`'),
            None => line.split('`'),
        });
    let is_name = |text: &&str| {
        text.contains('_')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let named: Vec<_> = cells.filter(is_name).collect();
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !functions.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
    named.len()
}

/// The names of all functions in the Rust files of a folder.
fn collect(folder: &Path, functions: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, functions);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for rest in text.split("fn ").skip(1) {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                functions.insert(name.to_owned());
            }
        }
    }
}
