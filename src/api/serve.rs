//! Connections in: accepted, bounded, timed, and ended in order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// How long a client may take to send the headers of a request; also how long a connection
    /// may stay open with nothing asked.
    pub header_timeout: Duration,
    /// Connections at once; more wait to be accepted.
    pub max_connections: usize,
}

/// How long to stay away from a listener that fails, as it does when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

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
        let Ok(permit) = permits.clone().acquire_owned().await else {
            break;
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        let connection = graceful.watch(connection(stream, router.clone(), server));
        tokio::spawn(async move {
            // A client that breaks off is its own affair.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = grace.cancelled() => {}
    }
}

type Connection =
    hyper::server::conn::http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, router: Router, server: Server) -> Connection {
    // Answers are small and whole: nothing is gained by waiting for more to send.
    let _ = stream.set_nodelay(true);
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.header_timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
