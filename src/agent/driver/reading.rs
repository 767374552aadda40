//! What an agent hears on its connection.

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

use super::Agent;
use crate::clock;

/// Frames read before what they led to is written.
const READ_BATCH: usize = 256;

/// What to do with the connection after some input.
pub(super) enum Turn {
    Go,
    /// The connection is of no more use, for this reason.
    Lost(String),
}

impl Agent {
    /// Takes a frame and whatever else is there already.
    pub(super) fn read<E: std::fmt::Display>(
        &mut self,
        socket: &mut (impl Stream<Item = Result<Message, E>> + Unpin),
        first: Option<Result<Message, E>>,
    ) -> Turn {
        let mut next = Some(first);
        for _ in 0..READ_BATCH {
            match next.take() {
                Some(Some(Ok(message))) => {
                    if let Turn::Lost(reason) = self.take_frame(message) {
                        return Turn::Lost(reason);
                    }
                }
                Some(Some(Err(error))) => return Turn::Lost(error.to_string()),
                Some(None) => return Turn::Lost("the connection was closed".to_owned()),
                None => return Turn::Go,
            }
            next = socket.next().now_or_never();
        }
        // What was read beyond the batch is not lost: it is taken now.
        match next {
            Some(Some(Ok(message))) => self.take_frame(message),
            Some(Some(Err(error))) => Turn::Lost(error.to_string()),
            Some(None) => Turn::Lost("the connection was closed".to_owned()),
            None => Turn::Go,
        }
    }

    fn take_frame(&mut self, message: Message) -> Turn {
        let now = clock::now();
        match message {
            Message::Text(text) => self.machine.handle_frame(now, text.as_bytes()),
            Message::Binary(bytes) => self.machine.handle_frame(now, &bytes),
            // The library answers pings by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(Some(close)) => {
                let code = u16::from(close.code);
                return Turn::Lost(format!("the server closed: {code} {}", close.reason));
            }
            Message::Close(None) => return Turn::Lost("the server closed".to_owned()),
        }
        Turn::Go
    }
}
