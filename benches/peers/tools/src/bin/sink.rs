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

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use wire::Frame;
use wire::shake_hands;
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
    stream.set_nodelay(true)?;
    let mut input = shake_hands(&mut stream).await?;
    let mut output = Vec::with_capacity(BUFFER);
    let mut sip = Vec::new();
    loop {
        let mut taken = 0;
        while let Some(frame) = Frame::parse(&input[taken..]) {
            let payload = taken + frame.payload.start..taken + frame.payload.end;
            taken = payload.end;
            let payload = &mut input[payload];
            frame.unmask(payload);
            match frame.opcode {
                0x8 => return Ok(()),
                0x9 => write_frame(0xA, payload, &mut output),
                0x1 | 0x2 if payload == b"\r\n\r\n" => write_frame(0x1, b"\r\n", &mut output),
                0x1 | 0x2 => {
                    sip.clear();
                    write_answer(payload, &mut sip);
                    write_frame(0x1, &sip, &mut output);
                }
                _ => {}
            }
        }
        input.drain(..taken);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        input.reserve(BUFFER / 4);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}
