//! A client's connection, and the time limits of each of its steps.
//!
//! hyper times how long a connection may be idle between requests. More limits are kept here, where
//! the bytes pass: the first head must come in time, a later one that has begun must be complete in
//! time, and a client must go on taking what it is sent. A client that breaks one is cut off, and
//! has cost a buffer meanwhile.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::peer::Peer;
use super::places::ConnectionPlace;
use super::service::ApiService;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientTimeouts {
    /// From the first byte of a request's head to its last.
    pub(super) head: Duration,
    /// Over taking nothing of what it is sent.
    pub(super) write: Duration,
}

/// How many requests of a connection began to be answered, and how many were.
#[derive(Debug, Default)]
pub(super) struct RequestCount {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A stream of bytes that fails when its client takes too long.
pub(super) struct TimeoutStream<S> {
    stream: S,
    patience: ClientTimeouts,
    turns: Arc<RequestCount>,
    /// The head that has begun: when it must be complete, and the requests there were before it.
    head: Option<(Pin<Box<Sleep>>, u64)>,
    /// When the client must have taken something.
    write: Option<Pin<Box<Sleep>>>,
}

/// Answers the requests of one connection, and keeps count of them.
#[derive(Clone)]
pub(super) struct ConnectionService {
    pub(super) service: ApiService,
    pub(super) peer: Peer,
    pub(super) turns: Arc<RequestCount>,
    pub(super) place: Arc<ConnectionPlace>,
}

/// A stream that is timed, and the count of the requests on it.
pub(super) fn timed<S>(
    stream: S,
    patience: ClientTimeouts,
) -> (TimeoutStream<S>, Arc<RequestCount>) {
    let turns = Arc::<RequestCount>::default();
    // The first byte is due like the rest of its head: a connection that asks nothing has no place.
    let deadline = Box::pin(tokio::time::sleep(patience.head));
    let timed = TimeoutStream {
        stream,
        patience,
        turns: turns.clone(),
        head: Some((deadline, 0)),
        write: None,
    };
    (timed, turns)
}

impl<S> TimeoutStream<S> {
    /// Takes note that `bytes` were read, or that there are none yet.
    fn watch_head(&mut self, context: &mut Context<'_>, has_read: bool) -> io::Result<()> {
        let begun = self.turns.begun.load(Ordering::Relaxed);
        let is_answering = begun != self.turns.ended.load(Ordering::Relaxed);
        let is_complete = self
            .head
            .as_ref()
            .is_some_and(|(_, before)| *before != begun);
        if is_answering || is_complete {
            self.head = None;
        }
        if has_read && !is_answering && self.head.is_none() {
            let deadline = Box::pin(tokio::time::sleep(self.patience.head));
            self.head = Some((deadline, begun));
        }
        match &mut self.head {
            Some((deadline, _)) if !has_read => check(deadline, context),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes note that the client took something, or nothing yet.
    fn watch_write<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write = None;
            return written;
        }
        let patience = self.patience.write;
        let deadline = self
            .write
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match check(deadline, context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

fn check(deadline: &mut Pin<Box<Sleep>>, context: &mut Context<'_>) -> io::Result<()> {
    match deadline.as_mut().poll(context) {
        Poll::Pending => Ok(()),
        Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let has_read = buffer.filled().len() > before;
        if has_read || read.is_pending() {
            self.watch_head(context, has_read)?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch_write(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch_write(context, shut)
    }
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<AnswerBody>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        let has_begun = if request.body().is_end_stream() {
            self.place.begin()
        } else {
            self.place.begin_to_receive()
        };
        if !has_begun {
            // The connection is being cut: the client may ask again over another one.
            return Box::pin(std::future::pending());
        }
        self.turns.begun.fetch_add(1, Ordering::Relaxed);
        let turn = Turn(self.turns.clone(), self.place.clone());
        let request = request.map(|body| Arriving {
            body,
            place: self.place.clone(),
            news: 0,
        });
        let service = self.service.clone();
        Box::pin(async move {
            let response = service.answer(request).await;
            Ok(response.map(|body| AnswerBody {
                body,
                rest: Bytes::new(),
                _turn: turn,
            }))
        })
    }
}

/// Ends when the answer was given, or is not wanted any more.
struct Turn(Arc<RequestCount>, Arc<ConnectionPlace>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        self.1.end();
    }
}

/// The body of a request. Until it is complete nothing was taken in, and its connection may be cut.
struct Arriving {
    body: Incoming,
    place: Arc<ConnectionPlace>,
    /// Bytes that have come since the connection was put last in the row of those to be cut.
    news: usize,
}

/// A client whose body comes slower than so many bytes at a time is behind one whose does not.
const PROGRESS: usize = 16 * 1024;

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.news += frame.data_ref().map_or(0, Bytes::len);
        }
        let is_complete = frame.is_none() || self.body.is_end_stream();
        let goes_on = if is_complete {
            self.place.begin()
        } else if self.news >= PROGRESS {
            self.news = 0;
            self.place.begin_to_receive()
        } else {
            true
        };
        if goes_on {
            Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
        } else {
            Poll::Ready(Some(Err("the connection is being cut".into())))
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, which ends the request's turn.
///
/// hyper takes a body as soon as it has room for some of it, and holds all that it has taken. Given
/// piece by piece, a large answer is not out of hand before all but a few pieces of it are.
pub(super) struct AnswerBody {
    body: Body,
    /// The rest of a frame, given in pieces.
    rest: Bytes,
    _turn: Turn,
}

/// Bytes of an answer that are given at once.
const PIECE: usize = 4 * 1024;

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if data.len() > PIECE => self.rest = data,
                Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let size = PIECE.min(self.rest.len());
        // A copy, because a part of a buffer keeps the whole of it.
        let piece = Bytes::copy_from_slice(&self.rest.split_to(size));
        if self.rest.is_empty() {
            self.rest = Bytes::new();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let hint = self.body.size_hint();
        let mut whole = SizeHint::new();
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole.set_lower(hint.lower().saturating_add(rest));
        whole
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: ClientTimeouts = ClientTimeouts {
        head: Duration::from_secs(10),
        write: Duration::from_secs(20),
    };
    /// What the way to the client holds.
    const ROOM: usize = 1_000;

    /// Our side of a connection, and the client's.
    async fn connection() -> (TimeoutStream<DuplexStream>, DuplexStream) {
        let (ours, clients) = tokio::io::duplex(ROOM);
        let (timed, _) = timed(ours, PATIENCE);
        (timed, clients)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off_when_patience_is_over() {
        let (mut ours, _client) = connection().await;
        let begun = Instant::now();
        let error = ours.write_all(&[0; ROOM + 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), PATIENCE.write);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_now_and_then_is_not() {
        let (mut ours, mut client) = connection().await;
        let taking = tokio::spawn(async move {
            let mut taken = 0;
            while taken < 10 * ROOM {
                tokio::time::sleep(PATIENCE.write - Duration::from_secs(1)).await;
                taken += client.read(&mut [0; ROOM]).await.unwrap();
            }
        });
        ours.write_all(&[0; 10 * ROOM]).await.unwrap();
        taking.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_must_come_in_time() {
        let (mut ours, _client) = connection().await;
        let begun = Instant::now();
        let error = ours.read(&mut [0; ROOM]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), PATIENCE.head);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_has_begun_must_be_complete_in_time() {
        let (mut ours, mut client) = connection().await;
        client.write_all(b"GET / HT").await.unwrap();
        let begun = Instant::now();
        assert_eq!(ours.read(&mut [0; ROOM]).await.unwrap(), 8);
        let error = ours.read(&mut [0; ROOM]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), PATIENCE.head);
    }
}
