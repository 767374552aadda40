//! Linphone behind Kamailio: a phone of people, which confirms what it gets.
//!
//! It reports `delivered` of everything, asked or not, in a compressed body, and before it answers.
//! It reports `displayed` when a person opens the conversation. Debian's `linphonec` has no command
//! for that, nor has `linphone-daemon`; `received.rs` has a test with a receipt of JsSIP's.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use crate::gateway::Gateway;
use crate::kamailio::Kamailio;
use crate::process::Process;
use crate::process::free_port;

/// A running `linphonec`, registered. Its output has what it shows and all that it logs.
pub(crate) struct Linphone {
    process: Process,
    _home: TempDir,
}

impl Linphone {
    /// Starts it over UDP.
    pub(crate) async fn start(kamailio: &Kamailio, user: &str) -> Self {
        Self::start_over("udp", kamailio, user).await
    }

    /// Starts it over TCP.
    pub(crate) async fn start_over_tcp(kamailio: &Kamailio, user: &str) -> Self {
        Self::start_over("tcp", kamailio, user).await
    }

    async fn start_over(transport: &str, kamailio: &Kamailio, user: &str) -> Self {
        let home = TempDir::new().unwrap();
        // It makes neither of these, and remembers nothing without them.
        for folder in [".local/share/linphone", ".config/linphone"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let settings = home.path().join("linphonerc");
        let server = format!("{};transport={transport}", kamailio.address());
        fs::write(&settings, configuration(&server, user, transport)).unwrap();

        let settings = settings.display().to_string();
        let arguments = ["-c", &settings, "-d", "6", "-l", "/dev/stderr"].map(str::to_owned);
        let (name, package) = ("linphonec", "linphone-cli");
        let mut process =
            Process::start_at_home(name, package, name, &arguments, Some(home.path()));
        process
            .line(|line| line.contains("to [LinphoneRegistrationOk]").then_some(()))
            .await;
        Self {
            process,
            _home: home,
        }
    }

    /// What a person writes.
    pub(crate) async fn chat(&mut self, uri: &str, text: &str) {
        self.process.write_line(&format!("chat {uri} {text}")).await;
    }

    /// The next message that it shows.
    pub(crate) async fn shown(&mut self) -> String {
        let begin = "Message received from sip:alice@example.test: ";
        self.line_after(begin).await
    }

    /// What follows these words in the next line that has them.
    async fn line_after(&mut self, words: &str) -> String {
        self.process
            .line(|line| Some(line.split_once(words)?.1.to_owned()))
            .await
    }
}

fn configuration(server: &str, user: &str, transport: &str) -> String {
    let port = free_port();
    let (udp_port, tcp_port) = if transport == "udp" {
        (port, 0)
    } else {
        (0, port)
    };
    format!(
        r#"[sip]
sip_port={udp_port}
sip_tcp_port={tcp_port}
contact="{user}" <sip:{user}@127.0.0.1:{port};transport={transport}>
sip_tls_port=0
default_proxy=0
guess_hostname=0
bind_address=127.0.0.1
[video]
enabled=0
[proxy_0]
reg_proxy=<sip:{server}>
reg_identity=sip:{user}@example.test
reg_route=<sip:{server};lr>
reg_expires=600
reg_sendregister=1
[auth_info_0]
username={user}
userid={user}
passwd={user}-secret
realm=example.test
domain=example.test
"#
    )
}

#[tokio::test]
async fn a_plain_message_is_reported_delivered_although_nothing_was_asked() {
    let kamailio = Kamailio::start(&[]).await;
    let mut dora = Linphone::start(&kamailio, "dora").await;
    let gateway = Gateway::start(&kamailio).await;
    gateway.all_registered().await;

    let text = json!({ "target": "dora", "body": "Hello!" });
    let events = gateway.send_until(&text, "delivered").await;

    assert_eq!(dora.shown().await, "Hello!");
    let delivered = events.last().unwrap();
    assert_eq!(delivered["type"], "delivered", "{delivered}");
    assert_eq!(delivered["recipient"], "sip:dora@example.test");
    let message = gateway.ended(delivered).await;
    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(message["receipts"]["delivered"], delivered["time"]);
}

/// What asks for the receipt is an envelope (RFC 3862), which Linphone opens.
#[tokio::test]
async fn a_message_that_asks_for_receipts_is_shown_without_its_envelope() {
    let kamailio = Kamailio::start(&[]).await;
    let mut dora = Linphone::start(&kamailio, "dora").await;
    let gateway = Gateway::start(&kamailio).await;
    gateway.all_registered().await;

    let text = json!({
        "target": "dora",
        "body": "Grüße aus Łódź 🎉",
        "receipts": ["delivered", "displayed"],
    });
    let events = gateway.send_until(&text, "delivered").await;

    assert_eq!(dora.shown().await, "Grüße aus Łódź 🎉");
    let headers = &events[0]["request"]["headers"];
    assert_eq!(headers["Content-Type"], json!(["message/cpim"]));
    let delivered = events.last().unwrap();
    assert_eq!(delivered["type"], "delivered", "{delivered}");
    let message = gateway.ended(delivered).await;
    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(message["attempt"], 1);
}

/// Linphone refuses it, and reports the same once more. The receipt may come before the refusal.
#[tokio::test]
async fn a_message_that_linphone_cannot_show_is_reported_undelivered() {
    let kamailio = Kamailio::start(&[]).await;
    let _dora = Linphone::start(&kamailio, "dora").await;
    let gateway = Gateway::start(&kamailio).await;
    gateway.all_registered().await;

    let message = gateway
        .send(&json!({ "target": "dora", "body": "{}", "contentType": "application/json" }))
        .await;

    assert_eq!(message["status"], "failed", "{message}");
    assert_eq!(
        message["result"]["response"]["statusCode"], 415,
        "{message}"
    );
    let undelivered = gateway.event("undelivered").await;
    assert_eq!(undelivered["messageId"], message["id"]);
    assert_eq!(undelivered["status"], "failed", "{undelivered}");
}

#[tokio::test]
async fn a_reply_that_kamailio_forks_to_three_agents_is_received_once() {
    let mut kamailio = Kamailio::start(&[]).await;
    let mut dora = Linphone::start(&kamailio, "dora").await;
    let gateway = Gateway::start_with_agents(&kamailio, 3).await;
    gateway.all_registered().await;

    dora.chat("sip:alice@example.test", "Yes, at noon.").await;

    let received = gateway.event("received").await;
    assert_eq!(received["body"], "Yes, at noon.", "{received}");
    assert_eq!(received["from"]["uri"], "sip:dora@example.test");
    assert_eq!(received["account"], "sip:alice@example.test");
    for _ in 0..3 {
        kamailio.logged("answer 202 Accepted to MESSAGE").await;
    }
    assert_eq!(gateway.received().await, [received]);
}

#[tokio::test]
async fn our_reply_to_a_person_is_shown_and_names_the_message_that_it_answers() {
    let kamailio = Kamailio::start(&[]).await;
    let mut dora = Linphone::start(&kamailio, "dora").await;
    let gateway = Gateway::start(&kamailio).await;
    gateway.all_registered().await;
    dora.chat("sip:alice@example.test", "Lunch?").await;
    let question = gateway.event("received").await;

    let reply = gateway
        .send(&json!({ "inReplyTo": question["messageId"], "body": "Yes, at noon." }))
        .await;

    assert_eq!(reply["status"], "succeeded", "{reply}");
    assert_eq!(reply["target"], "sip:dora@example.test");
    let named = dora.line_after("In-Reply-To: ").await;
    assert_eq!(named, question["request"]["callId"]);
    assert_eq!(dora.shown().await, "Yes, at noon.");
}
