//! baresip behind Kamailio: a user agent of another family, over UDP.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use crate::gateway::Gateway;
use crate::kamailio::Kamailio;
use crate::process::Process;
use crate::process::free_port;

/// A running baresip with one account at Kamailio. It prints what crosses the wire, and has no
/// module that would touch a sound card.
struct Baresip {
    process: Process,
    _folder: TempDir,
}

impl Baresip {
    /// Starts it, and waits until it has registered.
    async fn start(kamailio: &Kamailio, user: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        // It takes the next port too, for TLS, so it gets an address of loopback to itself.
        let address = format!("127.{}.{}.2", port >> 8, port & 0xff);
        let modules =
            "module_path /usr/lib/baresip/modules\nmodule_tmp account.so\nmodule_app menu.so\n";
        let config = format!("sip_listen {address}:{port}\n{modules}");
        let account = format!(
            "<sip:{user}@example.test;transport=udp>;auth_user={user};auth_pass={user}-secret;\
             outbound=\"sip:{}\";regint=600\n",
            kamailio.address()
        );
        fs::write(folder.path().join("config"), config).unwrap();
        fs::write(folder.path().join("accounts"), account).unwrap();

        let path = folder.path().display().to_string();
        let arguments = ["-4", "-s", "-f", &path].map(str::to_owned);
        let mut process = Process::start("baresip", "baresip-core", "baresip", &arguments);
        process
            .line(|line| line.starts_with("CSeq: ").then_some(()))
            .await;
        process
            .line(|line| (line == "SIP/2.0 200 OK").then_some(()))
            .await;
        Self {
            process,
            _folder: folder,
        }
    }

    /// The next line on the wire that begins like this.
    async fn wire(&mut self, begin: &str) -> String {
        self.process
            .line(|line| line.starts_with(begin).then(|| line.to_owned()))
            .await
    }
}

#[tokio::test]
async fn a_message_reaches_baresip_over_udp_through_kamailio() {
    let kamailio = Kamailio::start(&[]).await;
    let mut erik = Baresip::start(&kamailio, "erik").await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway
        .send(&json!({ "target": "erik", "body": "Grüße aus Łódź 🎉", "ttl": 600 }))
        .await;

    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(message["attempt"], 1);
    let response = &message["result"]["response"];
    assert_eq!(response["statusCode"], 200);
    erik.wire("MESSAGE sip:erik").await;
    erik.wire("Grüße aus Łódź 🎉").await;
}

/// What baresip does not take it refuses, and its words reach the client.
#[tokio::test]
async fn a_message_that_baresip_does_not_understand_fails_with_its_answer() {
    let kamailio = Kamailio::start(&[]).await;
    let _erik = Baresip::start(&kamailio, "erik").await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway
        .send(&json!({
            "target": "erik",
            "body": "AAECAw==",
            "bodyEncoding": "base64",
            "contentType": "application/octet-stream",
        }))
        .await;

    assert_eq!(message["status"], "failed", "{message}");
    assert_eq!(message["result"]["originator"], "remote", "{message}");
    assert_eq!(
        message["result"]["response"]["statusCode"], 415,
        "{message}"
    );
}
