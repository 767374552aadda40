//! A trace as a capture file of tcpdump (`application/vnd.tcpdump.pcap`).
//!
//! The frames were WebSocket messages over TCP, mostly under TLS: what of it is SIP is shown as one
//! UDP datagram each, with the addresses and ports of the connection. Wireshark and tshark find SIP
//! in a datagram whatever its ports are; in a TCP segment from port 80 they look for HTTP.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use etherparse::err::packet::BuildWriteError;

use crate::message::Frame;

/// Microseconds, in the byte order of the numbers that follow.
const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: [u16; 2] = [2, 4];
/// Packets begin with the IP header.
const LINK_TYPE_RAW: u32 = 101;
const SNAP_LENGTH: u32 = 262_144;
const HOPS: u8 = 64;
/// A datagram has a length of 16 bits, with the headers of UDP and, in IPv4, of IP. What of a frame
/// is longer is left out.
const MAX_PAYLOAD: usize = 65_535 - 8 - 20;

/// Writes the frames.
pub fn write(frames: &[Frame]) -> Vec<u8> {
    let bytes: usize = frames.iter().map(|frame| frame.bytes.len() + 64).sum();
    let mut out = Vec::with_capacity(24 + bytes);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend(VERSION.iter().flat_map(|part| part.to_le_bytes()));
    // The time zone and the accuracy of times: no program writes anything else.
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&SNAP_LENGTH.to_le_bytes());
    out.extend_from_slice(&LINK_TYPE_RAW.to_le_bytes());
    let mut packet = Vec::new();
    for frame in frames {
        packet.clear();
        if datagram(frame, &mut packet).is_ok() {
            record(frame.micros, &packet, &mut out);
        }
    }
    out
}

fn record(micros: i64, packet: &[u8], out: &mut Vec<u8>) {
    let part = |value: i64| u32::try_from(value).unwrap_or_default();
    let length = u32::try_from(packet.len()).unwrap_or_default();
    let seconds = part(micros.div_euclid(1_000_000));
    for number in [seconds, part(micros.rem_euclid(1_000_000)), length, length] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(packet);
}

/// The error cannot happen: the payload fits, and a `Vec` takes all that is written.
fn datagram(frame: &Frame, packet: &mut Vec<u8>) -> Result<(), BuildWriteError> {
    let (from, to) = frame.way();
    let payload = &frame.bytes[..frame.bytes.len().min(MAX_PAYLOAD)];
    let builder = match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            PacketBuilder::ipv4(source.octets(), destination.octets(), HOPS)
        }
        (source, destination) => PacketBuilder::ipv6(wide(source), wide(destination), HOPS),
    };
    let (source, destination) = (SocketAddr::port(&from), SocketAddr::port(&to));
    builder.udp(source, destination).write(packet, payload)
}

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::super::frame::tests::raw;
    use super::*;
    use crate::message::Direction;

    #[test]
    fn a_frame_is_a_datagram_between_the_ends_of_its_connection() {
        let sent = raw(
            Direction::Sent,
            1_700_000_000_000_007,
            "OPTIONS sip:a SIP/2.0\r\n\r\n",
        );
        let mut large = raw(Direction::Received, 1_700_000_001_000_000, "").masked(true);
        large.local = "[2001:db8::1]:40312".parse().unwrap();
        large.remote = "[2001:db8::2]:443".parse().unwrap();
        large.bytes = vec![b'a'; 100_000].into();
        let file = write(&[sent.masked(true), large]);
        assert_eq!(
            file[..24],
            [
                &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
                &[0, 0, 4, 0, 101, 0, 0, 0][..]
            ]
            .concat()
        );
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        assert_eq!((number(24), number(28)), (1_700_000_000, 7));
        let length = number(32) as usize;
        assert_eq!(number(36) as usize, length);
        let packet = SlicedPacket::from_ip(&file[40..40 + length]).unwrap();
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) =
            (&packet.net, &packet.transport)
        else {
            panic!("{packet:?}");
        };
        assert_eq!(ip.header().source_addr().to_string(), "127.0.0.1");
        assert_eq!((udp.source_port(), udp.destination_port()), (40312, 5062));
        assert_eq!(udp.payload(), b"OPTIONS sip:a SIP/2.0\r\n\r\n");

        let rest = &file[40 + length + 16..];
        let packet = SlicedPacket::from_ip(rest).unwrap();
        let Some(TransportSlice::Udp(udp)) = &packet.transport else {
            panic!("{packet:?}");
        };
        assert_eq!((udp.source_port(), udp.destination_port()), (443, 40312));
        assert_eq!(udp.payload().len(), MAX_PAYLOAD);
    }
}
