//! A connection in virtual time: frames take a while, may be damaged on the way, and are lost with
//! the connection. On one connection they keep their order, as on TCP; between connections nothing
//! does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    frames: VecDeque<(Instant, Vec<u8>)>,
    /// When the last frame arrives, which no later one overtakes.
    last: Option<Instant>,
}

/// How bad a wire is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// The longest a frame takes.
    pub delay: Duration,
    /// Of a thousand frames, how many are damaged.
    pub damaged: u32,
}

impl Pipe {
    /// Puts a frame in.
    pub(super) fn send(
        &mut self,
        now: Instant,
        mut frame: Vec<u8>,
        weather: Weather,
        rng: &mut StdRng,
    ) {
        if rng.random_range(0..1_000) < weather.damaged {
            damage(&mut frame, rng);
        }
        let at = now + weather.delay.mul_f64(rng.random::<f64>());
        let at = self.last.map_or(at, |last| last.max(at));
        self.last = Some(at);
        self.frames.push_back((at, frame));
    }

    /// When the next frame comes out.
    pub(super) fn due(&self) -> Option<Instant> {
        self.frames.front().map(|(at, _)| *at)
    }

    /// The frame that comes out now.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.due()? > now {
            return None;
        }
        self.frames.pop_front().map(|(_, frame)| frame)
    }

    /// The connection is lost, and what was in it.
    pub(super) fn cut(&mut self) {
        *self = Self::default();
    }
}

fn damage(frame: &mut Vec<u8>, rng: &mut StdRng) {
    if frame.is_empty() {
        return;
    }
    let at = rng.random_range(0..frame.len());
    match rng.random_range(0..5) {
        0 => frame.truncate(at),
        1 => frame[at] = rng.random(),
        2 => frame.insert(at, rng.random()),
        3 => {
            let end = (at + 8).min(frame.len());
            frame.drain(at..end);
        }
        _ => {
            let copy = frame[at..].to_vec();
            frame.extend_from_slice(&copy);
        }
    }
}
