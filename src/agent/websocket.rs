//! Opens a SIP WebSocket (RFC 7118): TCP, TLS where the URL says so, then the upgrade.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt as _;
use http::{HeaderName, HeaderValue};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_util::either::Either;

use super::text_frames::{FrameScanner, TextAsBinary};
use super::upgrade;
use super::upgrade::UpgradeError;
use crate::sip::Transport;
use crate::trace::SocketAddresses;

/// The largest header of a frame that a client writes (RFC 6455 §5.2). A server's buffer holds it
/// beside the message.
pub const FRAME_HEADER: usize = 14;

/// An open SIP WebSocket.
pub(super) type Socket =
    WebSocketStream<TextAsBinary<Either<TcpStream, Box<TlsStream<TcpStream>>>>>;

/// A SIP WebSocket server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WeightedServer {
    /// `ws:` or `wss:`.
    pub url: url::Url,
    /// The URL without what may be a password in it, for logs and answers.
    pub shown: Arc<str>,
    /// Heavier ones are used first.
    pub weight: u32,
}

/// How connections are opened and used.
#[derive(Clone)]
pub struct Dialing {
    /// Name, TCP, TLS and upgrade together.
    pub connect_timeout: Duration,
    /// For `wss`; read anew by each connection.
    pub tls: watch::Receiver<Arc<ClientConfig>>,
    /// Added to the upgrade, for servers that ask for them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The largest frame taken.
    pub max_frame: usize,
}

impl std::fmt::Debug for Dialing {
    /// Without the headers, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialing")
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("the server did not answer within {0:?}")]
    Timeout(Duration),
    #[error("the URL has no host and port")]
    Url,
    #[error("{0}")]
    Tcp(std::io::Error),
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    #[error("{0}")]
    Upgrade(UpgradeError),
}

impl DialError {
    /// When a server that refused the upgrade wants to be asked again (RFC 9110 §10.2.3).
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upgrade(error) => error.retry_after(),
            Self::Timeout(_) | Self::Url | Self::Tcp(_) | Self::Tls(_) => None,
        }
    }
}

/// This buffer is allocated in full for each connection, and grows for a frame that is longer. A
/// few answers fit.
const READ_BUFFER: usize = 1024;
/// Frames that are fed are gathered up to here before they are written without a flush.
const WRITE_BUFFER: usize = 16 * 1024;
/// A peer that reads nothing makes writes wait at this point.
const MAX_WRITE_BUFFER: usize = 4 * 1024 * 1024;

/// The transport that a server's URL stands for.
pub(super) fn transport(server: &WeightedServer) -> Transport {
    if server.url.scheme().eq_ignore_ascii_case("wss") {
        Transport::Wss
    } else {
        Transport::Ws
    }
}

/// Opens a connection, in all within the time allowed.
pub(super) async fn dial(server: &WeightedServer, dialing: &Dialing) -> Result<Socket, DialError> {
    let timeout = dialing.connect_timeout;
    // Boxed: the handshake's state is large, and an agent keeps room for it all its life otherwise.
    let opening = Box::pin(open(server, dialing));
    tokio::time::timeout(timeout, opening)
        .await
        .map_err(|_| DialError::Timeout(timeout))?
}

async fn open(server: &WeightedServer, dialing: &Dialing) -> Result<Socket, DialError> {
    let host = server.url.host_str().ok_or(DialError::Url)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = server.url.port_or_known_default().ok_or(DialError::Url)?;
    let tcp = TcpStream::connect((host, port))
        .await
        .map_err(DialError::Tcp)?;
    tcp.set_nodelay(true).map_err(DialError::Tcp)?;
    let mut stream = match transport(server) {
        Transport::Ws => Either::Left(tcp),
        Transport::Wss => {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::Url)?;
            let connector = TlsConnector::from(dialing.tls.borrow().clone());
            let tls = connector.connect(name, tcp).await.map_err(DialError::Tls)?;
            Either::Right(Box::new(tls))
        }
    };
    let mut early = upgrade::upgrade(&mut stream, &server.url, &dialing.headers)
        .await
        .map_err(DialError::Upgrade)?;
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER;
    config.write_buffer_size = WRITE_BUFFER;
    config.max_write_buffer_size = MAX_WRITE_BUFFER;
    config.max_message_size = Some(dialing.max_frame);
    config.max_frame_size = Some(dialing.max_frame);
    let mut scanner = FrameScanner::default();
    scanner.scan(&mut early);
    let stream = TextAsBinary::new(stream, scanner);
    Ok(Socket::from_partially_read(stream, early, Role::Client, Some(config)).await)
}

/// Writes frames one after the other and flushes once.
pub(super) async fn write(socket: &mut Socket, frames: Vec<Message>) -> Result<(), WsError> {
    for frame in frames {
        socket.feed(frame).await?;
    }
    socket.flush().await
}

/// Sends a close frame, or answers that of the server, without waiting for more.
pub(super) async fn close(socket: &mut Socket) -> Result<(), WsError> {
    // The socket's own method of this name refuses to answer.
    futures_util::SinkExt::close(socket).await
}

/// A SIP message as a frame: text when it is UTF-8, else binary (RFC 7118 §5).
pub(super) fn frame(bytes: Bytes) -> Message {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(bytes),
    }
}

/// The two ends of a connection.
pub(super) fn endpoints(socket: &Socket) -> std::io::Result<SocketAddresses> {
    let tcp = match socket.get_ref().stream() {
        Either::Left(tcp) => tcp,
        Either::Right(tls) => tls.get_ref().0,
    };
    Ok(SocketAddresses {
        local: tcp.local_addr()?,
        remote: tcp.peer_addr()?,
    })
}
