//! `sipost help`, `version`, `completions` and `man`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::run;
use super::sipost;

#[tokio::test]
async fn help_is_a_command_too() {
    let option = run(&mut sipost(&["send", "--help"])).await;
    let command = run(&mut sipost(&["help", "send"])).await;
    assert_eq!((option.code, command.code), (Some(0), Some(0)));
    assert_eq!(option.stdout, command.stdout);
    let all = run(&mut sipost(&["help"])).await;
    for name in [
        "serve",
        "send",
        "tail",
        "completions",
        "man",
        "version",
        "help",
    ] {
        let line = format!("\n  {name} ");
        assert!(all.stdout.contains(&line), "{name}: {}", all.stdout);
    }
}

#[tokio::test]
async fn version_is_a_command_too() {
    let option = run(&mut sipost(&["--version"])).await;
    let command = run(&mut sipost(&["version"])).await;
    assert_eq!((option.code, command.code), (Some(0), Some(0)));
    let version = format!("sipost {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(option.stdout, version);
    let features = if cfg!(feature = "otlp") {
        "otlp"
    } else {
        "none; otlp, for traces to an OpenTelemetry collector, is not in this build"
    };
    assert_eq!(command.stdout, format!("{version}features: {features}\n"));
}

#[tokio::test]
async fn bash_takes_the_script_and_completes_a_command() {
    let script = run(&mut sipost(&["completions", "bash"])).await;
    assert_eq!(script.code, Some(0), "{}", script.stderr);
    let asks =
        "COMP_WORDS=(sipost ta); COMP_CWORD=1; _sipost sipost ta sipost; echo ${COMPREPLY[@]}";
    let completed = tokio::process::Command::new("bash")
        .args(["--norc", "-c", &format!("{}\n{asks}", script.stdout)])
        .output()
        .await
        .unwrap();
    let completed = String::from_utf8(completed.stdout).unwrap();
    assert_eq!(completed.trim(), "tail");
}

#[tokio::test]
async fn manual_pages_are_printed_or_written() {
    let page = run(&mut sipost(&["man", "send"])).await;
    assert_eq!(page.code, Some(0), "{}", page.stderr);
    assert!(page.stdout.contains(".TH sipost-send 1"), "{}", page.stdout);

    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().display().to_string();
    let ended = run(&mut sipost(&["man", "--into", &into])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let written = std::fs::read_to_string(folder.path().join("sipost-send.1")).unwrap();
    assert_eq!(written, page.stdout);
    assert!(folder.path().join("sipost.1").exists());

    let ended = run(&mut sipost(&["man", "--into", "/nowhere"])).await;
    let told = "error: /nowhere/sipost.1 cannot be written: No such file or directory\n";
    assert_eq!((ended.code, &*ended.stderr), (Some(2), told));

    let ended = run(&mut sipost(&["man", "dance"])).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("send"), "{}", ended.stderr);
}

/// The exit codes that the help of a command lists, after "Exit codes:".
async fn exit_codes(command: &str) -> BTreeSet<u8> {
    let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
    let help = run(&mut sipost(&arguments)).await.stdout;
    let Some((_, codes)) = help.split_once("Exit codes: ") else {
        return BTreeSet::new();
    };
    let codes = codes.split("\n\n").next().unwrap().replace('\n', " ");
    // Each code is at the beginning or after a comma.
    let codes = codes.split(". ").next().unwrap().split(", ");
    codes
        .filter_map(|words| words.split(' ').next().unwrap().parse().ok())
        .collect()
}

/// docs/operating.md has a table of the exit codes, and the help of each command has its own.
#[tokio::test]
async fn the_table_of_exit_codes_has_what_the_help_of_the_commands_says() {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md")).unwrap();
    let (_, table) = document.split_once("| exit code | means |\n").unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows: BTreeMap<u8, &str> = table
        .lines()
        .skip(1)
        .map(|row| {
            let (code, means) = row.trim_matches('|').split_once('|').unwrap();
            (code.trim().parse().unwrap(), means)
        })
        .collect();
    let all = run(&mut sipost(&["help"])).await.stdout;
    let (_, commands) = all.split_once("Commands:\n").unwrap();
    let commands = commands.split("\n\n").next().unwrap();
    let names = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty());
    let mut checked = 0;
    for name in names {
        for code in exit_codes(name).await {
            let row = rows.get(&code);
            let row = row.unwrap_or_else(|| panic!("{name}: {code} is not in the table"));
            let is_named = row.contains(&format!("`{name}`"))
                || name == "webhooks" && row.contains("`webhooks test`");
            // Those that almost every command has are not told of each.
            assert!(is_named || matches!(code, 0 | 2), "{name}: {code}");
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
}
