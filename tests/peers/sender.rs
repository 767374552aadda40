//! User agents made by others that send one MESSAGE and tell how it ended.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::kamailio::Kamailio;
use crate::process::Process;
use crate::process::folder;
use crate::recipient::Place;
use crate::recipient::script_path;

/// Sends a text with JsSIP, and gives its verdict.
pub(crate) async fn jssip(place: impl Into<Place>, user: &str, target: &str, body: &str) -> Value {
    jssip_of_type(place, user, target, "text/plain", body).await
}

/// Sends a body of some type with JsSIP.
pub(crate) async fn jssip_of_type(
    place: impl Into<Place>,
    user: &str,
    target: &str,
    content_type: &str,
    body: &str,
) -> Value {
    let content_type = ["--content-type".to_owned(), content_type.to_owned()];
    node(
        "jssip-send.js",
        place.into(),
        [user, target, body],
        &content_type,
    )
    .await
}

/// Sends a text with SIP.js.
pub(crate) async fn sipjs(kamailio: &Kamailio, user: &str, target: &str, body: &str) -> Value {
    node("sipjs-send.js", kamailio.place(), [user, target, body], &[]).await
}

/// Sends a text with pjsua2 over UDP, and gives what its status callback says.
pub(crate) async fn pjsua2(kamailio: &Kamailio, user: &str, target: &str, body: &str) -> Value {
    let script = folder().join("python/pjsua2-send.py");
    let mut arguments = vec![
        script.display().to_string(),
        "--server".to_owned(),
        kamailio.address(),
    ];
    arguments.extend(named([user, target, body]));
    let python = pjsua2_python().display().to_string();
    let mut process = Process::start("pjsua2-send.py", "python3-venv", &python, &arguments);
    process.line(|line| serde_json::from_str(line).ok()).await
}

async fn node(script: &str, place: Place, names: [&str; 3], more: &[String]) -> Value {
    let mut arguments = vec![script_path(script)];
    arguments.extend(place.arguments());
    arguments.extend(named(names));
    arguments.extend_from_slice(more);
    let mut process = Process::start(script, "nodejs", "node", &arguments);
    process.line(|line| serde_json::from_str(line).ok()).await
}

/// The user, the target and the body, as every script here takes them.
fn named(names: [&str; 3]) -> impl Iterator<Item = String> {
    let options = ["--user", "--target", "--body"].into_iter();
    options
        .zip(names)
        .flat_map(|(option, value)| [option.to_owned(), value.to_owned()])
}

/// The Python that has pjsua2: scripts/test says which version.
fn pjsua2_python() -> PathBuf {
    let environments = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/pypi");
    let folders = fs::read_dir(&environments).into_iter().flatten();
    let mut found = folders.filter_map(|entry| {
        let entry = entry.ok()?;
        let is_pjsua2 = entry.file_name().to_str()?.starts_with("pjsua2-python==");
        let is_whole = is_pjsua2 && entry.path().join("installed").is_file();
        is_whole.then(|| entry.path().join("bin/python"))
    });
    found.next().unwrap_or_else(|| {
        let folder = environments.display();
        panic!("pjsua2-python is missing in {folder}: run scripts/test")
    })
}
