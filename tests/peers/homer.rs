//! What the gateway tells a Homer, read by programs that others made: Kamailio's `sipcapture`,
//! `sngrep`, and `hep-js`.

use std::fs;

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::gateway::Gateway;
use crate::kamailio::Kamailio;
use crate::process::Process;
use crate::process::folder;
use crate::process::free_port;

/// A message that is refused, because Kamailio knows no such user; its id.
async fn refused(gateway: &Gateway) -> String {
    let message = json!({"target": "nobody", "body": "Hello!", "attempts": 1});
    let ended = gateway.send(&message).await;
    assert_eq!(ended["status"], "failed", "{ended}");
    ended["id"].as_str().unwrap().to_owned()
}

/// A packet as hep-js shows it.
#[derive(Debug, Deserialize)]
struct Packet {
    rcinfo: Info,
    payload: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    protocol: u8,
    src_port: u16,
    dst_port: u16,
    payload_type: u8,
    capture_id: u32,
    capture_pass: String,
    hep_node_name: String,
    time_seconds: u64,
    time_useconds: u64,
    #[serde(rename = "correlation_id")]
    correlation_id: Option<String>,
}

#[tokio::test]
async fn hep_js_reads_every_chunk() {
    let kamailio = Kamailio::start(&[]).await;
    let script = folder().join("node/hep.js").display().to_string();
    let mut homer = Process::start("hep.js", "nodejs", "node", &[script]);
    let port = |line: &str| line.strip_prefix("listening ").map(str::to_owned);
    let port = homer.line(port).await;
    let gateway = Gateway::start_telling(&kamailio, &format!("udp://127.0.0.1:{port}")).await;
    let id = refused(&gateway).await;
    let mut packets: Vec<Packet> = Vec::new();
    while packets.len() < 2 {
        let packet = |line: &str| serde_json::from_str::<Packet>(line).ok();
        let packet = homer.line(packet).await;
        if packet.rcinfo.correlation_id.as_deref() == Some(&id) {
            packets.push(packet);
        }
    }
    let [request, response] = &packets[..] else {
        panic!("{packets:?}");
    };
    assert!(
        request
            .payload
            .starts_with("MESSAGE sip:nobody@example.test SIP/2.0\r\n")
    );
    assert!(request.payload.ends_with("\r\n\r\n******"));
    assert!(response.payload.starts_with("SIP/2.0 "));
    assert_eq!(request.rcinfo.dst_port, kamailio.port());
    assert_eq!(response.rcinfo.src_port, kamailio.port());
    assert_eq!(request.rcinfo.src_port, response.rcinfo.dst_port);
    for info in [&request.rcinfo, &response.rcinfo] {
        assert_eq!(
            (info.protocol, info.payload_type, info.capture_id),
            (6, 1, 2001)
        );
        assert_eq!(
            (&*info.capture_pass, &*info.hep_node_name),
            ("key", "edge-1")
        );
    }
    let time = |info: &Info| (info.time_seconds, info.time_useconds);
    assert!(time(&request.rcinfo) <= time(&response.rcinfo));
}

/// What `sipcapture` is told it hands to the script as if it had come from where it came from.
#[tokio::test]
async fn kamailio_captures_what_passed_with_its_addresses() {
    let kamailio = Kamailio::start(&[]).await;
    let scratch = TempDir::new().unwrap();
    let tables = scratch.path().join("tables");
    fs::create_dir(&tables).unwrap();
    let version = "table_name(string) table_version(int)\nsip_capture:4:\n";
    fs::write(tables.join("version"), version).unwrap();
    let port = free_port();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let arguments = [
        "-DD",
        "-E",
        "-m",
        "32",
        "-M",
        "8",
        "-f",
        &folder().join("kamailio/homer.cfg").display().to_string(),
        "-A",
        &format!("PORT={port}"),
        "-A",
        &format!("TABLES=\"text://{}\"", tables.display()),
        "-Y",
        &path(""),
        "-w",
        &path(""),
    ];
    let arguments: Vec<String> = arguments.map(str::to_owned).into();
    let mut homer = Process::start("kamailio", "kamailio", "kamailio", &arguments);
    homer
        .line(|line| line.contains("homer is ready").then_some(()))
        .await;

    let gateway = Gateway::start_telling(&kamailio, &format!("udp://127.0.0.1:{port}")).await;
    let id = refused(&gateway).await;
    let server = format!("127.0.0.1:{}", kamailio.port());
    let after = |line: &str, begin: &str| {
        let (_, rest) = line.split_once(begin)?;
        rest.contains(&id).then(|| rest.to_owned())
    };
    let request = homer.line(|line| after(line, "captured MESSAGE ")).await;
    assert!(request.starts_with("sip:nobody@example.test "), "{request}");
    assert!(
        !request.contains(&server),
        "it comes from the agent: {request}"
    );
    let response = homer.line(|line| after(line, "captured 4")).await;
    assert!(response.contains(&format!("from {server} ")), "{response}");
}

#[tokio::test]
async fn sngrep_shows_what_passed() {
    let kamailio = Kamailio::start(&[]).await;
    let scratch = TempDir::new().unwrap();
    let file = scratch.path().join("out.pcap").display().to_string();
    let port = free_port();
    let listen = format!("udp:127.0.0.1:{port}");
    let arguments = ["-F", "-N", "-L", &listen, "-O", &file].map(str::to_owned);
    let mut homer = Process::start("sngrep", "sngrep", "sngrep", &arguments);
    // It says when it has begun, on a line without an end; its file is there by then.
    let gateway = Gateway::start_telling(&kamailio, &format!("udp://127.0.0.1:{port}")).await;
    let call_ids = async || {
        let arguments = ["-n", "-r", &file, "-T", "fields", "-e", "sip.Call-ID"].map(str::to_owned);
        let mut tshark = Process::start("tshark", "tshark", "tshark", &arguments);
        let mut all = Vec::new();
        while let Some(line) = tshark.find_line(|line| Some(line.to_owned())).await {
            all.push(line);
        }
        all
    };
    // It may not listen yet when the first comes.
    let mut sent = Vec::new();
    loop {
        sent.push(refused(&gateway).await);
        let seen = call_ids().await;
        if sent
            .iter()
            .any(|id| seen.iter().filter(|other| *other == id).count() == 2)
        {
            break;
        }
        assert!(
            sent.len() < 200,
            "sngrep saw none of {} messages",
            sent.len()
        );
    }
    homer.kill().await;
}
