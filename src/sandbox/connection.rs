//! One SIP WebSocket (RFC 7118), from the upgrade to its end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::SinkExt as _;
use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::ErrorResponse;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::handshake::server::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::ConnectionId;
use super::server::Outgoing;

/// Frames that arrived together.
pub(super) struct Arrived {
    /// Where.
    pub connection: ConnectionId,
    /// SIP, unread.
    pub frames: Vec<Bytes>,
}

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
    inbox: mpsc::Sender<Arrived>,
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
    inbox: mpsc::Sender<Arrived>,
    mut outbox: mpsc::Receiver<Outgoing>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    // Boxed: the handshake's state is large, and a connection keeps room for it all its life
    // otherwise.
    let upgrade = Box::pin(accept_hdr_async_with_config(
        stream,
        only_sip,
        Some(config()),
    ));
    let mut socket = tokio::time::timeout(HANDSHAKE, upgrade).await??;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            // What is answered goes out before more is asked, so that neither piles up.
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
                if !frames.is_empty() && inbox.send(Arrived { connection, frames }).await.is_err() {
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

/// Writes what is there, and what has come meanwhile, and flushes once. `false` when the
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
    config.max_message_size = Some(super::MAX_FRAME);
    config.max_frame_size = Some(super::MAX_FRAME);
    config
}

/// RFC 7118 §4: a client has to offer the subprotocol `sip`, and is told that it is spoken.
#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn only_sip(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all("Sec-WebSocket-Protocol");
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok());
    if !offered.any(|value| {
        value
            .split(',')
            .any(|one| one.trim().eq_ignore_ascii_case("sip"))
    }) {
        let mut refusal = ErrorResponse::new(Some("this server speaks sip only\n".to_owned()));
        *refusal.status_mut() = http::StatusCode::BAD_REQUEST;
        return Err(refusal);
    }
    let sip = http::HeaderValue::from_static("sip");
    response.headers_mut().insert("Sec-WebSocket-Protocol", sip);
    Ok(response)
}
