//! What the documents refer to is there, and `docs/configuration.md` says what
//! `config/default.toml` says, which it is made from.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read a document has failed"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const SOURCE: &str = "config/default.toml";
const DOCUMENT: &str = "docs/configuration.md";

/// Set to write the document anew.
const WRITE: &str = "SIPOST_WRITE_DOCUMENTS";

#[test]
fn what_the_documents_link_to_is_there() {
    let mut links = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let shown = document.display();
            assert!(file.exists(), "{shown} links to {target}");
            if !heading.is_empty() {
                let there = fs::read_to_string(&file).unwrap();
                let mut anchors = there
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(anchor);
                let is_there = anchors.any(|anchor| anchor == heading);
                assert!(is_there, "{shown} links to {target}");
            }
            links += 1;
        }
    }
    assert!(links > 40, "{links} links were found");
}

#[test]
fn the_source_files_that_documents_name_are_there() {
    let mut names = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        // Every second part is between backquotes.
        for name in text.split('`').skip(1).step_by(2) {
            let is_file = name.ends_with(".rs") && name.contains('/') && !name.contains(' ');
            if is_file {
                let is_there = Path::new(name).exists() || Path::new("src").join(name).exists();
                assert!(is_there, "{} names {name}", document.display());
                names += 1;
            }
        }
    }
    assert!(names > 20, "{names} names were found");
}

/// Every document of the project.
fn documents() -> Vec<PathBuf> {
    let folders = [
        ".",
        "docs",
        "clients",
        "clients/python",
        "clients/rust",
        "clients/typescript",
        "charts/sipost",
        "config/compose/secrets",
        "tests/fixtures/tls",
    ];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|end| end == "md"))
        .collect()
}

/// What a link names a heading by.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
        .map(|char| if char == ' ' { '-' } else { char })
        .collect()
}

#[test]
fn every_setting_is_in_the_document_as_the_defaults_say() {
    let made = document(&fs::read_to_string(SOURCE).unwrap());
    if std::env::var_os(WRITE).is_some() {
        fs::write(DOCUMENT, &made).unwrap();
    }
    let kept = fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(
        made == kept,
        "{SOURCE} has changed. {WRITE}=1 cargo test --test documents writes {DOCUMENT} anew"
    );
}

#[test]
fn a_setting_is_read_with_its_default_and_its_meaning() {
    let toml = "# About all.\n\n[a]\n# What b is, and c,\n# in two lines:\n#   like this\nb = 1\n# c = \
                \"x\"\n\n# Stands before it.\n#\n# [[d]]\n# What e is.\n# e = [1, 2]\n# f = 1  # the default\n";
    let made = document(toml);
    let said = "About all.\n\n## `[a]`\n\n* **`b`** = `1`, **`c`** (not set, such as `\"x\"`)\n\n  What b is, \
                and c,\n  in two lines:\n\n  ```text\n  like this\n  ```\n\nStands before it.\n\n## \
                `[[d]]`\n\n* **`e`** (not set, such as `[1, 2]`), **`f`** = `1`\n\n  What e is.\n";
    assert_eq!(made, format!("{HEAD}{said}"));
}

const HEAD: &str = "# Configuration

<!-- Made from config/default.toml: change that, and see tests/documents.rs. -->

";

/// Stands behind a setting in a comment that is what counts without it.
const DEFAULT: &str = "  # the default";

/// The document that says what the defaults say.
fn document(toml: &str) -> String {
    let mut out = HEAD.to_owned();
    let mut words: Vec<&str> = Vec::new();
    let mut settings: Vec<String> = Vec::new();
    let mut in_section = false;
    for line in toml.lines() {
        let comment = line
            .strip_prefix('#')
            .map(|text| text.strip_prefix(' ').unwrap_or(text));
        let plain = comment.unwrap_or(line);
        let setting = setting(plain).filter(|_| in_section);
        if setting.is_none() && !settings.is_empty() {
            group(&mut out, &mut settings, &mut words);
        }
        if let Some((key, value)) = setting {
            // A list that is empty has its defaults in a comment.
            settings.push(match (comment, value.strip_suffix(DEFAULT)) {
                (Some(_), Some(value)) => format!("**`{key}`** = `{value}`"),
                (Some(_), None) => format!("**`{key}`** (not set, such as `{value}`)"),
                (None, _) => format!("**`{key}`** = `{value}`"),
            });
        } else if is_section(plain) {
            prose(&mut out, &mut words, "");
            let _ = writeln!(out, "## `{plain}`\n");
            in_section = true;
        } else if line.is_empty() {
            prose(&mut out, &mut words, "");
        } else {
            words.push(plain);
        }
    }
    group(&mut out, &mut settings, &mut words);
    while out.contains("\n\n\n") {
        out = out.replace("\n\n\n", "\n\n");
    }
    format!("{}\n", out.trim_end())
}

/// `[http]`, `[[account]]`.
fn is_section(line: &str) -> bool {
    let is_name = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.' | '[' | ']');
    line.starts_with('[') && line.ends_with(']') && line.chars().all(is_name)
}

/// The key and the value of a line that sets one.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(" = ")?;
    let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    key.chars().all(is_key).then_some((key, value))
}

/// Writes settings that stand together, and what is said of them.
fn group(out: &mut String, settings: &mut Vec<String>, words: &mut Vec<&str>) {
    if !settings.is_empty() {
        let _ = writeln!(out, "* {}\n", settings.join(", "));
        settings.clear();
        prose(out, words, "  ");
    }
}

/// Writes lines as they stand; those that are set in are no prose.
fn prose(out: &mut String, words: &mut Vec<&str>, margin: &str) {
    let mut is_code = false;
    for line in words.drain(..) {
        let begins = line.starts_with("  ");
        if begins != is_code {
            out.push_str(&if begins {
                format!("\n{margin}```text\n")
            } else {
                format!("{margin}```\n\n")
            });
            is_code = begins;
        }
        let line = if begins { &line[2..] } else { line };
        let _ = writeln!(out, "{}", format!("{margin}{line}").trim_end());
    }
    if is_code {
        let _ = writeln!(out, "{margin}```");
    }
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
}
