//! Takes text frames for binary ones, so that text that is no UTF-8 does not end the connection.
//!
//! RFC 7118 §5 has a SIP message that is no UTF-8 in a binary frame, and RFC 6455 §8.1 has an
//! endpoint fail the connection for such a text frame. Some servers write every message in a text
//! frame (OpenSIPS does), also the receipts that Linphone compresses and a message in Latin-1. Any
//! sender could take an agent off its server with one. To SIP both kinds are the same, and our
//! WebSocket library checks only text.
//!
//! The bytes that a server sends are followed from frame header to frame header (RFC 6455 §5.2); in
//! these the opcode of text becomes that of binary.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// RFC 6455 §11.8.
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;

/// Follows the frames of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameScanner(ScanState);

/// Which byte comes next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum ScanState {
    /// The first of a header, with the opcode.
    #[default]
    Opcode,
    /// The second, with the length or how many bytes it has.
    Length,
    /// So many more of a length that has begun; and how many bytes a mask has, if there is one.
    ExtendedLength { left: u8, length: u64, mask: u64 },
    /// Of a mask or of the payload, of which there are so many.
    Payload(u64),
}

impl FrameScanner {
    /// Takes the next bytes, and changes the opcodes in them.
    pub(super) fn scan(&mut self, mut bytes: &mut [u8]) {
        while let Some((first, rest)) = bytes.split_first_mut() {
            if let ScanState::Payload(left) = self.0 {
                let skipped =
                    usize::try_from(left).map_or(rest.len() + 1, |left| left.min(rest.len() + 1));
                self.0 = payload(left - skipped as u64);
                bytes = rest.get_mut(skipped - 1..).unwrap_or_default();
                continue;
            }
            self.0 = match self.0 {
                ScanState::Opcode => {
                    if *first & 0x0f == TEXT {
                        *first = *first & 0xf0 | BINARY;
                    }
                    ScanState::Length
                }
                ScanState::Length => length(*first),
                ScanState::ExtendedLength { left, length, mask } => {
                    let length = length << 8 | u64::from(*first);
                    if left == 1 {
                        payload(length.saturating_add(mask))
                    } else {
                        ScanState::ExtendedLength {
                            left: left - 1,
                            length,
                            mask,
                        }
                    }
                }
                ScanState::Payload(left) => ScanState::Payload(left),
            };
            bytes = rest;
        }
    }
}

/// What follows the second byte of a header. A server masks nothing; if it does, the WebSocket
/// library says so.
fn length(second: u8) -> ScanState {
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let length = 0;
    match second & 0x7f {
        126 => ScanState::ExtendedLength {
            left: 2,
            length,
            mask,
        },
        127 => ScanState::ExtendedLength {
            left: 8,
            length,
            mask,
        },
        short => payload(u64::from(short) + mask),
    }
}

fn payload(left: u64) -> ScanState {
    if left == 0 {
        ScanState::Opcode
    } else {
        ScanState::Payload(left)
    }
}

/// A stream whose text frames read as binary ones.
#[derive(Debug)]
pub(super) struct TextAsBinary<S> {
    stream: S,
    scanner: FrameScanner,
}

impl<S> TextAsBinary<S> {
    /// The rest of a stream whose first bytes were scanned already.
    pub(super) fn new(stream: S, scanner: FrameScanner) -> Self {
        Self { stream, scanner }
    }

    /// The stream below.
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TextAsBinary<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let begin = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(new) = buffer.filled_mut().get_mut(begin..) {
            self.scanner.scan(new);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TextAsBinary<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame with this first byte, its length written in the shortest way or in a longer one.
    fn frame(first: u8, payload: &[u8], width: usize) -> Vec<u8> {
        let length = (payload.len() as u64).to_be_bytes();
        let width = match payload.len() {
            0..126 => width,
            126..65_536 => width.max(2),
            _ => 8,
        };
        let (second, rest) = match width {
            0 => (length[7], &[][..]),
            1..=2 => (126, &length[6..]),
            _ => (127, &length[..]),
        };
        [&[first, second], rest, payload].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn only_opcodes_of_text_change_however_the_bytes_come(
            frames in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300), 0_usize..9),
                0..8,
            ),
            cuts in proptest::collection::vec(1_usize..50, 1..8),
        ) {
            let written = |opcode: &dyn Fn(u8) -> u8| -> Vec<u8> {
                let frames = frames.iter();
                let bytes = frames.map(|(first, payload, width)| {
                    frame(opcode(*first), payload, *width)
                });
                bytes.collect::<Vec<_>>().concat()
            };
            let mut bytes = written(&|first| first);
            let expected = written(&|first| match first & 0x0f {
                0x1 => first & 0xf0 | 0x2,
                _ => first,
            });
            let mut scanner = FrameScanner::default();
            let mut rest = &mut bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at_mut((*cut).min(rest.len()));
                scanner.scan(piece);
                rest = more;
            }
            prop_assert_eq!(scanner.0, ScanState::Opcode);
            prop_assert_eq!(bytes, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            FrameScanner::default().scan(&mut bytes);
        }
    }

    #[test]
    fn a_frame_longer_than_any_memory_is_followed() {
        let mut bytes = [&[0x81, 127][..], &[0xff; 8], &[0x81; 100]].concat();
        let before = bytes.clone();
        FrameScanner::default().scan(&mut bytes);
        assert_eq!(bytes[0], 0x82);
        assert_eq!(bytes[1..], before[1..]);
    }
}
