//! The built-in SIP server, to try things out and to test against: a SIP WebSocket (RFC 7118)
//! registrar and proxy for one domain.
//!
//! It is honest about SIP: it challenges REGISTER and MESSAGE (digest, SHA-256 and MD5), keeps
//! bindings with their flows, forwards MESSAGE between registered users, and answers for those that
//! are not. **Every user name may register; its password is the name itself.** Some users are
//! scripted and always do the same:
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
//! | `echo`     | 200, and then the same body comes back                          |
//! | `reader`   | 200, then the receipts `delivered` and, a second later, `displayed` |
//!
//! A message goes to the newest binding of its recipient only, so that it arrives once. All of it
//! is one future: nothing is spawned, and nothing is locked.
//!
//! | bounded                | by                         | beyond it                            |
//! |------------------------|----------------------------|--------------------------------------|
//! | connections            | `max_connections`          | wait to be accepted                  |
//! | bindings               | `max_bindings`             | 503 with Retry-After                 |
//! | requests on their way  | `max_pending`              | 503 with Retry-After                 |
//! | frames to read         | a channel of batches       | the connection is not read           |
//! | frames to write        | a channel of frames        | the connection is cut                |

mod bindings;
mod connection;
mod options;
mod proxy;
mod request;
mod scripted;
mod server;

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
use tokio::time::Instant;

use crate::clock;

use connection::{ArrivedFrames, ConnectionId, Outbox, Outgoing};
use server::SipServer;

pub use options::{Behaviour, DOMAIN, Options, ReceivedRequest, Reply, USERS, password_of};

/// Batches of frames that wait to be handled.
const INBOX: usize = 16;

/// Frames that wait to be written on one connection: room for the answers to a whole inbox of
/// requests several times over.
const OUTBOX: usize = 16 * 1024;

/// How long a listener that fails is left alone.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(50);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long connections may take to close at the end.
const CLOSING: Duration = Duration::from_secs(1);

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
        let mut server = SipServer::new(options, hosts, rng, clock::now());
        let mut connections = Connections::new();
        let mut open = FuturesUnordered::new();
        let mut backoff = AcceptBackoff::default();
        let mut shutdown = pin!(shutdown);
        loop {
            let deadline = Instant::from_std(server.deadline());
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept(), if !backoff.is_waiting() && open.len() < max_connections => match accepted {
                    Ok((stream, peer)) => {
                        backoff = AcceptBackoff::default();
                        let (connection, outbox) = connections.enter(peer.ip());
                        open.push(connection::run(connection, stream, connections.inbox(), outbox));
                    }
                    Err(error) => backoff.fail(&error),
                },
                () = backoff.wait(), if backoff.is_waiting() => {}
                Some(connection) = open.next(), if !open.is_empty() => {
                    connections.leave(connection);
                    server.handle_closed(connection, &mut connections.out);
                }
                arrived = connections.arrived.recv() => {
                    connections.handle(arrived, &mut server);
                }
                () = tokio::time::sleep_until(deadline) => {
                    server.handle_timeout(clock::now(), &mut connections.out);
                }
            }
            connections.deliver();
        }
        connections.outboxes.clear();
        let closed = async { while open.next().await.is_some() {} };
        drop(tokio::time::timeout(CLOSING, closed).await);
    }
}

/// A listener that fails, as it does when there are no file descriptors left, is left alone for a
/// while, longer each time.
#[derive(Debug, Default)]
struct AcceptBackoff {
    pause: Duration,
    until: Option<Instant>,
}

impl AcceptBackoff {
    /// The listener has failed. Only the first failure in a row is logged.
    fn fail(&mut self, error: &std::io::Error) {
        if self.pause.is_zero() {
            tracing::warn!(%error, "the sandbox failed to accept a connection; trying again");
        }
        self.pause = (self.pause * 2).clamp(ACCEPT_PAUSE_MIN, ACCEPT_PAUSE_MAX);
        self.until = Some(Instant::now() + self.pause);
    }

    fn is_waiting(&self) -> bool {
        self.until.is_some_and(|until| until > Instant::now())
    }

    /// Resolves when the listener is to be asked again.
    async fn wait(&self) {
        tokio::time::sleep_until(self.until.unwrap_or_else(Instant::now)).await;
    }
}

/// The open connections, and what goes to and fro.
struct Connections {
    outboxes: HashMap<ConnectionId, OpenConnection>,
    next: ConnectionId,
    inbox: mpsc::Sender<ArrivedFrames>,
    arrived: mpsc::Receiver<ArrivedFrames>,
    out: Outbox,
}

struct OpenConnection {
    peer: IpAddr,
    outbox: mpsc::Sender<Outgoing>,
}

impl Connections {
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

    fn inbox(&self) -> mpsc::Sender<ArrivedFrames> {
        self.inbox.clone()
    }

    fn enter(&mut self, peer: IpAddr) -> (ConnectionId, mpsc::Receiver<Outgoing>) {
        let (outbox, frames) = mpsc::channel(OUTBOX);
        let connection = self.next;
        self.next += 1;
        self.outboxes
            .insert(connection, OpenConnection { peer, outbox });
        (connection, frames)
    }

    fn leave(&mut self, connection: ConnectionId) {
        self.outboxes.remove(&connection);
    }

    /// Handles what arrived, and what else has by now.
    fn handle(&mut self, first: Option<ArrivedFrames>, server: &mut SipServer) {
        let now = clock::now();
        let mut next = first;
        let mut batches = 0;
        while let Some(ArrivedFrames { connection, frames }) = next {
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
