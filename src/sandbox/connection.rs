//! One SIP WebSocket (RFC 7118), from the upgrade to its end.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use url::Url;

pub(super) type ConnectionId = u64;

/// Actions, each for a connection.
pub(super) type Outbox = Vec<(ConnectionId, Outgoing)>;

/// An action on a connection.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Outgoing {
    Frame(Vec<u8>),
    Cut,
}

/// Frames that arrived together.
pub(super) struct ArrivedFrames {
    pub connection: ConnectionId,
    pub frames: Vec<Bytes>,
}

/// The longest frame taken.
pub(super) const MAX_FRAME: usize = 256 * 1024;

/// How long the upgrade may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a peer that reads nothing is waited for.
const WRITE: Duration = Duration::from_secs(10);

/// What one idle connection costs is mostly this buffer, which is allocated in full.
const READ_BUFFER: usize = 8 * 1024;
/// Frames that are fed are gathered up to here before they are written without a flush.
const WRITE_BUFFER: usize = 16 * 1024;
/// A peer that reads nothing makes writes wait at this point.
const MAX_WRITE_BUFFER: usize = 1024 * 1024;

/// Frames taken at once, so that no connection keeps the others waiting.
const BATCH: usize = 256;

/// Serves a connection until it is closed by the peer, by an error, or by [`Outgoing::Cut`]; with
/// a close frame when the outbox is closed.
pub(super) async fn run(
    connection: ConnectionId,
    stream: TcpStream,
    inbox: mpsc::Sender<ArrivedFrames>,
    outbox: mpsc::Receiver<Outgoing>,
) -> ConnectionId {
    if let Err(error) = serve(connection, stream, inbox, outbox).await {
        tracing::debug!(connection, %error, "a sandbox connection ended");
    }
    connection
}

async fn serve(
    connection: ConnectionId,
    stream: TcpStream,
    inbox: mpsc::Sender<ArrivedFrames>,
    mut outbox: mpsc::Receiver<Outgoing>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?.ip();
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let upgrade_here = |request: &Request, response| upgrade(local, request, response);
    // Boxed: the handshake's state is large, and a connection keeps room for it all its life
    // otherwise.
    let upgrade = Box::pin(accept_hdr_async_with_config(
        stream,
        upgrade_here,
        Some(config()),
    ));
    let mut socket = tokio::time::timeout(HANDSHAKE, upgrade).await??;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            // Responses go out before more requests are read, so that neither piles up.
            biased;
            count = outbox.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    tokio::time::timeout(WRITE, socket.close(None)).await??;
                    return Ok(());
                }
                if !write(&mut socket, &mut outbox, &mut batch).await? {
                    return Ok(());
                }
            }
            message = socket.next() => {
                let frames = match message {
                    Some(message) => read(message?, &mut socket)?,
                    None => return Ok(()),
                };
                if !frames.is_empty() && inbox.send(ArrivedFrames { connection, frames }).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// What has arrived by now, without waiting for more.
fn read(first: Message, socket: &mut WebSocketStream<TcpStream>) -> Result<Vec<Bytes>, WsError> {
    let mut frames = Vec::new();
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Text(text) => frames.push(Bytes::from(text)),
            Message::Binary(bytes) => frames.push(bytes),
            // A ping was answered by the library; a close makes the stream end.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
        if frames.len() >= BATCH {
            break;
        }
        next = socket.next().now_or_never().flatten().transpose()?;
    }
    Ok(frames)
}

/// Writes the batch and all that has come meanwhile, and flushes once. `false` when the
/// connection is to be cut.
async fn write(
    socket: &mut WebSocketStream<TcpStream>,
    outbox: &mut mpsc::Receiver<Outgoing>,
    batch: &mut Vec<Outgoing>,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let all = async {
        let meanwhile = std::iter::from_fn(|| outbox.try_recv().ok());
        for outgoing in batch.drain(..).chain(meanwhile) {
            match outgoing {
                Outgoing::Frame(bytes) => socket.feed(frame(bytes)).await?,
                Outgoing::Cut => return Ok(false),
            }
        }
        socket.flush().await?;
        Ok::<bool, WsError>(true)
    };
    Ok(tokio::time::timeout(WRITE, all).await??)
}

/// Text when it is UTF-8, else binary (RFC 7118 §5).
fn frame(bytes: Vec<u8>) -> Message {
    match String::from_utf8(bytes) {
        Ok(text) => Message::Text(text.into()),
        Err(error) => Message::Binary(error.into_bytes().into()),
    }
}

fn config() -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER;
    config.write_buffer_size = WRITE_BUFFER;
    config.max_write_buffer_size = MAX_WRITE_BUFFER;
    config.max_message_size = Some(MAX_FRAME);
    config.max_frame_size = Some(MAX_FRAME);
    config
}

/// RFC 7118 §4: a client has to offer the subprotocol `sip`, and gets it confirmed. Pages
/// of other origins are refused (RFC 6455 §10.2): a page could use what anyone may register.
#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn upgrade(
    local: IpAddr,
    request: &Request,
    mut response: Response,
) -> Result<Response, ErrorResponse> {
    if !is_own_origin(local, request.headers()) {
        let words = "this server takes no page of another origin\n";
        return Err(refusal(http::StatusCode::FORBIDDEN, words));
    }
    let offered = request.headers().get_all("Sec-WebSocket-Protocol");
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok());
    if !offered.any(|value| {
        value
            .split(',')
            .any(|one| one.trim().eq_ignore_ascii_case("sip"))
    }) {
        let words = "this server speaks sip only\n";
        return Err(refusal(http::StatusCode::BAD_REQUEST, words));
    }
    let sip = http::HeaderValue::from_static("sip");
    response.headers_mut().insert("Sec-WebSocket-Protocol", sip);
    Ok(response)
}

fn refusal(status: http::StatusCode, words: &str) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(Some(words.to_owned()));
    *refusal.status_mut() = status;
    refusal
}

/// Whether the handshake comes from no page, or from an origin that is this server's. On loopback
/// the host must be a loopback one too: another name was pointed here (DNS rebinding).
fn is_own_origin(local: IpAddr, headers: &http::HeaderMap) -> bool {
    let mut origins = headers.get_all(http::header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return true;
    };
    let text = |value: &http::HeaderValue| value.to_str().map(str::to_owned).ok();
    let page = text(origin).and_then(|origin| Url::parse(&origin).ok());
    let (Some(page), None) = (page, origins.next()) else {
        return false;
    };
    // Read with the page's scheme, so that a port that is left out is the same.
    let host = headers.get(http::header::HOST).and_then(text);
    let own = host.and_then(|host| Url::parse(&format!("{}://{host}/", page.scheme())).ok());
    own.is_some_and(|own| {
        let is_web = matches!(page.scheme(), "http" | "https");
        let is_reachable = !local.to_canonical().is_loopback() || is_loopback(&own);
        is_web && is_reachable && own.origin() == page.origin()
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::from(address).to_canonical().is_loopback(),
        None => false,
    }
}
