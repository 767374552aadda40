//! What a registered agent costs while it does nothing. Its server is on another thread, where
//! nothing is counted.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use futures_util::SinkExt as _;
use futures_util::StreamExt as _;
use sipost::agent;
use sipost::agent::AgentHandle;
use sipost::agent::AgentIndex;
use sipost::agent::AgentParts;
use sipost::agent::Arrival;
use sipost::agent::Dialing;
use sipost::agent::Identity;
use sipost::agent::Keepalive;
use sipost::agent::Pace;
use sipost::agent::Probe;
use sipost::agent::ReconnectPolicy;
use sipost::agent::RegistrationChanges;
use sipost::agent::Report;
use sipost::agent::StatusCell;
use sipost::agent::WeightedServer;
use sipost::clock::Clock;
use sipost::trace::Recorder;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::ErrorResponse;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::handshake::server::Response;

use crate::answer;
use crate::settings;
use crate::text_of;

const NEVER: Duration = Duration::from_secs(3_600);

#[test]
fn a_registered_agent_costs_eight_kilobytes() {
    const AGENTS: u32 = 20;
    let (runtime, shared) = (runtime(), Shared::new());
    let registered = |numbers: std::ops::Range<u32>, agents: &mut Vec<AgentHandle>| {
        runtime.block_on(async {
            let (reports, mut told) = mpsc::unbounded_channel();
            for number in numbers.clone() {
                agents.push(shared.start(number, reports.clone()));
            }
            for _ in numbers {
                while !matches!(told.recv().await.unwrap(), Report::Up(_)) {}
            }
        });
    };
    let mut agents = Vec::with_capacity(AGENTS as usize + 1);
    // What the first one allocates for all, as the runtime's own tables, is no other's.
    registered(0..1, &mut agents);
    let cost = measure(|| registered(1..AGENTS + 1, &mut agents));
    let each = cost.bytes_current / i64::from(AGENTS);
    assert!(each < 8 * 1_024, "{each} bytes each");
    // It is registered: what is counted is not less than its buffer and its machine.
    assert!(each > 3 * 1_024, "{each} bytes each");
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// What all agents of a gateway share.
struct Shared {
    servers: Arc<[WeightedServer]>,
    dialing: Arc<Dialing>,
    pace: Arc<Pace>,
    recorder: Arc<Recorder>,
    changes: RegistrationChanges,
    arrivals: mpsc::Sender<Arrival>,
    clock: Clock,
}

impl Shared {
    fn new() -> Self {
        let server = server();
        let servers = [WeightedServer {
            url: server.parse().unwrap(),
            shown: server.into(),
            weight: 1,
        }];
        Self {
            servers: servers.into(),
            dialing: Arc::new(Dialing {
                connect_timeout: NEVER,
                tls: watch::channel(agent::client_config(&[], None).unwrap()).1,
                headers: Vec::new(),
                max_frame: 64 * 1_024,
            }),
            pace: Arc::new(Pace::new(10_000)),
            recorder: Arc::new(Recorder::off()),
            changes: RegistrationChanges::default(),
            arrivals: mpsc::channel(1).0,
            clock: Clock::system(),
        }
    }

    fn start(&self, number: u32, reports: mpsc::UnboundedSender<Report>) -> AgentHandle {
        let identity = Arc::new(Identity {
            id: format!("alice-{number}").into(),
            account: "sip:alice@example.com".into(),
            from: "<sip:alice@example.com>".to_owned(),
            user_agent: "sipost/test".to_owned(),
            extra_headers: Vec::new(),
            receives: true,
        });
        let index = AgentIndex(number);
        let (handle, commands) = AgentHandle::new(index, identity.clone(), 64);
        tokio::spawn(agent::run(AgentParts {
            index,
            settings: Arc::new(settings()),
            servers: self.servers.clone(),
            dialing: self.dialing.clone(),
            keepalive: Keepalive {
                probe: Probe::Ping,
                interval: NEVER,
                timeout: NEVER,
            },
            recovery: ReconnectPolicy {
                min: NEVER,
                max: NEVER,
                cooldown: NEVER,
            },
            pace: self.pace.clone(),
            commands,
            reports,
            arrivals: handle.arrivals(self.arrivals.clone()),
            shown: Arc::new(StatusCell::new(
                identity,
                "".into(),
                self.changes.clone(),
                self.clock.now(),
            )),
            observer: Arc::new(()),
            recorder: self.recorder.clone(),
            clock: self.clock.clone(),
            seed: [7; 32],
        }));
        handle
    }
}

/// Where a server listens that takes every REGISTER. It ends with the process.
fn server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(register(stream));
            }
        });
    });
    url
}

#[expect(
    clippy::result_large_err,
    reason = "the type of the handshake's callback is the library's"
)]
async fn register(stream: TcpStream) {
    let sip = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let protocol = "sip".parse().unwrap();
        response
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, sip).await.unwrap();
    while let Some(Ok(frame)) = socket.next().await {
        let Message::Text(request) = frame else {
            continue;
        };
        let contact = format!("\r\nContact: {}\r\n\r\n", text_of(&request, "Contact"));
        let ok = answer(&request, "200 OK").replace("\r\n\r\n", &contact);
        socket.send(Message::text(ok)).await.unwrap();
    }
}
