//! The built-in SIP server, to try things out and to test against: a SIP WebSocket (RFC 7118)
//! registrar and proxy for one domain.
//!
//! It is honest about SIP: it challenges REGISTER and MESSAGE (digest, SHA-256 and MD5), keeps
//! bindings with their flows, forwards MESSAGE between whoever registered, and answers for those
//! who do not. **Every user name may register; its password is the name itself.** Some users are
//! nobody and always answer the same:
//!
//! | user       | answer                                                          |
//! |------------|-----------------------------------------------------------------|
//! | `ok`       | 200                                                             |
//! | `accepted` | 202                                                             |
//! | `busy`     | 486                                                             |
//! | `decline`  | 603                                                             |
//! | `notfound` | 404                                                             |
//! | `offline`  | 480                                                             |
//! | `moved`    | 302 to `ok`                                                     |
//! | `error`    | 500                                                             |
//! | `overload` | 503 with `Retry-After: 1` to each Call-ID's first request, then 200 |
//! | `slow`     | 200 after 3 s                                                   |
//! | `silent`   | never any                                                       |
//!
//! A message goes to the newest binding of its recipient only, so that it arrives once. All of it
//! is one future: nothing is spawned, and nothing is locked.
//!
//! | what is bounded        | by                         | beyond it                            |
//! |------------------------|----------------------------|--------------------------------------|
//! | connections            | `max_connections`          | wait to be accepted                  |
//! | bindings               | `max_bindings`             | 503 with Retry-After                 |
//! | requests on their way  | `max_pending`              | 503 with Retry-After                 |
//! | frames to read         | a channel of batches       | the connection is not read           |
//! | frames to write        | a channel of frames        | the connection is cut                |

mod behaviour;
mod connection;
mod location;
mod proxy;
mod registrar;
mod remembered;
mod request;
mod server;
mod write;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::clock;

use connection::Arrived;
use server::{Outbox, Outgoing, Server};

pub use behaviour::{Answer, Behaviour};

/// The domain of a sandbox, unless its options say otherwise. No resolver will ever find it
/// (RFC 6761 §6.4).
pub const DOMAIN: &str = "sandbox.invalid";

/// The longest frame taken.
const MAX_FRAME: usize = 256 * 1024;

/// Batches of frames that wait to be handled.
const INBOX: usize = 16;

/// Frames that wait to be written on one connection: room for the answers to a whole inbox of
/// requests several times over.
const OUTBOX: usize = 16 * 1024;

/// How long connections may take to close at the end.
const CLOSING: Duration = Duration::from_secs(1);

type ConnectionId = u64;

/// The password of a user of the sandbox.
pub fn password_of(user: &str) -> &str {
    user
}

/// What kind of server a sandbox is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The domain it serves, and the realm of its challenges.
    pub domain: String,
    /// Whether REGISTER and MESSAGE have to be signed.
    pub challenges: bool,
    /// Passwords of users that are not [`password_of`] them.
    pub passwords: HashMap<String, String>,
    /// After that, a nonce is stale.
    pub nonce_lifetime: Duration,
    /// A registration for less is answered 423.
    pub min_expires: Duration,
    /// No registration is granted more.
    pub max_expires: Duration,
    /// A recipient that has not answered by then is answered for with 408. Less than the 32 s that
    /// the sender waits (RFC 3261 §17.1.2.2).
    pub answer_within: Duration,
    /// Users that are no persons, and what they do.
    pub users: HashMap<String, Behaviour>,
    /// Connections at once.
    pub max_connections: usize,
    /// Bindings at once.
    pub max_bindings: usize,
    /// Requests at once that wait for their answer.
    pub max_pending: usize,
    /// What nonces, tags and branches are drawn from.
    pub seed: [u8; 32],
    /// Told of every request, for tests that look at what was sent.
    pub received: Option<mpsc::UnboundedSender<Received>>,
}

/// A request that reached the sandbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Its Request-URI, as written.
    pub uri: String,
    /// All of it.
    pub frame: Vec<u8>,
}

impl Options {
    /// A server for this domain.
    pub fn new(domain: impl Into<String>) -> Self {
        let domain = domain.into().to_ascii_lowercase();
        Self {
            users: behaviour::special_users(&domain),
            domain,
            challenges: true,
            passwords: HashMap::new(),
            nonce_lifetime: Duration::from_secs(300),
            min_expires: Duration::from_secs(1),
            max_expires: Duration::from_secs(3600),
            answer_within: Duration::from_secs(30),
            max_connections: 20_000,
            max_bindings: 50_000,
            max_pending: 100_000,
            seed: rand::random(),
            received: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(DOMAIN)
    }
}

/// A sandbox that listens, and serves while [`run`](Self::run) is awaited.
#[derive(Debug)]
pub struct Sandbox {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
}

impl Sandbox {
    /// Listens at this address; port 0 is any.
    pub async fn bind(address: SocketAddr, options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            options,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Serves until `shutdown` completes, then closes every connection. Dropping the future
    /// ends it at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            address,
            options,
        } = self;
        let max_connections = options.max_connections;
        let hosts = match address.ip() {
            IpAddr::V4(ip) => vec![ip.to_string(), "localhost".to_owned()],
            IpAddr::V6(ip) => vec![format!("[{ip}]"), "localhost".to_owned()],
        };
        let rng = StdRng::from_seed(options.seed);
        let mut server = Server::new(options, hosts, rng, clock::now());
        let mut house = House::new();
        let mut open = FuturesUnordered::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let deadline = tokio::time::Instant::from_std(server.deadline());
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept(), if open.len() < max_connections => match accepted {
                    Ok((stream, peer)) => {
                        let (connection, outbox) = house.enter(peer.ip());
                        open.push(connection::run(connection, stream, house.inbox(), outbox));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the sandbox cannot accept a connection");
                        // Out of file descriptors, most likely: it passes, but not at once.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(connection) = open.next(), if !open.is_empty() => {
                    house.leave(connection);
                    server.handle_closed(connection, &mut house.out);
                }
                arrived = house.arrived.recv() => {
                    house.handle(arrived, &mut server);
                }
                () = tokio::time::sleep_until(deadline) => {
                    server.handle_timeout(clock::now(), &mut house.out);
                }
            }
            house.deliver();
        }
        house.outboxes.clear();
        let closed = async { while open.next().await.is_some() {} };
        drop(tokio::time::timeout(CLOSING, closed).await);
    }
}

/// The connections of a sandbox, and what goes to and fro.
struct House {
    outboxes: HashMap<ConnectionId, Connected>,
    next: ConnectionId,
    inbox: mpsc::Sender<Arrived>,
    arrived: mpsc::Receiver<Arrived>,
    out: Outbox,
}

struct Connected {
    peer: IpAddr,
    outbox: mpsc::Sender<Outgoing>,
}

impl House {
    fn new() -> Self {
        let (inbox, arrived) = mpsc::channel(INBOX);
        Self {
            outboxes: HashMap::new(),
            next: 0,
            inbox,
            arrived,
            out: Vec::new(),
        }
    }

    fn inbox(&self) -> mpsc::Sender<Arrived> {
        self.inbox.clone()
    }

    fn enter(&mut self, peer: IpAddr) -> (ConnectionId, mpsc::Receiver<Outgoing>) {
        let (outbox, frames) = mpsc::channel(OUTBOX);
        let connection = self.next;
        self.next += 1;
        self.outboxes.insert(connection, Connected { peer, outbox });
        (connection, frames)
    }

    fn leave(&mut self, connection: ConnectionId) {
        self.outboxes.remove(&connection);
    }

    /// Handles what arrived, and what else has by now.
    fn handle(&mut self, first: Option<Arrived>, server: &mut Server) {
        let now = clock::now();
        let mut next = first;
        let mut batches = 0;
        while let Some(Arrived { connection, frames }) = next {
            if let Some(connected) = self.outboxes.get(&connection) {
                for frame in &frames {
                    server.handle_frame(now, connection, connected.peer, frame, &mut self.out);
                }
            }
            batches += 1;
            if batches >= INBOX {
                break;
            }
            next = self.arrived.try_recv().ok();
        }
    }

    /// Hands what goes out to its connections.
    fn deliver(&mut self) {
        for (connection, outgoing) in self.out.drain(..) {
            // One that has left meanwhile needs nothing any more.
            let Some(connected) = self.outboxes.get(&connection) else {
                continue;
            };
            if connected.outbox.try_send(outgoing).is_err() {
                tracing::debug!(connection, "a sandbox client does not read; it is cut off");
                self.outboxes.remove(&connection);
            }
        }
    }
}

#[cfg(test)]
mod tests;
