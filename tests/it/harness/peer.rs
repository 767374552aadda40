//! A SIP server over WebSocket that does what a test tells it, and counts what it gets.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use futures_util::SinkExt as _;
use futures_util::StreamExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server;

use super::incoming::PeerAnswer;
use super::message::Request;
use super::soon;

/// A registrar that takes every registration, and a recipient for every user. Cheap to clone.
///
/// Who is not in the script says 200.
#[derive(Clone)]
pub(crate) struct Peer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Raised whenever the state changes, so that it can be waited for.
    changed: Arc<watch::Sender<u64>>,
    _listening: Arc<Listening>,
}

/// What a user answers to a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A final response.
    Status(u16),
    /// A final response with complete header lines.
    With(u16, &'static str),
    /// A provisional response, and then a final one.
    After(u16, u16),
    /// The same final response three times.
    Thrice(u16),
    /// A final response, when the test says [`Peer::release`].
    Held(u16),
    /// Nothing, ever.
    Silence,
    /// Bytes that are no SIP, and then a final response.
    Noise(u16),
    /// The TCP connection ends without a word.
    Cut,
    /// The WebSocket is closed, as a server does that is stopped.
    Close,
}

/// A MESSAGE that came in.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) user: String,
    pub(crate) call_id: String,
    pub(crate) cseq: String,
    pub(crate) body: String,
    /// The bytes of its frame.
    pub(crate) size: usize,
    /// Which connection, counted from 0.
    pub(crate) connection: usize,
    request: Request,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.request.header(name)
    }

    pub(crate) fn uri(&self) -> &str {
        &self.request.uri
    }
}

#[derive(Default)]
struct State {
    scripts: HashMap<String, VecDeque<Reply>>,
    got: Vec<Got>,
    held: Vec<Held>,
    /// What REGISTER is answered with; 200 unless told otherwise.
    registrar: Option<u16>,
    /// Header lines of each 200 to REGISTER.
    granted_with: String,
    registered: usize,
    /// What the agents of each connection are reached at.
    contacts: HashMap<usize, String>,
    /// What agents answered to requests of the test's.
    answers: Vec<PeerAnswer>,
    connections: Vec<mpsc::UnboundedSender<Order>>,
    /// Requests to a user that are not answered yet, and the most there ever were.
    open: HashMap<String, usize>,
    most_open: HashMap<String, usize>,
}

struct Held {
    user: String,
    connection: usize,
    response: String,
}

/// What the task of a connection is told.
enum Order {
    Write(String),
    Cut,
    Close,
}

/// Ends with the last clone.
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Peer {
    /// Starts one on a free port of loopback.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let changed = Arc::new(watch::Sender::new(0));
        let listening = tokio::spawn(listen(listener, state.clone(), changed.clone()));
        Self {
            address,
            state,
            changed,
            _listening: Arc::new(Listening(listening)),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What this user answers, one after the other; the last for ever.
    pub(crate) fn script(&self, user: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.lock().scripts.insert(user.to_owned(), replies);
    }

    /// What REGISTER is answered with from now on.
    pub(crate) fn answer_registers(&self, status: u16) {
        self.lock().registrar = Some(status);
    }

    /// Header lines of each 200 to REGISTER from now on.
    pub(crate) fn grant_with(&self, lines: &str) {
        lines.clone_into(&mut self.lock().granted_with);
    }

    /// Everything that came in for this user.
    pub(crate) fn got(&self, user: &str) -> Vec<Got> {
        let state = self.lock();
        state
            .got
            .iter()
            .filter(|got| got.user == user)
            .cloned()
            .collect()
    }

    /// Everything that came in.
    pub(crate) fn all(&self) -> Vec<Got> {
        self.lock().got.clone()
    }

    /// The most requests to this user that ever were open at the same time.
    pub(crate) fn most_open(&self, user: &str) -> usize {
        self.lock().most_open.get(user).copied().unwrap_or_default()
    }

    /// Waits until this many requests came in for this user.
    pub(crate) async fn wait_for(&self, user: &str, count: usize) -> Vec<Got> {
        self.until(&format!("{count} requests to {user}"), |state| {
            let of_user = state.got.iter().filter(|got| got.user == user);
            of_user.count() >= count
        })
        .await;
        self.got(user)
    }

    /// Waits until this many requests came in, for any user.
    pub(crate) async fn until_all(&self, count: usize) {
        self.until(&format!("{count} requests"), |state| {
            state.got.len() >= count
        })
        .await;
    }

    /// Waits until this many registrations were granted, over all time.
    pub(crate) async fn registered(&self, count: usize) {
        self.until(&format!("{count} registrations"), |state| {
            state.registered >= count
        })
        .await;
    }

    /// Connections over which an agent has registered and that have not ended, and the address of
    /// its agent.
    pub(super) fn bindings(&self) -> Vec<(usize, String)> {
        let state = self.lock();
        let bindings = state.contacts.iter();
        let mut bindings: Vec<_> = bindings
            .filter(|(connection, _)| !state.connections[**connection].is_closed())
            .map(|(connection, address)| (*connection, address.clone()))
            .collect();
        bindings.sort_unstable();
        bindings
    }

    /// Waits until this many agents are registered now, neither fewer nor more.
    pub(crate) async fn bound(&self, count: usize) {
        let what = format!("{count} agents are registered");
        let mut changed = self.changed.subscribe();
        soon(&what, async {
            while self.bindings().len() != count {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Writes this to a connection.
    pub(super) fn write(&self, connection: usize, frame: String) {
        self.lock().write(connection, frame);
    }

    /// What agents have answered so far.
    pub(crate) fn answers(&self) -> Vec<PeerAnswer> {
        self.lock().answers.clone()
    }

    /// Waits until there are enough answers for the test.
    pub(crate) async fn until_answers(&self, what: &str, fact: impl Fn(&[PeerAnswer]) -> bool) {
        self.until(what, |state| fact(&state.answers)).await;
    }

    /// Ends every connection without a word.
    #[allow(
        dead_code,
        reason = "not every test binary that shares this file needs it"
    )]
    pub(crate) fn cut(&self) {
        for connection in &self.lock().connections {
            let _ = connection.send(Order::Cut);
        }
    }

    /// Gives the newest answer held back for this user.
    pub(crate) fn release(&self, user: &str) {
        let mut state = self.lock();
        let at = state.held.iter().rposition(|held| held.user == user);
        let held = state.held.remove(at.expect("nothing is held back"));
        state.close_one(user);
        let _ = state.connections[held.connection].send(Order::Write(held.response));
    }

    async fn until(&self, what: &str, fact: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        soon(what, async {
            while !fact(&self.lock()) {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn take(&mut self, connection: usize, text: &str) {
        let Some(request) = Request::parse(text) else {
            self.answers.extend(PeerAnswer::parse(text));
            return;
        };
        match request.method.as_str() {
            "REGISTER" => self.register(connection, &request),
            "MESSAGE" => self.message(connection, request, text.len()),
            _ => {}
        }
    }

    fn register(&mut self, connection: usize, request: &Request) {
        let status = self.registrar.unwrap_or(200);
        let contact = format!(
            "Contact: {};expires=600\r\n{}",
            request.header("Contact"),
            self.granted_with
        );
        let leaves = request.header("Expires") == "0" || contact.contains("expires=0");
        let headers = match (status, leaves) {
            (200, false) => contact.as_str(),
            _ => "",
        };
        if status == 200 && !leaves {
            self.registered += 1;
            let address = request.header("Contact").split(['<', '>']).nth(1);
            let address = address.unwrap_or_default().to_owned();
            self.contacts.insert(connection, address);
        }
        self.write(connection, request.response(status, headers));
    }

    fn message(&mut self, connection: usize, request: Request, size: usize) {
        let user = request.user().to_owned();
        let open = self.open.entry(user.clone()).or_default();
        *open += 1;
        let most = self.most_open.entry(user.clone()).or_default();
        *most = (*most).max(*open);
        let reply = self.reply(&user);
        self.answer(connection, &user, &request, reply);
        self.got.push(Got {
            user,
            call_id: request.header("Call-ID").to_owned(),
            cseq: request.header("CSeq").to_owned(),
            body: request.body.clone(),
            size,
            connection,
            request,
        });
    }

    fn reply(&mut self, user: &str) -> Reply {
        let Some(script) = self.scripts.get_mut(user) else {
            return Reply::Status(200);
        };
        match script.len() {
            0 => Reply::Status(200),
            1 => script[0].clone(),
            _ => script.pop_front().unwrap(),
        }
    }

    fn answer(&mut self, connection: usize, user: &str, request: &Request, reply: Reply) {
        let frames = match reply {
            Reply::Status(status) => vec![request.response(status, "")],
            Reply::With(status, headers) => vec![request.response(status, headers)],
            Reply::After(first, status) => {
                vec![request.response(first, ""), request.response(status, "")]
            }
            Reply::Thrice(status) => vec![request.response(status, ""); 3],
            Reply::Noise(status) => vec![
                "no SIP at all".to_owned(),
                "SIP/2.0 200 OK\r\nVia: of nobody\r\n\r\n".to_owned(),
                request.response(status, ""),
            ],
            Reply::Held(status) => {
                return self.held.push(Held {
                    user: user.to_owned(),
                    connection,
                    response: request.response(status, ""),
                });
            }
            Reply::Silence => return self.close_one(user),
            Reply::Cut => {
                self.close_one(user);
                let _ = self.connections[connection].send(Order::Cut);
                return;
            }
            Reply::Close => {
                self.close_one(user);
                let _ = self.connections[connection].send(Order::Close);
                return;
            }
        };
        self.close_one(user);
        for frame in frames {
            self.write(connection, frame);
        }
    }

    fn close_one(&mut self, user: &str) {
        if let Some(open) = self.open.get_mut(user) {
            *open = open.saturating_sub(1);
        }
    }

    /// A connection that has ended takes nothing more.
    fn write(&self, connection: usize, frame: String) {
        let _ = self.connections[connection].send(Order::Write(frame));
    }
}

async fn listen(listener: TcpListener, state: Arc<Mutex<State>>, changed: Arc<watch::Sender<u64>>) {
    // They end with the listener.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (state, changed) = (state.clone(), changed.clone());
        connections.spawn(async move {
            serve(stream, state, changed.clone()).await;
            // It has ended, which changes who is registered.
            changed.send_modify(|count| *count += 1);
        });
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the callback of a handshake is made so"
)]
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, changed: Arc<watch::Sender<u64>>) {
    let take_sip = |_: &server::Request, mut response: server::Response| {
        let sip = http::HeaderValue::from_static("sip");
        response.headers_mut().insert("Sec-WebSocket-Protocol", sip);
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, take_sip).await else {
        return;
    };
    let (sender, mut orders) = mpsc::unbounded_channel();
    let number = {
        let mut state = state.lock().unwrap();
        state.connections.push(sender);
        state.connections.len() - 1
    };
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    state.lock().unwrap().take(number, text.as_str());
                    changed.send_modify(|count| *count += 1);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            order = orders.recv() => if !obey(&mut socket, order).await {
                return;
            },
        }
    }
}

/// Whether the connection goes on.
async fn obey(socket: &mut WebSocketStream<TcpStream>, order: Option<Order>) -> bool {
    match order {
        Some(Order::Write(text)) => socket.send(Frame::Text(text.into())).await.is_ok(),
        Some(Order::Close) => {
            let _ = socket.close(None).await;
            true
        }
        Some(Order::Cut) | None => false,
    }
}
