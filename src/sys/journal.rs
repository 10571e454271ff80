//! The journal's own protocol: one datagram an entry. No crate does this without waiting for a
//! journal that stands still, and udev waits for us.

use std::io;
use std::os::unix::net::UnixDatagram;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends an entry of these fields. Where there is no journal, or it does not listen, nothing
/// is lost but the entry.
pub fn send(fields: &[(&str, &str)]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(&encode(fields), SOCKET).map(drop)
}

/// A field with a line end in it has its length before it.
fn encode(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            out.push(b'\n');
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_lines_or_have_a_length() {
        let encoded = encode(&[("MESSAGE", "PV online."), ("MORE", "a\nb")]);
        assert_eq!(encoded, b"MESSAGE=PV online.\nMORE\n\x03\0\0\0\0\0\0\0a\nb\n");
    }
}
