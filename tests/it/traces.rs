//! The SIP messages of messages and agents: as JSON, for Wireshark, as a diagram, and to a Homer.

use std::io::Read as _;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::net::UdpSocket;
use tokio::process::Command;

use crate::certificates::acceptor;
use crate::certificates::fixture;
use crate::harness::Client;
use crate::harness::Incoming;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::soon;

/// The decoder that the unit tests hold the encoding against.
#[path = "../../src/trace/hep/decode.rs"]
mod decode;
use decode::Packet;
use decode::decode;

/// A message to this user that has ended; its id.
async fn ended(http: &Client, target: &str) -> String {
    let message = json!({"target": target, "body": "Hello!", "attempts": 2});
    let id = http.accepted(&message).await;
    http.finished(&id).await;
    id
}

async fn sip(http: &Client, path: &str) -> Vec<Value> {
    let answer = http.get(&format!("{path}/sip")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].as_array().unwrap().clone()
}

async fn bytes(http: &Client, path: &str, accept: &str) -> Vec<u8> {
    let request = http.request(Method::GET, &format!("{path}/sip"));
    let response = request.header("accept", accept).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with(accept), "{kind}");
    response.bytes().await.unwrap().to_vec()
}

/// Of each frame which way it went, and its first line.
fn lines(frames: &[Value]) -> Vec<(&str, &str)> {
    let mut lines = Vec::new();
    for frame in frames {
        let text = frame["frame"].as_str().unwrap();
        let line = text.split("\r\n").next().unwrap();
        lines.push((frame["direction"].as_str().unwrap(), line));
    }
    lines
}

#[tokio::test]
async fn a_message_that_failed_shows_every_frame_of_its_attempts_and_no_body() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(503), Reply::After(100, 486)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = ended(&gateway.http, "bob").await;
    let path = format!("/messages/{id}");
    let frames = sip(&gateway.http, &path).await;
    assert_eq!(
        lines(&frames),
        [
            ("sent", "MESSAGE sip:bob@example.com SIP/2.0"),
            ("received", "SIP/2.0 503 Service Unavailable"),
            ("sent", "MESSAGE sip:bob@example.com SIP/2.0"),
            ("received", "SIP/2.0 100 As The Test Says"),
            ("received", "SIP/2.0 486 Busy Here"),
        ]
    );
    let first = &frames[0];
    assert_eq!(first["agent"], "alice-1");
    let remote = peer.url().replace("ws://", "").replace("/sip", "");
    assert!(
        remote.starts_with(first["remote"].as_str().unwrap()),
        "{remote}"
    );
    let text = first["frame"].as_str().unwrap();
    assert!(text.ends_with("Content-Length: 6\r\n\r\n******"), "{text}");
    assert!(text.contains(&format!("Call-ID: {id}\r\n")), "{text}");

    let ladder = bytes(&gateway.http, &path, "text/plain").await;
    let ladder = String::from_utf8(ladder).unwrap();
    assert!(
        ladder.contains("──── MESSAGE sip:bob@example.com (1)"),
        "{ladder}"
    );
    assert!(ladder.contains("◄─── 486"), "{ladder}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_kept_is_an_empty_list_and_what_is_kept_outlives_a_restart() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(404)]);
    let setup = TestGateway::at(&peer).with("trace.retention = '1h'");
    let gateway = setup.open().await;
    let failed = ended(&gateway.http, "bob").await;
    let succeeded = ended(&gateway.http, "carol").await;
    assert_eq!(
        sip(&gateway.http, &format!("/messages/{succeeded}")).await,
        [] as [Value; 0]
    );
    let ladder = bytes(
        &gateway.http,
        &format!("/messages/{succeeded}"),
        "text/plain",
    )
    .await;
    let empty =
        b"no SIP messages were kept; trace.keep and trace.retention say which are, and how long\n";
    assert_eq!(ladder, empty);
    let kept = sip(&gateway.http, &format!("/messages/{failed}")).await;
    gateway.stop().await;

    let gateway = setup.open().await;
    assert_eq!(
        sip(&gateway.http, &format!("/messages/{failed}")).await,
        kept
    );
    gateway.stop().await;

    let gateway = setup.open_later(Duration::from_secs(3_700)).await;
    let path = format!("/messages/{failed}");
    soon("the frames are gone", async {
        while !sip(&gateway.http, &path).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.http.get(&path).await.status, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn with_all_and_bodies_what_succeeded_and_what_came_in_is_shown_whole() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer)
        .with("trace.keep = 'all'")
        .with("trace.bodies = true");
    let gateway = setup.open().await;
    let id = ended(&gateway.http, "bob").await;
    let frames = sip(&gateway.http, &format!("/messages/{id}")).await;
    assert_eq!(frames.len(), 2);
    assert!(
        frames[0]["frame"]
            .as_str()
            .unwrap()
            .ends_with("\r\n\r\nHello!")
    );

    peer.bound(1).await;
    let mut events = gateway.http.stream("/events?type=received").await;
    let answer = Incoming::text("in-1", "Hi Alice").answered(&peer).await;
    assert_eq!(answer.status, 202);
    let id = events.next().await.data["messageId"].clone();
    let path = format!("/received/{}", id.as_str().unwrap());
    let frames = soon("the frames of what came in", async {
        loop {
            // The agent hands them over when its answer has passed.
            let frames = sip(&gateway.http, &path).await;
            if !frames.is_empty() {
                return frames;
            }
        }
    })
    .await;
    let of = lines(&frames);
    assert!(
        of[0].0 == "received" && of[0].1.starts_with("MESSAGE "),
        "{of:?}"
    );
    assert_eq!(of[1], ("sent", "SIP/2.0 202 Accepted"));
    assert!(frames[0]["frame"].as_str().unwrap().ends_with("Hi Alice"));

    assert_eq!(gateway.http.delete(&path).await.status, 204);
    assert_eq!(gateway.http.get(&format!("{path}/sip")).await.status, 404);
    gateway.stop().await;
}

/// What a program that reads captures finds in this one.
async fn tshark(file: &[u8], fields: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.pcap");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-n", "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.replace('\t', " ")).collect()
}

#[tokio::test]
async fn wireshark_finds_sip_in_a_capture_without_being_told() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = ended(&gateway.http, "bob").await;
    let path = format!("/messages/{id}");
    let frames = sip(&gateway.http, &path).await;
    let port = |end: &str| {
        let address = frames[0][end].as_str().unwrap();
        address.rsplit(':').next().unwrap().to_owned()
    };
    let (local, remote) = (port("local"), port("remote"));
    let file = bytes(&gateway.http, &path, "application/vnd.tcpdump.pcap").await;
    let fields = [
        "sip.Method",
        "sip.Status-Code",
        "sip.Call-ID",
        "ip.src",
        "udp.srcport",
        "udp.dstport",
        "udp.checksum.status",
    ];
    assert_eq!(
        tshark(&file, &fields).await,
        [
            format!("MESSAGE  {id} 127.0.0.1 {local} {remote} 2"),
            format!(" 486 {id} 127.0.0.1 {remote} {local} 2"),
        ]
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_frames_of_an_agent_are_followed_as_they_pass_registrations_too() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    let mut stream = gateway.http.stream("/agents/alice-1/sip").await;
    let request = gateway
        .http
        .request(Method::POST, "/agents/alice-1/reregister");
    assert_eq!(gateway.http.send(request).await.status, 202);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let event = stream.next().await;
        assert_eq!(event.name, "frame");
        let line = event.data["frame"].as_str().unwrap();
        let line = line.split("\r\n").next().unwrap().to_owned();
        seen.push((event.data["direction"].clone(), line));
    }
    assert_eq!(
        seen[0],
        (json!("sent"), "REGISTER sip:example.com SIP/2.0".to_owned())
    );
    assert_eq!(seen[1].0, "received");
    assert!(seen[1].1.starts_with("SIP/2.0 200"), "{seen:?}");
    drop(stream);
    gateway.stop().await;
}

/// The packets that came to this socket: of a registration, and of a message with this id.
async fn of_message(
    packets: &mut impl AsyncFnMut() -> Packet,
    id: &str,
    count: usize,
) -> Vec<Packet> {
    let mut found = Vec::new();
    while found.len() < count {
        let packet = soon("a packet", packets()).await;
        if packet.correlation.as_deref() == Some(id) {
            found.push(packet);
        }
    }
    found
}

fn first_line(packet: &Packet) -> String {
    let text = String::from_utf8_lossy(&packet.payload);
    text.split("\r\n").next().unwrap().to_owned()
}

const HEP: [&str; 3] = [
    "hep.capture_id = 7",
    "hep.node = 'edge-1'",
    "hep.password = 'open sesame'",
];

async fn homer_is_told(setup: TestGateway, peer: &Peer, mut packets: impl AsyncFnMut() -> Packet) {
    let setup = HEP.into_iter().fold(setup, TestGateway::with);
    let gateway = setup.open().await;
    let register = soon("the registration", packets()).await;
    assert!(first_line(&register).starts_with("REGISTER "));
    assert_eq!(register.correlation, None);
    let id = ended(&gateway.http, "bob").await;
    let found = of_message(&mut packets, &id, 2).await;
    assert!(first_line(&found[0]).starts_with("MESSAGE sip:bob@"));
    assert!(found[0].payload.ends_with(b"\r\n\r\n******"));
    assert_eq!(first_line(&found[1]), "SIP/2.0 200 OK");
    let url = peer.url();
    for (packet, end) in [
        (&found[0], found[0].destination),
        (&found[1], found[1].source),
    ] {
        assert!(url.contains(&end.to_string()), "{url} {end}");
        assert_eq!((packet.protocol, packet.kind, packet.capture_id), (6, 1, 7));
        assert_eq!(packet.password.as_deref(), Some(&b"open sesame"[..]));
        assert_eq!(packet.node.as_deref(), Some("edge-1"));
    }
    assert_eq!(found[0].source, found[1].destination);
    assert!(found[0].micros <= found[1].micros);
    gateway.stop().await;
}

#[tokio::test]
async fn homer_is_told_over_udp_of_every_frame() {
    let peer = Peer::start().await;
    let homer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = format!("hep.server = 'udp://{}'", homer.local_addr().unwrap());
    let setup = TestGateway::at(&peer).with(&server);
    let packets = async || {
        let mut packet = vec![0; 65_536];
        let length = homer.recv(&mut packet).await.unwrap();
        decode(&packet[..length]).unwrap()
    };
    homer_is_told(setup, &peer, packets).await;
}

/// The next packet of a connection.
async fn next_packet(stream: &mut (impl AsyncRead + Unpin)) -> Packet {
    let mut head = [0; 6];
    stream.read_exact(&mut head).await.unwrap();
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let mut packet = head.to_vec();
    packet.resize(length, 0);
    stream.read_exact(&mut packet[6..]).await.unwrap();
    decode(&packet).unwrap()
}

#[tokio::test]
async fn homer_is_told_over_tcp_of_every_frame() {
    let peer = Peer::start().await;
    let homer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("hep.server = 'tcp://{}'", homer.local_addr().unwrap());
    let setup = TestGateway::at(&peer).with(&server);
    let mut connection = None;
    let packets = async || {
        if connection.is_none() {
            connection = Some(homer.accept().await.unwrap().0);
        }
        next_packet(connection.as_mut().unwrap()).await
    };
    homer_is_told(setup, &peer, packets).await;
}

#[tokio::test]
async fn homer_is_told_over_tls_of_every_frame() {
    let peer = Peer::start().await;
    let homer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = homer.local_addr().unwrap().port();
    let setup = TestGateway::at(&peer)
        .with(&format!("hep.server = 'tls://localhost:{port}'"))
        .with(&format!("hep.ca_file = '{}'", fixture("authority.pem")));
    let acceptor = acceptor();
    let mut connection = None;
    let packets = async || {
        if connection.is_none() {
            let stream = homer.accept().await.unwrap().0;
            connection = Some(acceptor.accept(stream).await.unwrap());
        }
        next_packet(connection.as_mut().unwrap()).await
    };
    homer_is_told(setup, &peer, packets).await;
}

#[tokio::test]
async fn a_homer_whose_certificate_nobody_vouches_for_is_told_nothing() {
    let peer = Peer::start().await;
    let homer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = homer.local_addr().unwrap().port();
    let setup = TestGateway::at(&peer).with(&format!("hep.server = 'tls://localhost:{port}'"));
    let gateway = setup.launch().await;
    let stream = soon("a connection", homer.accept()).await.unwrap().0;
    assert!(
        soon("its refusal", acceptor().accept(stream))
            .await
            .is_err()
    );
    let exit = gateway.stop().await;
    assert!(
        exit.said
            .contains("failed to send frames to the HEP server"),
        "{}",
        exit.said
    );
}

/// A Homer that is away costs one line in the log, and figures.
#[tokio::test]
async fn a_homer_that_is_away_is_one_line_and_a_figure_and_holds_no_message_up() {
    let peer = Peer::start().await;
    // Nothing listens there: the port was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("hep.server = 'tcp://{}'", free.local_addr().unwrap());
    drop(free);
    let setup = TestGateway::at(&peer).with(&server);
    let gateway = setup.launch().await;
    for _ in 0..20 {
        let message = json!({"target": "bob", "body": "Hello!"});
        gateway.http.delivered(&message).await;
    }
    let failed = soon("the figure", async {
        loop {
            let request = gateway.http.request(Method::GET, "/metrics");
            let page = request.send().await.unwrap().text().await.unwrap();
            let mut lines = page.lines();
            let line =
                lines.find(|line| line.starts_with("sipost_hep_frames_total{outcome=\"failed\"}"));
            let count = line.unwrap().rsplit(' ').next().unwrap().to_owned();
            if count != "0" {
                return count;
            }
        }
    })
    .await;
    assert!(failed.parse::<u64>().unwrap() > 0);
    let exit = gateway.stop().await;
    let lines = exit.said.lines();
    let told = lines.filter(|line| line.contains("failed to send frames to the HEP server"));
    assert_eq!(told.count(), 1, "{}", exit.said);
}

/// What `sipost` prints with these arguments.
fn sipost(arguments: &[&str]) -> String {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_sipost"))
        .args(arguments)
        .env_clear()
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let status = child.wait().unwrap();
    format!("{}{text}", if status.success() { "" } else { "failed: " })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_draws_the_ladder() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = ended(&gateway.http, "bob").await;
    let url = format!("http://{}", gateway.http.address());
    let run = async |arguments: Vec<String>| {
        let run = move || sipost(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let of = |more: &[&str]| {
        let all = ["trace", "--url", &url];
        all.iter()
            .chain(more)
            .map(|one| (*one).to_owned())
            .collect::<Vec<_>>()
    };
    let ladder = run(of(&[&id])).await;
    assert!(
        ladder.contains("MESSAGE sip:bob@example.com") && ladder.contains("486"),
        "{ladder}"
    );
    let whole: Value = serde_json::from_str(&run(of(&[&id, "--json"])).await).unwrap();
    assert_eq!(whole["data"].as_array().unwrap().len(), 2);
    let nobody = "01930000-0000-7000-8000-000000000001";
    assert_eq!(run(of(&[nobody])).await, "failed: ");
    gateway.stop().await;
}
