//! The SIP messages that were kept of messages: written in batches, read whole, removed by age.
//!
//! A row holds the frames of one [`FrameRecord`], one behind the other:
//!
//! | bytes | of a frame                                   |
//! |-------|----------------------------------------------|
//! | 8     | when it passed, in microseconds              |
//! | 1     | 0 when it was sent, 1 when it was received   |
//! | 1 + n | the agent's name, after its length           |
//! | 1 + n | the local address, as text                   |
//! | 1 + n | the remote address, as text                  |
//! | 4 + n | the bytes                                    |

use std::collections::HashSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::session::{Session, SqlValue, strange, values};
use super::{StoreError, retention};
use crate::message::{Direction, Frame, FrameRecord, MessageId, Timestamp};

/// Rows of a message that are read: more than it has attempts.
const MAX_ROWS: usize = 256;

/// Keeps records; one that is there already stays as it is. What came in and was erased meanwhile
/// is not kept.
pub(super) fn keep(
    session: &dyn Session,
    records: &[FrameRecord],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut ids: Vec<_> = records.iter().map(|one| *one.message.as_bytes()).collect();
    ids.sort_unstable();
    ids.dedup();
    // PostgreSQL waits here for an erasure that is under way, and lets the next one wait.
    let erased = session.either(
        "SELECT id, sender FROM received \
         WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
        "SELECT id, sender FROM received WHERE id = ANY(?1) ORDER BY id FOR SHARE",
    );
    let mut gone = HashSet::new();
    session.read(erased, &[SqlValue::Ids(&ids)], &mut |row| {
        if row.optional_text(1)?.is_none() {
            gone.insert(row.message_id(0)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let kept = records.iter().filter(|one| !gone.contains(&one.message));
    let contents: Vec<_> = kept
        .map(|one| (one, Bytes::from(encode(&one.frames))))
        .collect();
    let rows: Vec<Vec<SqlValue<'_>>> = contents
        .iter()
        .map(|(one, content)| values![now, one.message, one.begun(), content].into())
        .collect();
    let sql = "INSERT INTO frames (created_at, message_id, begun, content) \
               VALUES (?1, ?2, ?3, ?4) ON CONFLICT (message_id, begun) DO NOTHING";
    session.execute_each(sql, &rows)
}

/// Everything that was kept of a message, in the order in which it began.
pub(super) fn of_message(
    session: &dyn Session,
    message: MessageId,
) -> Result<Vec<FrameRecord>, StoreError> {
    let sql = "SELECT content FROM frames WHERE message_id = ?1 ORDER BY begun LIMIT ?2";
    session.all(sql, &values![message, MAX_ROWS], |row| {
        let frames = decode(row.blob(0)?).ok_or_else(|| strange("content"))?;
        Ok(FrameRecord { message, frames })
    })
}

/// Removes what was kept before this time; how much there was.
pub(super) fn forget(
    session: &dyn Session,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    retention::forget_keys(session, "frames", before, limit)
}

/// Removes what was kept of messages that are removed themselves.
pub(super) fn forget_messages(
    session: &dyn Session,
    messages: &[[u8; 16]],
) -> Result<(), StoreError> {
    let sql = "DELETE FROM frames WHERE message_id IN (SELECT unhex(value) FROM json_each(?1))";
    session.execute(sql, &[SqlValue::Ids(messages)])?;
    Ok(())
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let length: usize = frames.iter().map(|frame| 128 + frame.bytes.len()).sum();
    let mut out = Vec::with_capacity(length);
    for frame in frames {
        out.extend_from_slice(&frame.micros.to_be_bytes());
        out.push(match frame.direction {
            Direction::Sent => 0,
            Direction::Received => 1,
        });
        for text in [
            &*frame.agent,
            &frame.local.to_string(),
            &frame.remote.to_string(),
        ] {
            let text = &text[..text.floor_char_boundary(usize::from(u8::MAX))];
            // Cut to fit just now.
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        // An agent reads no frame of four gigabytes.
        let length = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&frame.bytes);
    }
    out
}

fn decode(mut rest: &[u8]) -> Option<Vec<Frame>> {
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let micros = i64::from_be_bytes(take(&mut rest)?);
        let direction = match take(&mut rest)? {
            [0] => Direction::Sent,
            [1] => Direction::Received,
            _ => return None,
        };
        let agent = text(&mut rest)?.into();
        let local = text(&mut rest)?.parse().ok()?;
        let remote = text(&mut rest)?.parse().ok()?;
        let length = u32::from_be_bytes(take(&mut rest)?);
        let (bytes, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        frames.push(Frame {
            micros,
            direction,
            agent,
            local,
            remote,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }
    Some(frames)
}

fn text<'r>(rest: &mut &'r [u8]) -> Option<&'r str> {
    let [length] = take(rest)?;
    let (text, after) = rest.split_at_checked(usize::from(length))?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let frame = (
            any::<i64>(),
            any::<bool>(),
            "[a-zé-]{0,100}",
            any::<std::net::SocketAddr>(),
            any::<std::net::SocketAddrV4>(),
            proptest::collection::vec(any::<u8>(), 0..200),
        );
        let frame = frame.prop_map(|(micros, is_sent, agent, local, remote, bytes)| Frame {
            micros,
            direction: if is_sent {
                Direction::Sent
            } else {
                Direction::Received
            },
            agent: agent.into(),
            local: without_flow(local),
            remote: remote.into(),
            bytes: bytes.into(),
        });
        proptest::collection::vec(frame, 0..5)
    }

    /// What the text of an address does not say.
    fn without_flow(address: std::net::SocketAddr) -> std::net::SocketAddr {
        (address.ip(), address.port()).into()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frames_are_read_back_as_they_were_written(frames in frames()) {
            prop_assert_eq!(decode(&encode(&frames)), Some(frames));
        }

        #[test]
        fn what_no_sipost_wrote_is_refused_and_makes_nothing_panic(
            frames in frames(),
            cut in 0_usize..200,
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut written = encode(&frames);
            written.truncate(written.len().saturating_sub(cut));
            written.extend(bytes);
            let _ = decode(&written);
        }
    }
}
