//! One agent, and the servers that it meets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, channel, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::agent;
use crate::agent::{
    AgentCommand, AgentHandle, AgentIndex, AgentObserver, Arrival, Dialing, Identity, Job,
    Keepalive, Pace, Probe, ReconnectPolicy, RegistrationChanges, Report, StatusCell, TracedFrames,
    WeightedServer,
};
use crate::clock::Clock;
use crate::message::{AgentState, AgentStatus, MessageId, Outcome};
use crate::sip;
use crate::sip::registration::Policy;
use crate::sip::testing::{message_to, reply, settings, value};
use crate::trace::Recorder;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What never happens while a test runs.
pub(super) const NEVER: Duration = Duration::from_secs(3_600);

/// Waits for something that must come.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it never came")
}

/// The message of the attempt with this key.
pub(super) fn message_id(key: u64) -> MessageId {
    MessageId::new(uuid::Uuid::from_u64_pair(0x7000, key | 1 << 63))
}

/// What an agent is started with.
pub(super) struct Setup {
    pub(super) servers: Vec<WeightedServer>,
    pub(super) dialing: Dialing,
    pub(super) keepalive: Keepalive,
    pub(super) recovery: ReconnectPolicy,
    pub(super) settings: sip::Settings,
    pub(super) observer: Arc<dyn AgentObserver>,
    pub(super) recorder: Arc<Recorder>,
}

impl Setup {
    /// Comes back at once, and has patience with everything.
    pub(super) fn new(servers: impl IntoIterator<Item = (String, u32)>) -> Self {
        let servers = servers.into_iter().map(|(url, weight)| WeightedServer {
            url: url.parse().unwrap(),
            shown: url.into(),
            weight,
        });
        Self {
            servers: servers.collect(),
            dialing: Dialing {
                connect_timeout: PATIENCE,
                tls: watch::channel(agent::client_config(&[], None).unwrap()).1,
                headers: Vec::new(),
                max_frame: 64 * 1024,
            },
            keepalive: Keepalive {
                probe: Probe::Ping,
                interval: NEVER,
                timeout: NEVER,
            },
            recovery: ReconnectPolicy {
                min: Duration::from_millis(20),
                max: Duration::from_millis(100),
                cooldown: NEVER,
            },
            settings: sip::Settings {
                // The machine's own floor of a second is what counts then.
                registration: Policy {
                    expires: Duration::from_secs(600),
                    retry_min: Duration::from_millis(20),
                    retry_max: Duration::from_millis(100),
                },
                ..settings()
            },
            observer: Arc::new(()),
            recorder: Arc::new(Recorder::off()),
        }
    }

    /// At one server.
    pub(super) fn at(server: &TestServer) -> Self {
        Self::new([(server.url(), 1)])
    }

    pub(super) fn start(self) -> RunningAgent {
        let identity = Arc::new(Identity {
            id: "alice-1".into(),
            account: "sip:alice@example.com".into(),
            from: "<sip:alice@example.com>".to_owned(),
            user_agent: "sipost/test".to_owned(),
            extra_headers: Vec::new(),
            receives: true,
        });
        let index = AgentIndex(0);
        let (handle, commands) = AgentHandle::new(index, identity.clone(), 64);
        let (sender, reports) = unbounded_channel();
        let (arrivals, arrived) = channel(RunningAgent::ARRIVALS);
        let clock = Clock::system();
        let changes = RegistrationChanges::default();
        let shown = Arc::new(StatusCell::new(
            identity,
            "".into(),
            changes.clone(),
            clock.now(),
        ));
        let task = tokio::spawn(agent::run(agent::AgentParts {
            index,
            settings: Arc::new(self.settings),
            servers: self.servers.into(),
            dialing: Arc::new(self.dialing),
            keepalive: self.keepalive,
            recovery: self.recovery,
            pace: Arc::new(Pace::new(10_000)),
            commands,
            reports: sender,
            arrivals: handle.arrivals(arrivals),
            shown: shown.clone(),
            observer: self.observer,
            recorder: self.recorder,
            clock,
            seed: [7; 32],
        }));
        RunningAgent {
            handle,
            reports,
            arrived,
            ended: VecDeque::new(),
            traced: VecDeque::new(),
            shown,
            task,
        }
    }
}

/// A running agent.
pub(super) struct RunningAgent {
    handle: AgentHandle,
    reports: UnboundedReceiver<Report>,
    arrived: Receiver<Arrival>,
    ended: VecDeque<(u64, Outcome)>,
    traced: VecDeque<TracedFrames>,
    shown: Arc<StatusCell>,
    task: JoinHandle<()>,
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RunningAgent {
    /// How many requests may wait for the dispatcher.
    pub(super) const ARRIVALS: usize = 16;

    /// The next request that is handed over.
    pub(super) async fn arrival(&mut self) -> Arrival {
        soon(self.arrived.recv()).await.expect("it panicked")
    }

    /// Hands it a message.
    pub(super) fn send(&self, key: u64) {
        self.send_all([key]);
    }

    pub(super) fn send_all(&self, keys: impl IntoIterator<Item = u64>) {
        let job = |key| Job {
            key,
            alone: false,
            message: message_id(key),
            request: message_to("sip:bob@example.com", &format!("call-{key}")),
        };
        self.tell(AgentCommand::Send(keys.into_iter().map(job).collect()));
    }

    pub(super) fn tell(&self, command: AgentCommand) {
        assert!(self.handle.tell(command));
    }

    /// How the next message ended.
    pub(super) async fn outcome(&mut self) -> (u64, Outcome) {
        while self.ended.is_empty() {
            match self.report().await {
                Report::Ended(_, ended) => self.ended.extend(ended),
                Report::Frames(traced) => self.traced.extend(traced),
                Report::Here(_) | Report::Up(_) | Report::Down(_) => {}
                Report::Gone(_) => panic!("it is gone"),
            }
        }
        self.ended.pop_front().unwrap()
    }

    /// Frames that were handed over before the last outcome that was taken.
    pub(super) fn traced(&mut self) -> Option<TracedFrames> {
        self.traced.pop_front()
    }

    /// The next frames that are handed over.
    pub(super) async fn frames(&mut self) -> TracedFrames {
        while self.traced.is_empty() {
            if let Report::Frames(traced) = self.report().await {
                self.traced.extend(traced);
            }
        }
        self.traced.pop_front().unwrap()
    }

    /// The code that the next message was answered with.
    pub(super) async fn code(&mut self) -> (u64, u16) {
        match self.outcome().await {
            (key, Outcome::Answered(answer)) => (key, answer.response.status_code),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn up(&mut self) {
        let is_up = |report: &Report| matches!(report, Report::Up(_));
        self.until(is_up).await;
    }

    pub(super) async fn down(&mut self) {
        let is_down = |report: &Report| matches!(report, Report::Down(_));
        self.until(is_down).await;
    }

    pub(super) async fn gone(&mut self) {
        let is_gone = |report: &Report| matches!(report, Report::Gone(_));
        self.until(is_gone).await;
    }

    async fn until(&mut self, is_it: impl Fn(&Report) -> bool) {
        loop {
            let report = self.report().await;
            if is_it(&report) {
                return;
            }
            if let Report::Ended(_, ended) = report {
                self.ended.extend(ended);
            }
        }
    }

    async fn report(&mut self) -> Report {
        soon(self.reports.recv()).await.expect("it panicked")
    }

    pub(super) fn status(&self) -> AgentStatus {
        self.shown.status()
    }

    /// Waits until it tells the operator of a failure like this.
    pub(super) async fn told(&self, error: &str) {
        let told = async {
            while !self.error().contains(error) {
                tokio::task::yield_now().await;
            }
        };
        soon(told).await;
    }

    /// Waits until it shows this state.
    pub(super) async fn state(&self, state: AgentState) {
        let shown = async {
            while self.status().state != state {
                tokio::task::yield_now().await;
            }
        };
        soon(shown).await;
    }

    /// What it tells the operator about its last failure.
    pub(super) fn error(&self) -> String {
        self.status().last_error.unwrap_or_default()
    }
}

/// Where a server listens.
pub(super) struct TestServer {
    listener: TcpListener,
}

impl TestServer {
    pub(super) async fn open() -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(super) fn of(listener: TcpListener) -> Self {
        Self { listener }
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}/sip", self.listener.local_addr().unwrap())
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next connection, before anything was said.
    pub(super) async fn accept(&self) -> TcpStream {
        soon(self.listener.accept()).await.unwrap().0
    }

    /// The next connection, as a SIP WebSocket.
    pub(super) async fn upgrade(&self) -> Peer<TcpStream> {
        Peer::upgrade(self.accept().await).await
    }

    /// The next connection, registered.
    pub(super) async fn registered(&self) -> Peer<TcpStream> {
        let mut peer = self.upgrade().await;
        peer.register().await;
        peer
    }
}

/// Reads a request for an upgrade, up to its end.
pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A server's end of a SIP WebSocket.
pub(super) struct Peer<S> {
    pub(super) socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) async fn upgrade(stream: S) -> Self {
        let socket = soon(accept_hdr_async(stream, take_sip)).await.unwrap();
        Self { socket }
    }

    /// The next SIP message. Pings are answered meanwhile.
    pub(super) async fn request(&mut self) -> String {
        loop {
            let frame = soon(self.socket.next()).await.expect("it was closed");
            match frame.unwrap() {
                Message::Text(text) => return text.as_str().to_owned(),
                Message::Binary(bytes) => return String::from_utf8_lossy(&bytes).into_owned(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next request of this method.
    pub(super) async fn request_of(&mut self, method: &str) -> String {
        let request = self.request().await;
        assert!(request.starts_with(method), "{request}");
        request
    }

    pub(super) async fn say(&mut self, frame: impl Into<Message>) {
        soon(self.socket.send(frame.into())).await.unwrap();
    }

    /// Answers a request.
    pub(super) async fn answer(&mut self, request: &str, status: &str, more: &str) {
        self.say(reply(request, status, more)).await;
    }

    /// Takes a REGISTER and grants it.
    pub(super) async fn register(&mut self) -> String {
        let register = self.request_of("REGISTER").await;
        self.grant(&register).await;
        register
    }

    pub(super) async fn grant(&mut self, register: &str) {
        let contact = format!("Contact: {}\r\n", value(register, "Contact"));
        self.answer(register, "200 OK", &contact).await;
    }

    /// Waits until the other side closes; the close frame it sent, if it sent one.
    pub(super) async fn closed(&mut self) -> Option<Message> {
        let mut farewell = None;
        while let Some(Ok(frame)) = soon(self.socket.next()).await {
            if frame.is_close() {
                farewell = Some(frame);
            }
        }
        farewell
    }

    /// Whether a MESSAGE gets through and is answered.
    pub(super) async fn works_for(&mut self, agent: &mut RunningAgent) {
        agent.send(1_000);
        let message = self.request_of("MESSAGE").await;
        self.answer(&message, "200 OK", "").await;
        assert_eq!(agent.code().await, (1_000, 200));
    }
}

#[expect(clippy::result_large_err, reason = "the library wants it so")]
fn take_sip(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let sip = HeaderValue::from_static("sip");
    response.headers_mut().insert("Sec-WebSocket-Protocol", sip);
    Ok(response)
}
