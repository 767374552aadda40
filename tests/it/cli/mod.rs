//! What a person at a terminal, or a script, gets from `sipost`.

mod asking;
mod configuration;
mod documents;
mod scripted;
mod sending;
mod storing;
mod tailing;
mod webhooks;

use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What a command printed and how it ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// The program, in an empty folder's place in the world: no variables, UTC, no colours.
fn sipost(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipost"));
    command
        .args(arguments)
        .env_clear()
        .env("TZ", "UTC")
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end, which must come soon.
async fn run(command: &mut Command) -> Ended {
    let child = command.spawn().unwrap();
    finish(child).await
}

/// Runs a command that reads this.
async fn run_with_input(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    finish(child).await
}

async fn finish(child: tokio::process::Child) -> Ended {
    let limit = Duration::from_secs(30);
    let ended = tokio::time::timeout(limit, child.wait_with_output()).await;
    ended.unwrap().unwrap().into()
}
