//! The cheapest SIP server that still is one: it takes every REGISTER and answers every MESSAGE
//! 200, over WebSocket and over UDP on one port of loopback.
//!
//! It exists so that a benchmark measures the gateway and not its server. It answers all that one
//! read brought with one write, trusts what it reads (no folded header fields, no fragments), and
//! forgets everything at once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a tool for benchmarks that ends with its reason"
)]

#[path = "../wire.rs"]
mod wire;

use std::net::UdpSocket;
use std::thread;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use wire::Input;
use wire::write_answer;
use wire::write_frame;

/// Larger than any SIP message a benchmark sends, with room for many of them.
const BUFFER: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let udp = UdpSocket::bind(address).expect("the UDP port of the same number is free");
    thread::spawn(move || serve_udp(&udp));
    println!("listening on {}", address.port());

    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            // The client went away: its matter.
            drop(serve_websocket(stream).await);
        });
    }
}

fn serve_udp(socket: &UdpSocket) {
    let mut buffer = vec![0; BUFFER];
    let mut answer = Vec::new();
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        answer.clear();
        write_answer(&buffer[..length], &mut answer);
        drop(socket.send_to(&answer, from));
    }
}

async fn serve_websocket(mut stream: TcpStream) -> std::io::Result<()> {
    let mut input = Input::open(&mut stream).await?;
    let mut output = Vec::with_capacity(BUFFER);
    let mut sip = Vec::new();
    loop {
        let goes_on = input.take(&mut output, |request, output| {
            sip.clear();
            write_answer(request, &mut sip);
            write_frame(0x1, &sip, output);
        });
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        if !goes_on || !input.more(&mut stream).await? {
            return Ok(());
        }
    }
}
