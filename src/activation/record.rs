//! What cannot be computed again, in `pvwatch/state_dir` (`/run/pvwatch`):
//!
//! | file | content | meaning |
//! |---|---|---|
//! | `boot` | the kernel's boot id | all else here is of that boot, and counts for nothing in another |
//! | `offered/` | | a daemon has been in charge in this boot |
//! | `left` | | somebody else has been since |
//! | `offered/VGID` | `vg:NAME`, `at:SECONDS` since boot, a line each | the VG was offered; VGID without hyphens |
//! | `inhibited/VG` | `until:SECONDS` since boot, or `until:lifted` | the VG of this name is not to be activated |

use crate::id::Id;
use crate::metadata::is_valid_name;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub vgid: Id,
    /// Empty if what is written down does not say.
    pub name: Vec<u8>,
    /// Since the host was booted.
    pub at: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhibit {
    /// A name that LVM allows.
    pub vg: Vec<u8>,
    /// Since the host was booted; `None`: until it is lifted.
    pub until: Option<Duration>,
}

const LIFTED: &[u8] = b"lifted";

impl Offered {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = b"vg:".to_vec();
        out.extend_from_slice(&self.name);
        out.extend_from_slice(format!("\nat:{}\n", seconds(self.at)).as_bytes());
        out
    }

    /// A file of this name with this content. That it is there says that the VG was offered, whatever
    /// is in it.
    pub fn parse(vgid: Id, bytes: &[u8]) -> Offered {
        let name = field(bytes, b"vg:").filter(|name| is_valid_name(name)).unwrap_or_default();
        let at = field(bytes, b"at:").and_then(parse_seconds).unwrap_or_default();
        Offered { vgid, name: name.to_vec(), at }
    }
}

impl Inhibit {
    pub fn encode(&self) -> Vec<u8> {
        match self.until {
            None => b"until:lifted\n".to_vec(),
            Some(until) => format!("until:{}\n", seconds(until)).into_bytes(),
        }
    }

    /// One that cannot be understood holds until it is lifted: somebody has put it there.
    pub fn parse(vg: &[u8], bytes: &[u8]) -> Option<Inhibit> {
        let until = field(bytes, b"until:").filter(|until| *until != LIFTED).and_then(parse_seconds);
        is_valid_name(vg).then(|| Inhibit { vg: vg.to_vec(), until })
    }
}

fn field<'b>(bytes: &'b [u8], prefix: &[u8]) -> Option<&'b [u8]> {
    bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(prefix))
}

fn seconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}

/// Digits, and perhaps a point and more of them.
fn parse_seconds(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse::<f64>().ok().filter(|_| is_plain)?;
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    // What a floating point number makes of milliseconds.
    Duration::from_nanos(500_000)
        .checked_add(duration)
        .map(|rounded| Duration::new(rounded.as_secs(), rounded.subsec_millis().saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VGID: Id = Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS");

    #[test]
    fn what_is_written_is_read() {
        for millis in [0, 1, 999, 1000, 12_345, 31_536_000_000, 31_536_000_001] {
            let at = Duration::from_millis(millis);
            let offered = Offered { vgid: VGID, name: b"vg+0".to_vec(), at };
            assert_eq!(Offered::parse(VGID, &offered.encode()), offered);
            let inhibit = Inhibit { vg: b"vg.0".to_vec(), until: Some(at) };
            assert_eq!(Inhibit::parse(b"vg.0", &inhibit.encode()), Some(inhibit));
        }
        let offered = Offered { vgid: VGID, name: b"vg0".to_vec(), at: Duration::from_millis(12_340) };
        assert_eq!(offered.encode(), b"vg:vg0\nat:12.340\n");
        let lifted = Inhibit { vg: b"vg0".to_vec(), until: None };
        assert_eq!(lifted.encode(), b"until:lifted\n");
        assert_eq!(Inhibit::parse(b"vg0", b"until:lifted\n"), Some(lifted));
    }

    #[test]
    fn what_is_damaged() {
        let at = |bytes: &[u8]| Offered::parse(VGID, bytes).at;
        assert_eq!(at(b"vg:vg0\n"), Duration::ZERO);
        assert_eq!(at(b"at:5\nvg:vg0"), Duration::from_secs(5));
        for bad in
            [&b"vg:vg0\nat:-1\n"[..], b"vg:vg0\nat:1e9\n", b"vg:vg0\nat:99999999999999999999999\n", b"vg:a\nat:.\n"]
        {
            assert_eq!(at(bad), Duration::ZERO, "{}", bad.escape_ascii());
        }
        for bad in [&b""[..], b"vg:../x\n", b"vg:\n", b"\xff\0"] {
            assert_eq!(Offered::parse(VGID, bad).name, b"", "{}", bad.escape_ascii());
        }
        for bad in [&b""[..], b"until:soon", b"until:-5", b"until:nan", b"\0"] {
            let expected = Some(Inhibit { vg: b"vg0".to_vec(), until: None });
            assert_eq!(Inhibit::parse(b"vg0", bad), expected, "{}", bad.escape_ascii());
        }
        assert_eq!(Inhibit::parse(b"../vg0", b"until:lifted"), None);
    }
}
