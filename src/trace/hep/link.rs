//! The way to a HEP server: a UDP socket, or a connection over TCP or TLS. It is opened when it is
//! needed.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::net::{MMsgHdr, SendFlags};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{HepServer, HepTransport, Packets};

/// How long opening a connection may take, and a write.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Link {
    server: HepServer,
    tls: Arc<ClientConfig>,
    open: Option<Open>,
    /// Packets of the last batch that were handed to the system.
    sent: usize,
}

enum Open {
    Datagrams(UdpSocket),
    Stream(Box<dyn AsyncWrite + Send + Sync + Unpin>),
}

impl Link {
    pub(super) fn new(server: HepServer, tls: Arc<ClientConfig>) -> Self {
        Self {
            server,
            tls,
            open: None,
            sent: 0,
        }
    }

    /// The server, as logs show it.
    pub(super) fn server(&self) -> String {
        format!("{}:{}", self.server.host, self.server.port)
    }

    /// How many packets the last [`Self::send`] handed to the system.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Sends packets. After a failure the next call opens a connection anew.
    pub(super) async fn send(&mut self, packets: &Packets) -> io::Result<()> {
        self.sent = 0;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => within(self.connect()).await?,
        };
        match &mut open {
            Open::Datagrams(socket) => {
                send_packets(socket, packets, &mut self.sent).await?;
            }
            Open::Stream(stream) => {
                within(async {
                    stream.write_all(&packets.bytes).await?;
                    stream.flush().await
                })
                .await?;
                self.sent = packets.ends.len();
            }
        }
        self.open = Some(open);
        Ok(())
    }

    async fn connect(&self) -> io::Result<Open> {
        let place = (self.server.host.as_str(), self.server.port);
        match self.server.transport {
            HepTransport::Udp => {
                let mut addresses = tokio::net::lookup_host(place).await?;
                let unknown = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                let address = addresses.next().ok_or_else(unknown)?;
                let any = match address {
                    SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                    SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(address).await?;
                Ok(Open::Datagrams(socket))
            }
            HepTransport::Tcp => {
                let stream = TcpStream::connect(place).await?;
                Ok(Open::Stream(Box::new(stream)))
            }
            HepTransport::Tls => {
                let name = ServerName::try_from(self.server.host.clone());
                let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error));
                let stream = TcpStream::connect(place).await?;
                let connector = TlsConnector::from(self.tls.clone());
                let stream = connector.connect(name?, stream).await?;
                Ok(Open::Stream(Box::new(stream)))
            }
        }
    }
}

/// Sends each packet as a datagram, and counts them.
///
/// The first one goes alone: when it is refused, the next call says so. `sendmmsg` does not tell of
/// an error behind a datagram that it has sent.
async fn send_packets(socket: &UdpSocket, packets: &Packets, sent: &mut usize) -> io::Result<()> {
    let packets: Vec<_> = packets.iter().map(IoSlice::new).collect();
    while let Some(waiting) = packets.get(*sent..).filter(|some| !some.is_empty()) {
        let some = if *sent == 0 { 1 } else { waiting.len() };
        let waiting = waiting.get(..some).unwrap_or(waiting);
        *sent += send_datagrams(socket, waiting).await?;
    }
    Ok(())
}

/// Sends datagrams, as many as the system takes at once; returns how many, which is at least one.
#[cfg(target_os = "linux")]
async fn send_datagrams(socket: &UdpSocket, datagrams: &[IoSlice<'_>]) -> io::Result<usize> {
    let send = || {
        let mut buffers: Vec<_> = datagrams.iter().map(|_| Default::default()).collect();
        let headers = datagrams.chunks(1).zip(&mut buffers);
        let mut headers: Vec<_> = headers
            .map(|(datagram, none)| MMsgHdr::new(datagram, none))
            .collect();
        let sent = rustix::net::sendmmsg(socket, &mut headers, SendFlags::empty());
        sent.map_err(io::Error::from)
    };
    socket.async_io(Interest::WRITABLE, send).await
}

/// The same where the system has no such call.
#[cfg(not(target_os = "linux"))]
async fn send_datagrams(socket: &UdpSocket, datagrams: &[IoSlice<'_>]) -> io::Result<usize> {
    if let Some(datagram) = datagrams.first() {
        socket.send(datagram).await?;
    }
    Ok(1)
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server does not answer",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: usize) -> Packets {
        let bytes = vec![b'x'; count];
        let ends = (1..=count).collect();
        Packets { bytes, ends }
    }

    /// A datagram for a port at which nothing listens is refused on loopback before the next one
    /// is sent, as a rule.
    #[tokio::test]
    async fn a_server_that_is_away_shows_within_a_batch() {
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut seen = Vec::new();
        for _ in 0..100 {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(("127.0.0.1", port)).await.unwrap();
            let mut sent = 0;
            let failed = send_packets(&socket, &packets(20), &mut sent).await;
            if failed.is_err() && sent == 1 {
                return;
            }
            seen.push((failed, sent));
        }
        panic!("{seen:?}");
    }
}
