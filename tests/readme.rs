//! Keeps the promises of README.md, docs/receiving.md and docs/tracing.md: their commands are run
//! as they stand there, against the gateway as it starts with no configuration at all.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic; outside #[test] functions clippy has to be told"
)]

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// How often is looked for what must come: each look takes some ten milliseconds.
const TRIES: usize = 1_000;

/// The gateway as `cargo run` starts it, on a port of its own.
struct Gateway {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts it in an empty folder, and waits until it says where it takes messages.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_sipost"))
            .current_dir(&folder)
            .env("SIPOST__HTTP__LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = log.lines().map(Result::unwrap);
        let address = lines
            .find_map(|line| {
                let (_, rest) = line.split_once("taking messages at http://")?;
                Some(rest.split('"').next().unwrap().trim().to_owned())
            })
            .unwrap();
        // What it says further on is read to its end, so that it can go on saying it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    /// Runs a line of the README in a shell, and gives what it printed.
    fn run(&self, line: &str, seconds: u32) -> String {
        let line = line.replace("127.0.0.1:8080", &self.address);
        let output = Command::new("sh")
            .arg("-c")
            .arg(line.replacen("curl ", &format!("curl -sS -m {seconds} "), 1))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a line again until it shows these words, which come a moment later than a person types.
    fn run_until_it_shows(&self, words: &str, line: &str) -> String {
        let mut shown = String::new();
        for _ in 0..TRIES {
            shown = self.run(line, 30);
            if shown.contains(words) {
                return shown;
            }
        }
        panic!("no `{words}` in:\n{shown}");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of a document that call the gateway.
fn curl_lines(document: &str) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("curl "));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_first_screen_shows_a_message_that_arrives_and_one_that_does_not() {
    let gateway = Gateway::start();
    let lines = curl_lines("README.md");
    let [arrives, does_not, follow, to_echo, received] = lines.as_slice() else {
        panic!("the README has other lines than this test knows: {lines:?}");
    };

    let arrived = gateway.run(arrives, 30);
    let refused = gateway.run(does_not, 30);
    gateway.run(to_echo, 30);
    let came_back = gateway.run_until_it_shows("Hello!", received);
    // This one follows the log for ever; what has happened comes at once.
    let log = gateway.run(follow, 2);

    for (shown, words) in [
        (
            &arrived,
            ["event: sending", "event: succeeded", "\"statusCode\":200"],
        ),
        (
            &refused,
            ["event: sending", "event: failed", "\"cause\":\"Busy\""],
        ),
        (
            &log,
            ["event: sending", "event: succeeded", "event: failed"],
        ),
        (
            &came_back,
            [
                "\"type\":\"received\"",
                "sip:echo@sandbox.invalid",
                "Hello!",
            ],
        ),
    ] {
        for word in words {
            assert!(shown.contains(word), "no `{word}` in:\n{shown}");
        }
    }
}

/// The commands of docs/receiving.md that need nothing but the sandbox, in their order.
#[test]
fn the_commands_of_the_document_about_receiving_do_what_it_says() {
    let gateway = Gateway::start();
    let lines = curl_lines("docs/receiving.md");
    let [
        to_echo,
        received,
        to_reader,
        follow,
        from_echo,
        reply,
        rest @ ..,
    ] = lines.as_slice()
    else {
        panic!("the document has other lines than this test knows: {lines:?}");
    };
    let [_, _, received_again, asks, erase] = rest else {
        panic!("the document has other lines than this test knows: {lines:?}");
    };
    let text = fs::read_to_string("docs/receiving.md").unwrap();
    let id = text.lines().find(|line| line.starts_with("ID=")).unwrap();

    gateway.run(to_echo, 30);
    gateway.run_until_it_shows("\"type\":\"received\"", received);
    for line in [to_reader, asks] {
        let events = gateway.run(line, 30);
        for event in ["sending", "succeeded", "delivered", "displayed"] {
            assert!(events.contains(&format!("event: {event}")), "{events}");
        }
    }
    assert!(gateway.run(follow, 2).contains("event: received"));
    assert!(gateway.run(from_echo, 30).contains("Hello!"));
    let replied = gateway.run(&format!("{id}; {reply}"), 30);
    assert!(replied.contains("\"status\":\"succeeded\""), "{replied}");
    gateway.run_until_it_shows("Yes, at noon.", received_again);
    gateway.run(&format!("{id}; {erase}"), 30);
    assert!(!gateway.run(received, 30).contains("Yes, at noon."));
}

/// The commands of docs/tracing.md that need nothing but the sandbox, in their order.
#[test]
fn the_commands_of_the_document_about_tracing_do_what_it_says() {
    let gateway = Gateway::start();
    let text = fs::read_to_string("docs/tracing.md").unwrap();
    let id = text.lines().find(|line| line.starts_with("ID=")).unwrap();
    let read = text
        .lines()
        .find(|line| line.starts_with("tshark "))
        .unwrap();
    let lines = curl_lines("docs/tracing.md");
    let [ladder, json, capture, follow] = lines.as_slice() else {
        panic!("the document has other lines than this test knows: {lines:?}");
    };
    let id = gateway.run(&format!("{id}; echo $ID"), 30);
    let with_id = |line: &str| line.replace("$ID", id.trim());

    let drawn = gateway.run(&with_id(ladder), 30);
    for words in [
        "──── MESSAGE sip:busy@sandbox.invalid",
        "◄─── 486 Busy Here",
    ] {
        assert!(drawn.contains(words), "{drawn}");
    }
    let shown = gateway.run(&with_id(json), 30);
    for words in ["\"direction\":\"sent\"", "SIP/2.0 486 Busy Here", "******"] {
        assert!(shown.contains(words), "{shown}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.pcap");
    let in_folder = |line: &str| line.replace("trace.pcap", file.to_str().unwrap());
    gateway.run(&in_folder(&with_id(capture)), 30);
    let dissected = gateway.run(&in_folder(read), 30);
    for words in [
        "MESSAGE sip:busy@sandbox.invalid SIP/2.0",
        "SIP/2.0 486 Busy Here",
    ] {
        assert!(dissected.contains(words), "{dissected}");
    }
    // It follows for ever: the head of the stream comes at once.
    assert!(gateway.run(follow, 2).contains("retry: 3000"));
    let traced = Command::new(env!("CARGO_BIN_EXE_sipost"))
        .args([
            "trace",
            "--url",
            &format!("http://{}", gateway.address),
            id.trim(),
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&traced.stdout), drawn);
}

#[test]
fn the_first_screen_is_the_first_thing_that_is_said() {
    let text = fs::read_to_string("README.md").unwrap();
    for command in [
        "git clone",
        "\ncargo run\n",
        "docker run",
        "docker compose up",
    ] {
        let at = text
            .find(command)
            .unwrap_or_else(|| panic!("no `{command}`"));
        let begins_at = text[..at].lines().count();
        assert!(begins_at < 24, "`{command}` comes at line {begins_at}");
    }
}

#[test]
fn the_readme_names_the_oldest_rust_that_builds_it() {
    let text = fs::read_to_string("README.md").unwrap();
    let words = format!("With Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text.contains(&words), "no `{words}`");
}

/// `docker run` of the README: what the image and the command set make a configuration that is
/// taken, and the gateway listens where the port is published.
#[test]
fn the_container_of_the_readme_listens_where_its_port_is_published() {
    let text = fs::read_to_string("README.md").unwrap();
    let dockerfile = fs::read_to_string("Dockerfile").unwrap();
    let line = text.lines().find(|line| line.contains("docker run"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option);
        words[at.unwrap_or_else(|| panic!("no {option} in {words:?}")) + 1]
    };
    let (name, value) = after("-e").split_once('=').unwrap();
    let port = after("-p").rsplit(':').next().unwrap();
    assert!(dockerfile.contains(&format!("\nEXPOSE {port}\n")));
    let file = "config/image/sipost.toml";
    let root = fs::read_to_string("scripts/image-root").unwrap();
    assert!(dockerfile.contains("scripts/image-root"));
    assert!(root.contains(&format!("{file} \"$root/etc/sipost/sipost.toml\"")));

    let check = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sipost"));
        let command = command.args(["check", "--config", file]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said)
    };
    let (is_taken, said) = check(&[(name, value)]);
    assert!(is_taken, "{said}");
    assert!(
        said.contains(&format!("http://0.0.0.0:{port} is open to anyone")),
        "{said}"
    );
    let (is_taken, said) = check(&[]);
    assert!(!is_taken, "open to everybody without a word: {said}");
}

/// The commands of README.md, Dockerfile and benches for what ships are one and the same.
#[test]
fn what_ships_is_built_in_one_way() {
    let flags = "--locked --profile dist --features otlp --config .cargo/dist.toml";
    for file in ["README.md", "Dockerfile", "Cargo.toml", ".cargo/dist.toml"] {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("cargo build {flags}")), "{file}");
    }
}

#[test]
fn the_users_of_the_sandbox_answer_as_the_readme_says() {
    let gateway = Gateway::start();
    let text = fs::read_to_string("README.md").unwrap();
    let about = text.split("More users of the sandbox").nth(1).unwrap();
    let about = about.split("`silent`").next().unwrap().replace('\n', " ");
    let mut tried = 0;
    for (user, rest) in about
        .split('`')
        .skip(1)
        .step_by(2)
        .zip(about.split('`').skip(2).step_by(2))
    {
        let Some(code) = rest.trim().strip_prefix('(').and_then(|rest| rest.get(..3)) else {
            continue;
        };
        let Ok(code) = code.parse::<u16>() else {
            continue;
        };
        let line = format!(
            "curl --json '{{\"target\": \"{user}\", \"body\": \"\", \"attempts\": 1}}' \
             -H 'Prefer: wait=20' http://127.0.0.1:8080/messages"
        );
        let shown = gateway.run(&line, 30);
        assert!(
            shown.contains(&format!("\"statusCode\":{code}")),
            "{user} does not answer {code}: {shown}"
        );
        tried += 1;
    }
    assert_eq!(
        tried, 8,
        "the README names other users than this test tries"
    );
}

#[test]
fn the_account_of_the_readme_is_a_configuration_that_is_taken() {
    let text = fs::read_to_string("README.md").unwrap();
    let toml = text
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("alice");
    fs::write(&secret, "wonderland\n").unwrap();
    let file = folder.path().join("sipost.toml");
    let toml = toml.replace("/run/secrets/alice", secret.to_str().unwrap());
    fs::write(&file, toml).unwrap();

    let check = Command::new(env!("CARGO_BIN_EXE_sipost"))
        .args([Path::new("check"), Path::new("--config"), &file])
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success(), "{said}");
}
