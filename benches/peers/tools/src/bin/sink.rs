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

use std::net::UdpSocket;
use std::ops::Range;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;
use sha1::Sha1;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

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
            for (at, byte) in payload.iter_mut().enumerate() {
                *byte ^= frame.mask[at & 3];
            }
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

/// The opening handshake (RFC 6455 §4.2.2); gives what the client sent after it.
async fn shake_hands(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut input = Vec::with_capacity(1024);
    let end = loop {
        if let Some(at) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let key = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map_or("", |(_, value)| value.trim());
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = STANDARD.encode(digest);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    input.drain(..end);
    Ok(input)
}

/// A whole masked frame at the start of a buffer (RFC 6455 §5.2).
struct Frame {
    opcode: u8,
    mask: [u8; 4],
    payload: Range<usize>,
}

impl Frame {
    fn parse(input: &[u8]) -> Option<Self> {
        let (&first, &second) = (input.first()?, input.get(1)?);
        let (length, mask_at) = match second & 0x7F {
            126 => {
                let length = input.get(2..4)?.try_into().ok()?;
                (usize::from(u16::from_be_bytes(length)), 4)
            }
            127 => {
                let length = input.get(2..10)?.try_into().ok()?;
                (usize::try_from(u64::from_be_bytes(length)).ok()?, 10)
            }
            length => (usize::from(length), 2),
        };
        let start = mask_at + 4;
        let payload = start..start + length;
        input.get(payload.clone())?;
        Some(Self {
            opcode: first & 0x0F,
            mask: input[mask_at..start].try_into().ok()?,
            payload,
        })
    }
}

fn write_frame(opcode: u8, payload: &[u8], output: &mut Vec<u8>) {
    output.push(0x80 | opcode);
    match u16::try_from(payload.len()).expect("answers are short") {
        length @ 0..=125 => output.push(length as u8),
        length => {
            output.push(126);
            output.extend_from_slice(&length.to_be_bytes());
        }
    }
    output.extend_from_slice(payload);
}

/// Writes the 200 to a request: what RFC 3261 §8.2.6.2 says to copy, and a REGISTER's bindings.
fn write_answer(request: &[u8], output: &mut Vec<u8>) {
    let registers = request.starts_with(b"REGISTER");
    output.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    for line in request.split(|&byte| byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            break;
        };
        match line[..colon]
            .trim_ascii_end()
            .to_ascii_lowercase()
            .as_slice()
        {
            b"via" | b"v" | b"from" | b"f" | b"call-id" | b"i" | b"cseq" => {
                output.extend_from_slice(line);
            }
            b"to" | b"t" => {
                output.extend_from_slice(line);
                output.extend_from_slice(b";tag=sink");
            }
            b"contact" | b"m" if registers => {
                output.extend_from_slice(line);
                if !line.windows(9).any(|nine| nine == b";expires=") {
                    output.extend_from_slice(b";expires=3600");
                }
            }
            _ => continue,
        }
        output.extend_from_slice(b"\r\n");
    }
    output.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}
