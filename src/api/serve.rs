//! Connections in: accepted, bounded, timed, and ended in order.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::connection::{ClientTimeouts, ConnectionService, TimeoutStream};
use super::peer::Peer;
use super::places::{ConnectionPlace, PlaceLimits, Places};
use super::service::ApiService;
use super::{connection, tls};

/// How connections are treated.
#[derive(Clone, Debug)]
pub struct Server {
    /// The certificate for clients that connect from now on; `None` for plain HTTP.
    pub tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a connection may stay open with nothing asked.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what it is sent.
    pub write_timeout: Duration,
    /// Connections at once.
    pub places: PlaceLimits,
}

/// How long to stay away from a listener that fails, as it does when there are no descriptors left:
/// longer each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often the log says that it fails.
const TELL: Duration = Duration::from_secs(60);

/// What a connection may hold of a request's head, and, with a piece more, of an answer that is not
/// taken.
///
/// With a chunk of an event stream, and what a connection needs anyway, that is less than 64 KiB.
const MAX_BUFFER: usize = 24 * 1024;

/// Serves until `stop`, then lets the requests under way end, until `grace` is over.
pub async fn serve(
    listener: TcpListener,
    service: ApiService,
    server: Server,
    stop: CancellationToken,
    grace: CancellationToken,
) {
    let places = Places::new(server.places.clone());
    let mut listener = Listener {
        listener,
        last_told: None,
    };
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let (stream, peer) = listener.accept(&places).await;
            let permit = places.enter(peer.0.ip()).await;
            (permit, stream, peer)
        };
        let (permit, stream, peer) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        let Some(permit) = permit else {
            tracing::debug!(client = %peer.0.ip(), "refused a connection: its address has as many as it may");
            continue;
        };
        let serving = serve_one(
            stream,
            peer,
            permit.place.clone(),
            service.clone(),
            server.clone(),
            graceful.watcher(),
        );
        let grace = grace.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = serving => {}
                () = grace.cancelled() => {}
                () = permit.place.cut() => {
                    tracing::debug!(client = %peer.0.ip(), "closed an idle connection: all places are taken");
                }
            }
            drop(permit);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = grace.cancelled() => {}
    }
}

/// Serves one connection to its end. A client that breaks off, or takes too long, is its own
/// affair.
async fn serve_one(
    stream: TcpStream,
    peer: Peer,
    place: Arc<ConnectionPlace>,
    service: ApiService,
    server: Server,
    watcher: Watcher,
) {
    // Answers are small and whole: nothing is gained by waiting for more to send.
    let _ = stream.set_nodelay(true);
    let tls = server.tls.as_ref().map(|tls| tls.borrow().clone());
    let stream = match tls {
        None => Either::Left(stream),
        Some(tls) => match tls::handshake(tls, stream, server.header_timeout).await {
            Ok(stream) => Either::Right(stream),
            Err(error) => {
                tracing::debug!(%error, client = %peer.0.ip(), "no TLS with a client");
                return;
            }
        },
    };
    let ended = watcher
        .watch(connection(stream, peer, place, service, &server))
        .await;
    if let Err(error) = ended {
        tracing::debug!(%error, client = %peer.0.ip(), "a connection ended");
    }
}

/// Where connections come in.
struct Listener {
    listener: TcpListener,
    /// When the log was last told that none can be accepted.
    last_told: Option<Instant>,
}

impl Listener {
    async fn accept(&mut self, places: &Places) -> (TcpStream, Peer) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (stream, Peer(address)),
                Err(error) => self.tell(&error),
            }
            // Most likely there is no descriptor left; one of an idle connection will do.
            places.cut_longest_idle();
            tokio::time::sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    fn tell(&mut self, error: &std::io::Error) {
        let now = Instant::now();
        if self.last_told.is_none_or(|last| now - last >= TELL) {
            self.last_told = Some(now);
            tracing::warn!(%error, "failed to accept connections; trying again");
        }
    }
}

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;
type Connection =
    hyper::server::conn::http1::Connection<TokioIo<TimeoutStream<Stream>>, ConnectionService>;

fn connection(
    stream: Stream,
    peer: Peer,
    place: Arc<ConnectionPlace>,
    service: ApiService,
    server: &Server,
) -> Connection {
    let patience = ClientTimeouts {
        head: server.header_timeout,
        write: server.write_timeout,
    };
    let (stream, turns) = connection::timed(stream, patience);
    let answering = ConnectionService {
        service,
        peer,
        turns,
        place,
    };
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // It counts from the answer before, so it is the limit of being idle.
        .header_read_timeout(server.idle_timeout.max(server.header_timeout))
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), answering)
}
