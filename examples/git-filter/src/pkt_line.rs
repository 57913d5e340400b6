//! Packets as git's pkt-line format has them: four hexadecimal digits, which count themselves and what
//! follows, then the content. `0000` is a flush: the end of a list.

use std::io::{self, Error, ErrorKind, Read, Write};

/// How many bytes a packet can carry.
pub const MOST: usize = 65516;

/// How many bytes say how long a packet is.
const HEADER: usize = 4;

/// What stands between two headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Some bytes, perhaps none.
    Data(Vec<u8>),
    /// The end of a list.
    Flush,
}

/// Reads a packet, or `None` at the end of the input between two packets.
///
/// # Errors
/// `UnexpectedEof` where the input ends within a packet, `InvalidData` where its length is none.
pub fn read(input: &mut impl Read) -> io::Result<Option<Packet>> {
    let mut header = [0; HEADER];
    let mut filled = 0;
    while filled < HEADER {
        match input.read(&mut header[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = match header.iter().all(u8::is_ascii_hexdigit) {
        true => std::str::from_utf8(&header).ok().and_then(|it| usize::from_str_radix(it, 16).ok()),
        false => None,
    };
    match length {
        Some(0) => Ok(Some(Packet::Flush)),
        Some(length @ HEADER..) if length <= HEADER + MOST => {
            let mut data = vec![0; length - HEADER];
            input.read_exact(&mut data)?;
            Ok(Some(Packet::Data(data)))
        }
        _ => {
            let what = format!("{:?} is no packet's length", String::from_utf8_lossy(&header));
            Err(Error::new(ErrorKind::InvalidData, what))
        }
    }
}

/// Reads the lines up to the next flush, without their newlines. `None` where the input ends before the
/// first.
///
/// # Errors
/// Those of [`read`]; `InvalidData` for lines that are no text, or are too many.
pub fn read_lines(input: &mut impl Read) -> io::Result<Option<Vec<String>>> {
    /// git sends some five. A peer that never ends its list must not fill the memory.
    const MOST_LINES: usize = 64;
    let mut lines = Vec::new();
    loop {
        match read(input)? {
            Some(Packet::Flush) => return Ok(Some(lines)),
            Some(Packet::Data(data)) if lines.len() < MOST_LINES => {
                // A path may be no UTF-8, and is only looked at.
                let line = String::from_utf8_lossy(&data).into_owned();
                lines.push(line.strip_suffix('\n').map(str::to_owned).unwrap_or(line));
            }
            Some(Packet::Data(_)) => {
                return Err(Error::new(ErrorKind::InvalidData, "too many lines before a flush"));
            }
            None if lines.is_empty() => return Ok(None),
            None => return Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Writes one packet.
///
/// # Errors
/// Those of `output`.
///
/// # Panics
/// Panics if `data` is longer than [`MOST`].
pub fn write(output: &mut impl Write, data: &[u8]) -> io::Result<()> {
    assert!(data.len() <= MOST, "a packet carries at most {MOST} bytes");
    write!(output, "{:04x}", HEADER + data.len())?;
    output.write_all(data)
}

/// Writes lines, and a flush.
///
/// # Errors
/// Those of `output`.
pub fn write_lines(output: &mut impl Write, lines: &[&str]) -> io::Result<()> {
    for line in lines {
        write(output, format!("{line}\n").as_bytes())?;
    }
    output.write_all(b"0000")
}

/// Writes content in as many packets as it takes, and a flush.
///
/// # Errors
/// Those of `output`.
pub fn write_content(output: &mut impl Write, content: &[u8]) -> io::Result<()> {
    for piece in content.chunks(MOST) {
        write(output, piece)?;
    }
    output.write_all(b"0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(bytes: &[u8]) -> Packet {
        Packet::Data(bytes.to_vec())
    }

    #[test]
    fn packets() {
        let mut input = &b"0006a\n0005b000400000009hello"[..];
        let mut packets = Vec::new();
        while let Some(packet) = read(&mut input).unwrap() {
            packets.push(packet);
        }
        let five = [data(b"a\n"), data(b"b"), data(b""), Packet::Flush, data(b"hello")];
        assert_eq!(packets, five);
    }

    #[test]
    fn what_is_no_packet() {
        let kind = |mut bytes: &[u8]| read(&mut bytes).map_err(|error| error.kind());
        assert_eq!(kind(b""), Ok(None));
        for cut in ["0", "000", "0009", "0009hell"] {
            assert_eq!(kind(cut.as_bytes()), Err(ErrorKind::UnexpectedEof), "{cut}");
        }
        for bad in ["0001", "0003", "fff1aaaa", "+005a", "00 5a", "hello"] {
            assert_eq!(kind(bad.as_bytes()), Err(ErrorKind::InvalidData), "{bad}");
        }
    }

    #[test]
    fn lines() {
        let mut written = Vec::new();
        write_lines(&mut written, &["command=clean", "pathname=a b"]).unwrap();
        assert_eq!(written, b"0012command=clean\n0011pathname=a b\n0000");
        let mut input = &written[..];
        let lines = read_lines(&mut input).unwrap().unwrap();
        assert_eq!(lines, ["command=clean", "pathname=a b"]);
        assert_eq!(read_lines(&mut input).unwrap(), None);
        let cut = read_lines(&mut &written[..written.len() - 4]).unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
        let endless = b"0005a".repeat(1000);
        assert_eq!(read_lines(&mut &endless[..]).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn content_of_any_length() {
        for length in [0, 1, MOST - 1, MOST, MOST + 1, 3 * MOST] {
            let content: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut written = Vec::new();
            write_content(&mut written, &content).unwrap();
            let (mut input, mut read_back) = (&written[..], Vec::new());
            while let Some(Packet::Data(piece)) = read(&mut input).unwrap() {
                assert!(!piece.is_empty(), "no packet without content");
                read_back.extend(piece);
            }
            assert!(read_back == content && input.is_empty(), "{length}");
        }
    }
}
