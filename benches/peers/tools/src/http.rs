//! As much of HTTP as looking at a gateway takes.

use std::net::SocketAddr;

use anyhow::Context;
use anyhow::Result;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The body of what is at this path.
pub async fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer)?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("no answer at {path}"))?;
    Ok(body.to_owned())
}

/// What the metrics of a gateway say under this name, with its labels.
pub async fn metric(address: SocketAddr, name: &str) -> Result<u64> {
    let metrics = get(address, "/metrics").await?;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.map_or(Ok(0), str::parse)?)
}
