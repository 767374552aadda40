//! What clients cost that ask, and take nothing of what they are given: the real server on
//! loopback, on this thread, so that what it allocates is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use sha2::Digest as _;
use sha2::Sha256;
use sipost::api::PlaceLimits;
use sipost::api::Rights;
use sipost::api::Server;
use sipost::api::Settings;
use sipost::api::Token;
use sipost::api::serve;
use sipost::message::Cause;
use sipost::message::Contents;
use sipost::message::Event;
use sipost::message::HeaderMap;
use sipost::message::MessageId;
use sipost::message::Metadata;
use sipost::message::Originator;
use sipost::message::ResponseView;
use sipost::message::Status;
use sipost::message::Timestamp;
use sipost::message::What;
use sipost::store::Record;
use sipost::store::Store;
use sipost::store::Submission;
use sipost::store::TailSize;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::requests::Parted;
use crate::requests::gateway_in;

const KIB: i64 = 1_024;
const SECOND: Duration = Duration::from_secs(1);
/// How long a client may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that the system holds on the way, so that little of what is written is out of our hands.
const ON_THE_WAY: u32 = 4_096;
/// Events, and the bytes of each.
const EVENTS: u64 = 200;
const EVENT: usize = 8_000;

struct Gateway {
    runtime: Runtime,
    address: SocketAddr,
    store: Arc<dyn Store>,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn new(tokens: Option<Vec<Token>>, change: impl FnOnce(&mut Settings)) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let _entered = runtime.enter();
        // All of it is in memory, so that no other thread reads.
        let tail = TailSize {
            events: 1 << 14,
            bytes: 1 << 24,
        };
        let Parted {
            service,
            store,
            feed,
        } = gateway_in(folder.path(), tail, tokens, change);
        let listener = TcpSocket::new_v4().unwrap();
        listener.set_send_buffer_size(ON_THE_WAY).unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(1_024).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server {
            tls: None,
            header_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            write_timeout: WRITE_TIMEOUT,
            places: PlaceLimits {
                total: 1_000,
                per_address: 1_000,
                proxies: Vec::new(),
            },
        };
        let never = CancellationToken::new;
        tokio::spawn(serve(listener, service, server, never(), never()));
        tokio::spawn(feed.run(never()));
        drop(_entered);
        Self {
            runtime,
            address,
            store,
            _folder: folder,
        }
    }

    /// Asks, and reads as many bytes of the answer.
    async fn ask(&self, what: &str, token: &str, bytes: usize) -> (TcpStream, String) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(ON_THE_WAY).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        let accept = match what {
            "/events" => "text/event-stream",
            _ => "application/json",
        };
        let request = [
            &format!("GET {what} HTTP/1.1"),
            "host: localhost",
            "connection: close",
            &format!("authorization: Bearer {token}"),
            &format!("accept: {accept}"),
            "\r\n",
        ];
        let request = request.join("\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = vec![0; bytes];
        stream.read_exact(&mut read).await.unwrap();
        (stream, String::from_utf8(read).unwrap())
    }

    async fn status(&self, what: &str, token: &str) -> (TcpStream, u16) {
        let (stream, head) = self.ask(what, token, 12).await;
        (stream, head[9..].parse().unwrap())
    }

    /// How long it takes until this is given, by the clock of the server, which is paused.
    async fn is_given(&self, what: &str, token: &str) -> Duration {
        tokio::time::pause();
        let begun = Instant::now();
        while self.status(what, token).await.1 == 503 {
            tokio::time::sleep(SECOND / 2).await;
        }
        begun.elapsed()
    }

    /// Records events, on a thread whose allocations are not counted.
    fn record_events(&self) -> std::thread::JoinHandle<()> {
        let store = self.store.clone();
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.build().unwrap().block_on(async {
                for number in 0..EVENTS {
                    let submission = Submission {
                        messages: vec![Arc::new(message(number))],
                        key: None,
                    };
                    store.accept(vec![submission]).await.unwrap();
                    store.record([failed(number)].into()).await.unwrap();
                }
            });
        })
    }
}

fn at() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn id(number: u64) -> MessageId {
    MessageId::new(Uuid::from_u64_pair(0x0193_0000_0000_7000, number | 1 << 63))
}

fn message(number: u64) -> sipost::message::Message {
    let contents = Contents {
        uri: "sip:bob@example.com".into(),
        ..Contents::default()
    };
    contents.accept(id(number), at(), None)
}

fn failed(number: u64) -> Record {
    let mut headers = HeaderMap::default();
    headers.add("X-Much", &"x".repeat(EVENT));
    let response = ResponseView {
        status_code: 486,
        reason_phrase: "Busy Here".to_owned(),
        headers,
        truncated: false,
    };
    Record {
        event: Event {
            message_id: id(number),
            time: at(),
            attempt: 0,
            agent: None,
            uri: "sip:bob@example.com".into(),
            account: None,
            webhook: None,
            trace: None,
            priority: None,
            metadata: Metadata::new(),
            what: What::Failed {
                originator: Originator::Remote,
                cause: Cause::Busy,
                response: Some(response),
                ambiguous: false,
            },
        },
        status: Status::Failed,
        not_before: None,
    }
}

#[test]
fn a_stream_whose_reader_takes_nothing_costs_64_kib_until_it_is_cut_off() {
    const STREAMS: usize = 10;
    let gateway = Gateway::new(None, |settings| settings.max_streams = STREAMS + 1);
    let (mut streams, mut readers, mut begun) = (Vec::new(), Vec::new(), None);
    let cost = measure(|| {
        gateway.runtime.block_on(async {
            for _ in 0..STREAMS {
                let (stream, status) = gateway.status("/events", "").await;
                assert_eq!(status, 200);
                streams.push(stream);
            }
            let (mut reader, _) = gateway.status("/events", "").await;
            begun = Some(Instant::now());
            let recording = gateway.record_events();
            // One that takes everything has the last event after the others had their turn.
            let (mut chunk, mut seen) = (vec![0; 16 * 1_024], 0);
            while seen < EVENT * EVENTS as usize {
                let read = reader.read(&mut chunk).await.unwrap();
                assert!(read > 0, "it was cut off");
                seen += chunk[..read].iter().filter(|byte| **byte == b'x').count();
            }
            recording.join().unwrap();
            readers.push(reader);
        });
    });
    let each = cost.bytes_current / (STREAMS as i64 + 1);
    assert!(each < 64 * KIB, "{each} bytes for each");
    assert!(each > 16 * KIB, "{each} bytes: nothing has piled up");

    let (all, took) = gateway.runtime.block_on(async {
        let took = gateway.is_given("/events", "").await;
        (begun.unwrap().elapsed(), took)
    });
    // They took nothing since the events began, which was a moment before the clock stood still.
    assert!(all >= WRITE_TIMEOUT, "{all:?}");
    assert!(took < WRITE_TIMEOUT + SECOND, "{took:?}");
}

#[test]
fn answers_that_are_not_taken_are_bounded_and_leave_room_to_others() {
    const CLIENTS: usize = 40;
    // A fifth of the log: two are less than half of what there may be, and three are more.
    const PAGE: &str = "/events?after=earliest&limit=100";
    let token = |name: &str| Token {
        name: name.into(),
        sha256: Sha256::digest(name).into(),
        accounts: None,
        rights: Rights::Full,
        rate: None,
        signs_webhooks: false,
        share: None,
    };
    let tokens = Some(vec![token("one"), token("other")]);
    let gateway = Gateway::new(tokens, |settings| settings.max_bodies = 4 << 20);
    gateway.record_events().join().unwrap();
    let mut clients = Vec::new();
    let cost = measure(|| {
        gateway.runtime.block_on(async {
            for _ in 0..CLIENTS {
                clients.push(gateway.status(PAGE, "one").await);
            }
        });
    });
    let given = clients.iter().filter(|(_, status)| *status == 200).count();
    let refused = clients.iter().filter(|(_, status)| *status == 503).count();
    assert_eq!((given, refused), (2, CLIENTS - 2));
    assert!(cost.bytes_current < 2_500 * KIB, "{cost:?}");
    assert!(cost.bytes_max < 4_000 * KIB as u64, "{cost:?}");

    gateway.runtime.block_on(async {
        // A client that reads gets all of it, and a small answer comes through in any case.
        for (what, token) in [(PAGE, "other"), ("/events?limit=1", "one"), (PAGE, "other")] {
            let (mut stream, status) = gateway.status(what, token).await;
            assert_eq!(status, 200);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            assert!(rest.ends_with(b"}\n"), "{}", rest.len());
        }
        let took = gateway.is_given(PAGE, "one").await;
        assert!(took < WRITE_TIMEOUT + SECOND, "{took:?}");
    });
    // They have it no more, though they have not closed.
    assert_eq!(clients.len(), CLIENTS);
}
