//! The way to a HEP server: a UDP socket, or a connection over TCP or TLS. It is opened when it is
//! needed.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
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
                for packet in packets.iter() {
                    socket.send(packet).await?;
                    self.sent += 1;
                }
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

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server does not answer",
        )),
    }
}
