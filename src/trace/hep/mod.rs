//! Frames to a Homer, as HEP3 over UDP, TCP or TLS.
//!
//! Agents offer their frames to a queue that never waits: what it has no room for is dropped, and
//! counted. One task masks, encodes and sends; a server that cannot be reached is one line in the
//! log.

#[cfg(test)]
pub(crate) mod decode;
mod encode;
mod link;
mod queue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use queue::HepQueue;

use super::observer::{HepOutcome, TraceObserver};
use crate::clock;
use crate::message::retry::Backoff;
use encode::{HepIdentity, TooLarge};
use link::Link;
use queue::Queued;

/// Where frames are sent, and what they say of this gateway.
#[derive(Clone)]
pub struct HepSettings {
    pub server: HepServer,
    /// The number by which the server knows this gateway.
    pub capture_id: u32,
    /// The name by which it does; empty for none.
    pub node: String,
    /// What the server may want before it takes anything; empty for none.
    pub password: String,
    /// Certificates to trust for TLS beside those of the system.
    pub authorities: Arc<[CertificateDer<'static>]>,
}

/// A server that takes HEP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HepServer {
    pub transport: HepTransport,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HepTransport {
    Udp,
    Tcp,
    Tls,
}

impl std::fmt::Debug for HepSettings {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HepSettings")
            .field("server", &self.server)
            .field("capture_id", &self.capture_id)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Frames that are sent together.
const BATCH: usize = 256;
/// How long the first frame of a batch waits for others: a frame that is sent alone costs as much
/// as twenty that are sent together. Its time is in it.
const GATHER: Duration = Duration::from_millis(2);
/// After so long without a failure the server counts as well again: over UDP a datagram that
/// was not received is reported with one of the next.
const QUIET: Duration = Duration::from_secs(10);
/// Between two tries at a server that fails.
const BACKOFF: Backoff = Backoff {
    min: Duration::from_millis(500),
    max: Duration::from_secs(30),
};

/// The task that sends.
pub struct HepSender {
    queue: mpsc::Receiver<Queued>,
    sender: HepIdentity,
    link: Link,
    shows_bodies: bool,
    observer: Arc<dyn TraceObserver>,
    /// In a row, or the first one that does not count as over.
    failures: u32,
    /// When sending failed last, until that counts as over.
    failed_at: Option<Instant>,
}

/// The queue, and the task that empties it. `tls` is what connections trust.
pub fn hep(
    settings: HepSettings,
    tls: Arc<ClientConfig>,
    shows_bodies: bool,
    observer: Arc<dyn TraceObserver>,
) -> (HepQueue, HepSender) {
    let (offered, queue) = queue::queue();
    let sender = HepSender {
        queue,
        sender: HepIdentity {
            capture_id: settings.capture_id,
            node: settings.node,
            password: settings.password.into_bytes(),
        },
        link: Link::new(settings.server, tls),
        shows_bodies,
        observer,
        failures: 0,
        failed_at: None,
    };
    (offered, sender)
}

impl HepSender {
    /// Sends until `stop`, and then what waits, where the server takes it.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut packets = Packets::default();
        loop {
            tokio::select! {
                count = self.queue.recv_many(&mut batch, BATCH) => if count == 0 {
                    return;
                },
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            }
            if batch.len() < BATCH {
                tokio::time::sleep(GATHER).await;
                let others = std::iter::from_fn(|| self.queue.try_recv().ok());
                batch.extend(others.take(BATCH - batch.len()));
            }
            self.encode(&mut batch, &mut packets);
            if let Err(error) = self.link.send(&packets).await {
                self.failed(&error);
                tokio::select! {
                    () = tokio::time::sleep(BACKOFF.wait(self.failures, 1.0)) => {}
                    () = stop.cancelled() => {}
                }
            } else {
                self.succeeded();
            }
            self.count(&packets);
            packets.clear();
        }
    }

    fn encode(&self, batch: &mut Vec<Queued>, packets: &mut Packets) {
        for queued in batch.drain(..) {
            let begin = packets.bytes.len();
            let frame = queued.frame.masked(self.shows_bodies);
            match self
                .sender
                .encode(&frame, queued.message, &mut packets.bytes)
            {
                Ok(()) => packets.ends.push(packets.bytes.len()),
                Err(TooLarge) => {
                    packets.bytes.truncate(begin);
                    self.observer.hep(HepOutcome::Dropped, 1);
                }
            }
        }
    }

    fn count(&self, packets: &Packets) {
        let sent = self.link.sent();
        self.observer.hep(HepOutcome::Sent, sent);
        let failed = packets.ends.len().saturating_sub(sent);
        self.observer.hep(HepOutcome::Failed, failed);
    }

    fn failed(&mut self, error: &std::io::Error) {
        let server = self.link.server();
        if self.failed_at.replace(clock::now()).is_none() {
            self.failures = 1;
            tracing::warn!(%server, %error, "failed to send frames to the HEP server; they are dropped until it takes them");
        } else {
            self.failures += 1;
            tracing::debug!(%server, %error, "still failing to send frames to the HEP server");
        }
    }

    fn succeeded(&mut self) {
        let Some(failed_at) = self.failed_at else {
            return;
        };
        self.failures = 1;
        if failed_at + QUIET <= clock::now() {
            self.failed_at = None;
            tracing::info!(server = %self.link.server(), "frames are sent to the HEP server again");
        }
    }
}

/// Packets one behind the other.
#[derive(Debug, Default)]
struct Packets {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Packets {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let packet = &self.bytes[begin..*end];
            begin = *end;
            packet
        })
    }
}
