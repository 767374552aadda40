//! Writes lines of SIP messages (RFC 3261 §7).

use super::StatusCode;

/// The first line of a response.
pub(super) fn status_line(frame: &mut Vec<u8>, status: StatusCode) {
    frame.extend_from_slice(b"SIP/2.0 ");
    number(frame, status.as_u16().into());
    frame.push(b' ');
    line(frame, status.reason_phrase().as_bytes());
}

/// A header with a value that has no line end but those of its continuation lines.
pub(super) fn header(frame: &mut Vec<u8>, name: &str, value: &[u8]) {
    frame.extend_from_slice(name.as_bytes());
    frame.extend_from_slice(b": ");
    line(frame, value);
}

/// The text of a line, and its end.
pub(super) fn line(frame: &mut Vec<u8>, text: &[u8]) {
    frame.extend_from_slice(text);
    frame.extend_from_slice(b"\r\n");
}

/// A number in decimal digits.
pub(super) fn number(frame: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    let mut rest = number;
    loop {
        begin -= 1;
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break frame.extend_from_slice(&digits[begin..]);
        }
    }
}

/// Sixteen hexadecimal digits.
pub(super) fn hex64(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| DIGITS[(number >> (60 - 4 * at)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 7, 10, 4_294_967_295, u64::MAX] {
            let mut text = Vec::new();
            number(&mut text, value);
            assert_eq!(text, value.to_string().as_bytes());
            assert_eq!(hex64(value), *format!("{value:016x}").as_bytes());
        }
    }
}
