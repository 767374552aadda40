//! Connections in: accepted, bounded, timed, and ended in order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::connection;
use super::connection::Answering;
use super::connection::Patience;
use super::connection::Timed;
use super::peer::Peer;

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a connection may stay open with nothing asked.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what it is sent.
    pub write_timeout: Duration,
    /// Connections at once; more wait to be accepted.
    pub max_connections: usize,
}

/// How long to stay away from a listener that fails, as it does when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// What a connection may hold of a request's head, and of an answer that is not taken.
const MAX_BUFFER: usize = 64 * 1024;

/// Serves until `stop`, then lets the requests under way end, until `grace` is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    server: Server,
    stop: CancellationToken,
    grace: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(server.max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, accept(&listener).await)
        };
        let (permit, (stream, peer)) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        let connection = graceful.watch(connection(stream, peer, router.clone(), server));
        let grace = grace.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    // A client that breaks off, or takes too long, is its own affair.
                    tracing::debug!(%error, "a connection ended");
                },
                () = grace.cancelled() => {}
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

async fn accept(listener: &TcpListener) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, Peer(address)),
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

type Connection = hyper::server::conn::http1::Connection<TokioIo<Timed<TcpStream>>, Answering>;

fn connection(stream: TcpStream, peer: Peer, router: Router, server: Server) -> Connection {
    // Answers are small and whole: nothing is gained by waiting for more to send.
    let _ = stream.set_nodelay(true);
    let patience = Patience {
        head: server.header_timeout,
        write: server.write_timeout,
    };
    let (stream, answering) = connection::timed(stream, peer, router, patience);
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // It counts from the answer before, so it is the limit of being idle.
        .header_read_timeout(server.idle_timeout.max(server.header_timeout))
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), answering)
}
