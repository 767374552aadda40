//! `sipost help`, `version`, `completions` and `man`.

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
