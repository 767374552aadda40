//! The ladder diagram of a trace: who sent what to whom, and when.
//!
//! ```text
//! 2026-11-22 05:00:00 UTC
//!
//!             alice-1                                    server
//!         127.0.0.1:40312                            127.0.0.1:5062
//!    0.000 s     │──── MESSAGE sip:bob@example.com (1) ────────────►│
//!    0.004 s     │◄─── 200 OK (1 MESSAGE) ──────────────────────────│
//! ```
//!
//! A line leads from an agent to its server or back. When a message went over another connection,
//! the heads of the two columns are written again.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::message::{Direction, Frame};

/// Characters between the two lines, and before the first.
const WIDTH: usize = 60;
const MARGIN: usize = 16;
/// Of these, the columns for a frame's text.
const LABEL: usize = WIDTH - 8;

/// What a trace without frames looks like.
const EMPTY: &str =
    "no SIP messages were kept; trace.keep and trace.retention say which are, and how long\n";

/// Draws the frames.
pub fn draw(frames: &[Frame]) -> String {
    let Some(first) = frames.first() else {
        return EMPTY.to_owned();
    };
    let mut out = format!("{}\n", first.time());
    let mut column: Option<(Arc<str>, SocketAddr, SocketAddr)> = None;
    for frame in frames {
        let place = (frame.agent.clone(), frame.local, frame.remote);
        if column.as_ref() != Some(&place) {
            head(&mut out, frame);
            column = Some(place);
        }
        rung(&mut out, frame, first.micros);
    }
    out
}

/// The heads of the two columns, each above its line.
fn head(out: &mut String, frame: &Frame) {
    let (local, remote) = (frame.local.to_string(), frame.remote.to_string());
    for (left, right) in [(&*frame.agent, "server"), (&*local, &*remote)] {
        let begin = (MARGIN + 1).saturating_sub(left.chars().count().div_ceil(2));
        let text = format!("{:begin$}{}", "", printable(left));
        let end = MARGIN + WIDTH + 1;
        let right_begin = end.saturating_sub(right.chars().count() / 2);
        let gap = right_begin.saturating_sub(text.chars().count()).max(2);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "{text}{:gap$}{right}", "");
    }
}

/// One frame, with the time since the first one.
fn rung(out: &mut String, frame: &Frame, begun: i64) {
    let micros = frame.micros.saturating_sub(begun).max(0);
    let time = format!("{}.{:03} s", micros / 1_000_000, micros / 1_000 % 1_000);
    let label = label(frame);
    let used = label.chars().count() + 2 + 4 + 1;
    let rest = "─".repeat(WIDTH.saturating_sub(used));
    let arrow = match frame.direction {
        Direction::Sent => format!("──── {label} {rest}►"),
        Direction::Received => format!("◄─── {label} {rest}─"),
    };
    let width = MARGIN - 4;
    let _ = writeln!(out, "{time:>width$}    │{arrow}│");
}

/// `MESSAGE sip:bob@example.com (1)`, `200 OK (1 MESSAGE)`.
fn label(frame: &Frame) -> String {
    let line = frame.first_line();
    let cseq = cseq(&frame.bytes).unwrap_or_default();
    let (line, cseq) = match line.strip_suffix(" SIP/2.0") {
        // A request says its method itself.
        Some(request) => (request, cseq.split(' ').next().unwrap_or_default()),
        None => (line.strip_prefix("SIP/2.0 ").unwrap_or(&line), &*cseq),
    };
    let cseq = cut(&printable(cseq), LABEL / 2);
    let room = LABEL - cseq.chars().count() - " ()".len();
    format!("{} ({cseq})", cut(&printable(line), room))
}

/// What the CSeq header says.
fn cseq(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let value = text.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("cseq").then_some(value)
    })?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A peer wrote it, and a terminal shows it.
fn printable(text: &str) -> String {
    let shown = |char: char| if char.is_control() { '.' } else { char };
    text.chars().map(shown).collect()
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept = text.chars().take(most.saturating_sub(1));
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::raw;
    use super::*;

    #[test]
    fn a_request_and_its_responses_are_rungs_between_the_agent_and_its_server() {
        let sent = raw(
            Direction::Sent,
            1_700_000_000_000_000,
            "MESSAGE sip:bob@example.com SIP/2.0\r\nCSeq: 1  MESSAGE\r\n\r\nHi",
        );
        let answer = raw(
            Direction::Received,
            1_700_000_000_004_999,
            "SIP/2.0 486 Busy\u{1b}[31m Here\r\nCSEQ: 1 MESSAGE\r\n\r\n",
        );
        let drawn = draw(&[sent.masked(true), answer.masked(true)]);
        let lines: Vec<&str> = drawn.lines().collect();
        let edge = "─".repeat(22);
        let end = "─".repeat(23);
        assert_eq!(
            lines,
            [
                "2023-11-14T22:13:20.000Z",
                &format!("{:13}alice-1{:54}server", "", ""),
                &format!("{:9}127.0.0.1:40312{:46}127.0.0.1:5062", "", ""),
                &format!("     0.000 s    │──── MESSAGE sip:bob@example.com (1) {edge}►│"),
                &format!("     0.004 s    │◄─── 486 Busy.[31m Here (1 MESSAGE) {end}─│"),
            ]
        );
    }

    #[test]
    fn a_trace_without_frames_says_so() {
        assert_eq!(draw(&[]), EMPTY);
    }
}
