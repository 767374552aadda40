//! As much of WebSocket and of SIP as a server needs that trusts what it reads: no folded header
//! fields, no fragments.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;
use sha1::Sha1;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Read at once, with room for many SIP messages.
const ROOM: usize = 16 * 1024;

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

    /// Takes the mask off the payload, which is these bytes.
    fn unmask(&self, payload: &mut [u8]) {
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte ^= self.mask[at & 3];
        }
    }
}

/// What a connection has sent and was not read yet.
pub struct Input(Vec<u8>);

impl Input {
    /// Shakes hands first.
    pub async fn open(stream: &mut TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        shake_hands(stream).await.map(Self)
    }

    /// Hands over the payload of every whole message, and answers pings and keep-alives; false when
    /// the client says goodbye.
    pub fn take(
        &mut self,
        output: &mut Vec<u8>,
        mut read: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> bool {
        let mut taken = 0;
        while let Some(frame) = Frame::parse(&self.0[taken..]) {
            let payload = taken + frame.payload.start..taken + frame.payload.end;
            taken = payload.end;
            let payload = &mut self.0[payload];
            frame.unmask(payload);
            match frame.opcode {
                0x8 => return false,
                0x9 => write_frame(0xA, payload, output),
                0x1 | 0x2 if payload == b"\r\n\r\n" => write_frame(0x1, b"\r\n", output),
                0x1 | 0x2 => read(payload, output),
                _ => {}
            }
        }
        self.0.drain(..taken);
        true
    }

    /// Waits for more; false when there is none.
    pub async fn more(&mut self, stream: &mut TcpStream) -> std::io::Result<bool> {
        self.0.reserve(ROOM);
        Ok(stream.read_buf(&mut self.0).await? > 0)
    }
}

pub fn write_frame(opcode: u8, payload: &[u8], output: &mut Vec<u8>) {
    output.push(0x80 | opcode);
    match u16::try_from(payload.len()).expect("frames are short") {
        length @ 0..=125 => output.push(length as u8),
        length => {
            output.push(126);
            output.extend_from_slice(&length.to_be_bytes());
        }
    }
    output.extend_from_slice(payload);
}

/// Writes the 200 to a request: what RFC 3261 §8.2.6.2 says to copy, and a REGISTER's bindings.
pub fn write_answer(request: &[u8], output: &mut Vec<u8>) {
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
