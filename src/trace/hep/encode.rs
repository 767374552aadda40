//! A frame as a packet of HEP3, the encapsulation of Homer: a head, then chunks.
//!
//! | chunk  | holds                                                            |
//! |--------|------------------------------------------------------------------|
//! | 0x0001 | the family of the addresses: 2 for IPv4, 10 for IPv6             |
//! | 0x0002 | the protocol that carried the frame: 6, TCP                      |
//! | 0x0003 to 0x0006 | the addresses it came from and went to                 |
//! | 0x0007, 0x0008 | the ports                                                |
//! | 0x0009, 0x000a | seconds since 1970, and microseconds                     |
//! | 0x000b | what the payload is: 1, SIP                                      |
//! | 0x000c | the capture id                                                   |
//! | 0x000e | the password, where there is one                                 |
//! | 0x000f | the payload                                                      |
//! | 0x0011 | the correlation id: the message's, where there is one            |
//! | 0x0013 | the name of this node, where it has one                          |

use std::net::IpAddr;

use crate::message::{Frame, MessageId};

const MAGIC: &[u8; 4] = b"HEP3";
/// Chunks that every program knows.
const GENERIC: u16 = 0;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;
const SIP: u8 = 1;

/// What every packet of this gateway says.
#[derive(Clone, Debug, Default)]
pub(super) struct HepIdentity {
    pub(super) capture_id: u32,
    pub(super) node: String,
    /// Empty when there is none.
    pub(super) password: Vec<u8>,
}

/// The frame does not fit: a packet has 65 535 bytes at most, with its head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooLarge;

impl HepIdentity {
    /// Appends the packet of a frame; nothing when it is too large.
    pub(super) fn encode(
        &self,
        frame: &Frame,
        correlation: Option<MessageId>,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        let begin = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 2]);
        addresses(frame, out);
        let part = |value: i64| u32::try_from(value).unwrap_or_default();
        let seconds = part(frame.micros.div_euclid(1_000_000));
        let micros = part(frame.micros.rem_euclid(1_000_000));
        chunk(0x0009, &seconds.to_be_bytes(), out);
        chunk(0x000a, &micros.to_be_bytes(), out);
        chunk(0x000b, &[SIP], out);
        chunk(0x000c, &self.capture_id.to_be_bytes(), out);
        if !self.password.is_empty() {
            chunk(0x000e, &self.password, out);
        }
        if let Some(id) = correlation {
            chunk(0x0011, id.to_string().as_bytes(), out);
        }
        if !self.node.is_empty() {
            chunk(0x0013, self.node.as_bytes(), out);
        }
        chunk(0x000f, &frame.bytes, out);
        let Ok(length) = u16::try_from(out.len() - begin) else {
            out.truncate(begin);
            return Err(TooLarge);
        };
        out[begin + 4..begin + 6].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

fn addresses(frame: &Frame, out: &mut Vec<u8>) {
    let (from, to) = frame.way();
    match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            chunk(0x0001, &[IPV4], out);
            chunk(0x0002, &[TCP], out);
            chunk(0x0003, &source.octets(), out);
            chunk(0x0004, &destination.octets(), out);
        }
        (source, destination) => {
            chunk(0x0001, &[IPV6], out);
            chunk(0x0002, &[TCP], out);
            chunk(0x0005, &wide(source), out);
            chunk(0x0006, &wide(destination), out);
        }
    }
    chunk(0x0007, &from.port().to_be_bytes(), out);
    chunk(0x0008, &to.port().to_be_bytes(), out);
}

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// A length that does not fit belongs to a packet that does not.
fn chunk(kind: u16, value: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(6 + value.len()).unwrap_or(u16::MAX);
    for number in [GENERIC, kind, length] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::frame::tests::raw;
    use super::super::decode::{Packet, decode};
    use super::*;
    use crate::message::Direction;

    fn id() -> MessageId {
        "0193a3b0-0000-7000-8000-000000000001".parse().unwrap()
    }

    /// Byte by byte, as the specification of HEP3 has it (revision 36, of 2017).
    #[test]
    fn a_frame_over_ipv4_is_these_bytes() {
        let sender = HepIdentity {
            capture_id: 2001,
            node: "edge-1".to_owned(),
            password: b"myHep".to_vec(),
        };
        let mut out = Vec::new();
        let frame = raw(Direction::Sent, 1_700_000_000_000_007, "SIP");
        sender
            .encode(&frame.masked(true), Some(id()), &mut out)
            .unwrap();
        #[rustfmt::skip]
        let expected = [
            b"HEP3\x00\xa7".as_slice(),
            b"\x00\x00\x00\x01\x00\x07\x02",
            b"\x00\x00\x00\x02\x00\x07\x06",
            b"\x00\x00\x00\x03\x00\x0a\x7f\x00\x00\x01",
            b"\x00\x00\x00\x04\x00\x0a\x7f\x00\x00\x01",
            b"\x00\x00\x00\x07\x00\x08\x9d\x78",
            b"\x00\x00\x00\x08\x00\x08\x13\xc6",
            b"\x00\x00\x00\x09\x00\x0a\x65\x53\xf1\x00",
            b"\x00\x00\x00\x0a\x00\x0a\x00\x00\x00\x07",
            b"\x00\x00\x00\x0b\x00\x07\x01",
            b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07\xd1",
            b"\x00\x00\x00\x0e\x00\x0bmyHep",
            b"\x00\x00\x00\x11\x00\x2a0193a3b0-0000-7000-8000-000000000001",
            b"\x00\x00\x00\x13\x00\x0cedge-1",
            b"\x00\x00\x00\x0f\x00\x09***",
        ]
        .concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn a_frame_that_comes_in_over_ipv6_has_the_addresses_the_other_way_round() {
        let mut frame = raw(Direction::Received, 0, "").masked(true);
        frame.local = "[2001:db8::1]:40312".parse().unwrap();
        frame.remote = "[2001:db8::2]:443".parse().unwrap();
        let mut out = Vec::new();
        HepIdentity::default()
            .encode(&frame, None, &mut out)
            .unwrap();
        let packet = decode(&out).unwrap();
        assert_eq!(packet.source, frame.remote);
        assert_eq!(packet.destination, frame.local);
        assert_eq!(
            (packet.node, packet.password, packet.correlation),
            (None, None, None)
        );
    }

    #[test]
    fn what_no_packet_has_room_for_is_left_out_whole() {
        let sender = HepIdentity::default();
        let mut frame = raw(Direction::Sent, 0, "").masked(true);
        let mut out = b"before".to_vec();
        sender.encode(&frame, None, &mut out).unwrap();
        let room = usize::from(u16::MAX) - (out.len() - 6);
        frame.bytes = vec![b'a'; room].into();
        out.truncate(6);
        assert_eq!(sender.encode(&frame, None, &mut out), Ok(()));
        assert_eq!(out.len() - 6, usize::from(u16::MAX));
        frame.bytes = vec![b'a'; room + 1].into();
        assert_eq!(sender.encode(&frame, None, &mut out), Err(TooLarge));
        assert_eq!(out.len() - 6, usize::from(u16::MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(
            micros in 0_i64..4_000_000_000_000_000,
            capture_id: u32,
            is_sent: bool,
            node in "[a-z0-9-]{0,20}",
            password in proptest::collection::vec(any::<u8>(), 0..20),
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
            has_message: bool,
        ) {
            let direction = if is_sent { Direction::Sent } else { Direction::Received };
            let mut frame = raw(direction, micros, "").masked(true);
            frame.bytes = bytes.clone().into();
            let sender = HepIdentity { capture_id, node: node.clone(), password: password.clone() };
            let mut out = Vec::new();
            sender.encode(&frame, has_message.then(id), &mut out).unwrap();
            let (source, destination) = frame.way();
            prop_assert_eq!(decode(&out), Some(Packet {
                source,
                destination,
                protocol: TCP,
                micros,
                kind: SIP,
                capture_id,
                password: (!password.is_empty()).then_some(password),
                correlation: has_message.then(|| id().to_string()),
                node: (!node.is_empty()).then_some(node),
                payload: bytes,
            }));
        }
    }
}
