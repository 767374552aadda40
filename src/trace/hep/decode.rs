//! Reads packets of HEP3: what the tests hold the encoding against.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// What a packet says.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) protocol: u8,
    pub(crate) micros: i64,
    pub(crate) kind: u8,
    pub(crate) capture_id: u32,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) correlation: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) payload: Vec<u8>,
}

/// The packet that these bytes are, all of them.
pub(crate) fn decode(bytes: &[u8]) -> Option<Packet> {
    let mut rest = bytes.strip_prefix(b"HEP3")?;
    let length = u16::from_be_bytes(take(&mut rest)?);
    if usize::from(length) != bytes.len() {
        return None;
    }
    let mut chunks: HashMap<u16, &[u8]> = HashMap::new();
    while !rest.is_empty() {
        let [vendor, kind, length] =
            [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?].map(u16::from_be_bytes);
        let (value, after) = rest.split_at_checked(usize::from(length).checked_sub(6)?)?;
        let is_new = chunks.insert(kind, value).is_none();
        if vendor != 0 || !is_new {
            return None;
        }
        rest = after;
    }
    let number = |kind: u16| Some(u32::from_be_bytes((*chunks.get(&kind)?).try_into().ok()?));
    let short = |kind: u16| Some(u16::from_be_bytes((*chunks.get(&kind)?).try_into().ok()?));
    let address = |v4: u16, v6: u16| match **chunks.get(&0x0001)? {
        [2] => <[u8; 4]>::try_from(*chunks.get(&v4)?)
            .ok()
            .map(IpAddr::from),
        [10] => <[u8; 16]>::try_from(*chunks.get(&v6)?)
            .ok()
            .map(IpAddr::from),
        _ => None,
    };
    let text = |kind| String::from_utf8(chunks.get(&kind)?.to_vec()).ok();
    let seconds = i64::from(number(0x0009)?);
    Some(Packet {
        source: SocketAddr::new(address(0x0003, 0x0005)?, short(0x0007)?),
        destination: SocketAddr::new(address(0x0004, 0x0006)?, short(0x0008)?),
        protocol: *chunks.get(&0x0002)?.first()?,
        micros: seconds * 1_000_000 + i64::from(number(0x000a)?),
        kind: *chunks.get(&0x000b)?.first()?,
        capture_id: number(0x000c)?,
        password: chunks.get(&0x000e).map(|value| value.to_vec()),
        correlation: text(0x0011),
        node: text(0x0013),
        payload: chunks.get(&0x000f)?.to_vec(),
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}
