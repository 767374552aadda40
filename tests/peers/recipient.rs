//! User agents made by others, registered with Kamailio, that tell what reached them.

use std::collections::HashMap;
use std::fs;

use serde::Deserialize;
use tempfile::TempDir;

use crate::kamailio::Kamailio;
use crate::process::Process;
use crate::process::folder;
use crate::process::free_port;
use crate::sandbox::Sandbox;

/// A script of `node/` with one or more registered user agents.
pub(crate) struct Recipient {
    process: Process,
}

/// One MESSAGE as a recipient saw it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Received {
    /// Which of the recipient's users it was for.
    pub(crate) user: String,
    /// The URI of From.
    pub(crate) from: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
    /// Values by name, in the order they came.
    pub(crate) headers: HashMap<String, Vec<String>>,
}

/// A line of a script's output.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
enum Line {
    Registered {
        user: String,
    },
    Message(Received),
    #[serde(other)]
    Other,
}

impl Recipient {
    /// JsSIP as these users, all registered.
    pub(crate) async fn jssip(kamailio: &Kamailio, users: &[&str]) -> Self {
        Self::start("jssip.js", kamailio.place(), users, &[]).await
    }

    /// JsSIP as these users of a sandbox.
    pub(crate) async fn jssip_of_sandbox(sandbox: &Sandbox, users: &[&str]) -> Self {
        Self::start("jssip.js", sandbox.place(), users, &[]).await
    }

    /// JsSIP that answers every MESSAGE with this status code.
    pub(crate) async fn jssip_answering(kamailio: &Kamailio, user: &str, code: u16) -> Self {
        let answer = ["--answer".to_owned(), code.to_string()];
        Self::start("jssip.js", kamailio.place(), &[user], &answer).await
    }

    /// SIP.js as this user, registered.
    pub(crate) async fn sipjs(kamailio: &Kamailio, user: &str) -> Self {
        Self::start("sipjs.js", kamailio.place(), &[user], &[]).await
    }

    async fn start(script: &str, place: Place, users: &[&str], more: &[String]) -> Self {
        let mut arguments = vec![script_path(script)];
        arguments.extend(place.arguments());
        for user in users {
            arguments.extend(["--user".to_owned(), (*user).to_owned()]);
        }
        arguments.extend_from_slice(more);

        let process = Process::start(script, "nodejs", "node", &arguments);
        let mut recipient = Self { process };
        recipient.registered(users).await;
        recipient
    }

    /// Waits until each of these users has registered, again if it had before.
    async fn registered(&mut self, users: &[&str]) {
        let mut awaited = users.to_vec();
        while !awaited.is_empty() {
            let user = self
                .process
                .line(|line| match serde_json::from_str(line) {
                    Ok(Line::Registered { user }) => Some(user),
                    Ok(Line::Message(_) | Line::Other) | Err(_) => None,
                })
                .await;
            awaited.retain(|&other| other != user);
        }
    }

    /// The next MESSAGE that reached it.
    pub(crate) async fn received(&mut self) -> Received {
        self.process
            .line(|line| match serde_json::from_str(line) {
                Ok(Line::Message(received)) => Some(received),
                Ok(Line::Registered { .. } | Line::Other) | Err(_) => None,
            })
            .await
    }
}

/// Where a script of `node/` registers.
pub(crate) struct Place {
    url: String,
    domain: &'static str,
}

impl Place {
    pub(crate) fn new(url: String, domain: &'static str) -> Self {
        Self { url, domain }
    }

    pub(crate) fn arguments(self) -> [String; 4] {
        let domain = self.domain.to_owned();
        ["--url".to_owned(), self.url, "--domain".to_owned(), domain]
    }
}

impl From<&Kamailio> for Place {
    fn from(kamailio: &Kamailio) -> Self {
        kamailio.place()
    }
}

impl From<&Sandbox> for Place {
    fn from(sandbox: &Sandbox) -> Self {
        sandbox.place()
    }
}

/// The path of a script, whose npm packages are there.
pub(crate) fn script_path(script: &str) -> String {
    let folder = folder().join("node");
    assert!(
        folder.join("node_modules/jssip").is_dir(),
        "the npm packages of tests/peers/node are missing: run scripts/test, or npm ci there"
    );
    folder.join(script).display().to_string()
}

/// sipp as a recipient of one MESSAGE over UDP, which it answers 202.
pub(crate) struct Sipp {
    process: Process,
    scratch: TempDir,
}

impl Sipp {
    /// Starts it and registers it with Kamailio as this user.
    pub(crate) async fn start(kamailio: &Kamailio, user: &str) -> Self {
        let scratch = TempDir::new().unwrap();
        let contact_port = free_port().to_string();
        let messages = scratch.path().join("messages").display().to_string();
        let receive = [
            "-p",
            &contact_port,
            "-trace_msg",
            "-message_file",
            &messages,
        ];
        let process = sipp(kamailio, "receive.xml", &receive);

        let secret = format!("{user}-secret");
        let own_port = free_port().to_string();
        let register = [
            "-p",
            &own_port,
            "-s",
            user,
            "-au",
            user,
            "-ap",
            &secret,
            "-key",
            "contact_port",
            &contact_port,
        ];
        sipp(kamailio, "register.xml", &register).finished().await;
        Self { process, scratch }
    }

    /// Waits until it answered its MESSAGE; gives the bytes that crossed the wire as text.
    pub(crate) async fn messages(mut self) -> String {
        self.process.finished().await;
        fs::read_to_string(self.scratch.path().join("messages")).unwrap()
    }
}

fn sipp(kamailio: &Kamailio, scenario: &str, more: &[&str]) -> Process {
    let scenario = folder().join("sipp").join(scenario).display().to_string();
    let address = kamailio.address();
    let mut arguments: Vec<String> = [
        &*address,
        "-sf",
        &scenario,
        "-i",
        "127.0.0.1",
        "-m",
        "1",
        "-nostdin",
        "-timeout",
        "30",
    ]
    .map(str::to_owned)
    .into();
    arguments.extend(more.iter().map(|&argument| argument.to_owned()));
    Process::start("sipp", "sip-tester", "sipp", &arguments)
}
