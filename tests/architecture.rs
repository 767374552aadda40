//! Keeps the rooms of the code apart, and their files small enough to read. `ARCHITECTURE.md`
//! draws what these tables say; this holds both to the code.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic; outside #[test] functions clippy has to be told"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Who may name whom, from the ground floor up. `cli` and `app` know everyone and are known by no
/// one but `main`; they are not listed.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("message", &[]),
    ("sip", &[]),
    ("shutdown", &[]),
    ("clock", &["message"]),
    ("store", &["message", "clock"]),
    ("retention", &["store", "clock"]),
    ("events", &["message", "store"]),
    ("trace", &["message", "clock"]),
    ("agent", &["message", "sip", "trace", "clock"]),
    ("pool", &["message", "agent", "clock"]),
    (
        "dispatch",
        &["message", "store", "trace", "agent", "pool", "clock"],
    ),
    ("sandbox", &["sip", "clock"]),
    ("webhook", &["message", "store", "clock"]),
    (
        "api",
        &[
            "message", "store", "events", "trace", "dispatch", "webhook", "clock",
        ],
    ),
    (
        "telemetry",
        &[
            "message", "clock", "store", "trace", "agent", "dispatch", "webhook", "api",
        ],
    ),
    (
        "config",
        &[
            "message",
            "sip",
            "store",
            "retention",
            "webhook",
            "trace",
            "agent",
            "dispatch",
            "api",
            "telemetry",
        ],
    ),
];

/// The rooms that join the others.
const ROOTS: &[&str] = &["app", "cli"];

/// Rooms that only compute: time, chance and bytes come in as arguments.
const PURE_ROOMS: &[&str] = &["message", "sip"];

/// Words that have no place in a room that only computes.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::thread",
    "TcpStream",
    "UdpSocket",
    "::now()",
    "rand::rng()",
    "rand::random",
    "thread_rng",
    "OsRng",
    "async fn",
];

/// Words that belong to one room alone, and that room.
const AT_HOME: &[(&str, &str)] = &[
    ("rusqlite", "store"),
    ("tokio_postgres", "store"),
    ("tokio_tungstenite", "agent sandbox"),
    ("axum", "api"),
    ("clap", "cli"),
    ("reqwest", "webhook cli telemetry"),
    ("etherparse", "trace"),
    ("opentelemetry", "telemetry"),
    ("opentelemetry_sdk", "telemetry"),
    ("opentelemetry_otlp", "telemetry"),
];

const MAX_FILE: usize = 400;
const MAX_FUNCTION: usize = 60;
const MAX_LINE: usize = 100;

#[test]
fn every_room_is_listed_and_drawn() {
    let drawn = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let listed: BTreeSet<&str> = MAY_NAME
        .iter()
        .map(|(room, _)| *room)
        .chain(ROOTS.iter().copied())
        .collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("src").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "main" && name != "lib" {
            found.insert(name);
        }
    }
    for room in &found {
        assert!(listed.contains(room.as_str()), "`{room}` has no row here");
        assert!(
            drawn.contains(&format!("`{room}`")) || drawn.contains(&format!("`{room}/`")),
            "ARCHITECTURE.md does not say what `{room}` is for"
        );
    }
    for room in listed {
        assert!(found.contains(room), "there is no room `{room}`");
    }
}

#[test]
fn rooms_name_only_the_rooms_below_them() {
    for (room, allowed) in MAY_NAME {
        for (file, line) in lines_of(room) {
            assert!(
                !line.contains("crate::{"),
                "{file}: import one module per line"
            );
            for named in line.split("crate::").skip(1).map(first_word) {
                assert!(
                    named == *room || allowed.contains(&named),
                    "{file}: `{room}` may not name `{named}`: {line}"
                );
            }
        }
    }
}

#[test]
fn pure_rooms_have_no_clock_socket_task_or_chance_of_their_own() {
    for room in PURE_ROOMS {
        for (file, line) in lines_of(room) {
            for word in IMPURE {
                assert!(
                    !line.contains(word),
                    "{file}: `{word}` in a pure room: {line}"
                );
            }
        }
    }
}

#[test]
fn a_foreign_language_is_spoken_in_one_room() {
    let rooms = MAY_NAME.iter().map(|(room, _)| *room);
    for room in rooms.chain(ROOTS.iter().copied()) {
        for (file, line) in lines_of(room) {
            for (word, home) in AT_HOME {
                let names_it = line.contains(&format!("{word}::"));
                assert!(
                    !names_it || home.split(' ').any(|home| home == room),
                    "{file}: `{word}` belongs to {home}: {line}"
                );
            }
        }
    }
}

#[test]
fn no_file_and_no_function_asks_for_too_much_patience() {
    let mut long = Vec::new();
    for file in files_of(Path::new("src")) {
        if is_test_file(&file) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code: Vec<&str> = before_tests(&text).lines().collect();
        if code.len() > MAX_FILE {
            long.push(format!("{}: {} lines", file.display(), code.len()));
        }
        for (name, lines) in functions(&code) {
            if lines > MAX_FUNCTION {
                long.push(format!("{}: fn {name}: {lines} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is_in_lines_of_a_hundred_columns() {
    let mut faults = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz/src"] {
        for file in files_of(Path::new(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            if !text.starts_with("//!") {
                faults.push(format!("{}: does not say what it is", file.display()));
            }
            for (number, line) in text.lines().enumerate() {
                let words = line.trim_start();
                let is_prose =
                    words.starts_with("//") && !words.contains("| ") && !words.contains("--|");
                if is_prose && line.chars().count() > MAX_LINE {
                    faults.push(format!("{}:{}: too wide", file.display(), number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The lines of code of a room, without comments, tests and what only tests use.
fn lines_of(room: &str) -> Vec<(String, String)> {
    let folder = Path::new("src").join(room);
    let file = folder.with_extension("rs");
    let files = if folder.is_dir() {
        files_of(&folder)
    } else {
        vec![file]
    };
    assert!(!files.is_empty(), "the room `{room}` is empty");
    let mut lines = Vec::new();
    for file in files.iter().filter(|file| !is_test_file(file)) {
        let text = fs::read_to_string(file).unwrap();
        for line in before_tests(&text).lines() {
            if !line.trim_start().starts_with("//") {
                lines.push((file.display().to_string(), line.to_owned()));
            }
        }
    }
    lines
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_foreign = path.ends_with("node_modules") || path.ends_with("target");
        if path.is_dir() && !is_foreign {
            files.extend(files_of(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What is compiled for tests only, by its place.
fn is_test_file(file: &Path) -> bool {
    file.components().any(|part| {
        matches!(
            part.as_os_str().to_str(),
            Some("tests" | "tests.rs" | "testing" | "testing.rs" | "suite" | "simulation.rs")
        )
    })
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

/// The functions of formatted code, with how many lines each has: a function ends with a brace at
/// the column where it began.
fn functions(code: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(name) = function_name(trimmed) else {
            continue;
        };
        let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let is_whole = trimmed.ends_with(';') || trimmed.ends_with('}');
        if is_whole {
            continue;
        }
        let length = code[at..].iter().position(|line| **line == end);
        let is_declared = code[at..]
            .iter()
            .take_while(|line| !line.ends_with('{'))
            .any(|line| line.trim_end().ends_with(';'));
        if let (Some(length), false) = (length, is_declared) {
            found.push((name.to_owned(), length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let modifiers = ["pub", "const", "async", "unsafe", "extern"];
    let mut words = line.split_whitespace().peekable();
    while words
        .next_if(|word| modifiers.iter().any(|known| word.starts_with(known)))
        .is_some()
    {}
    // `pub(in crate::room)` is two words.
    words.next_if(|word| word.ends_with(')') && word.contains("::"));
    while words.next_if(|word| modifiers.contains(word)).is_some() {}
    (words.next()? == "fn").then(|| first_word(words.next().unwrap_or_default()))
}

#[test]
fn functions_are_found_and_measured() {
    let code = "pub(in crate::a) async fn one() {\n    two();\n}\n\nfn short() {}\ntrait T {\n    fn \
                declared(\n        &self,\n    );\n}\nimpl T {\n    pub const fn three(\n        a: u8,\n    ) {\n        \
                if a {\n        }\n    }\n}";
    let lines: Vec<&str> = code.lines().collect();
    let found = functions(&lines);
    let expected = [("one", 3), ("three", 6)].map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(found, expected);
}
