//! The name of the transient unit that activates a VG.

use crate::id::Id;
use std::fmt::Write;

/// `UNIT_NAME_MAX` of systemd, without the NUL.
const MAX: usize = 255;

/// `lvm-activate-VG.service`, as `systemd-run` makes it of what LVM's own rule says; of a VG whose
/// name would be too long so, by its id.
pub fn name(vg: &[u8], vgid: Id) -> String {
    let name = format!("lvm-activate-{}.service", escape(vg));
    if name.len() <= MAX { name } else { format!("lvm-activate-{}.service", escape(&vgid.0)) }
}

/// The same unit as one names it to `systemd-run`, which escapes it itself.
pub fn unescaped(vg: &[u8], vgid: Id) -> String {
    let is_too_long = name(vg, vgid) != format!("lvm-activate-{}.service", escape(vg));
    format!("lvm-activate-{}.service", String::from_utf8_lossy(if is_too_long { &vgid.0 } else { vg }))
}

/// What can be in no unit's name is escaped, and nothing else: a hyphen stays. No two names of VGs
/// become one, since none has a backslash.
fn escape(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b':' | b'_' | b'.' | b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(*byte)),
            _ => write!(out, "\\x{byte:02x}").expect("a String takes every write"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const VGID: Id = Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4H#");

    #[test]
    fn names() {
        for (vg, expected) in [
            ("vg0", "lvm-activate-vg0.service"),
            ("vg.0_A", "lvm-activate-vg.0_A.service"),
            (".vg", "lvm-activate-.vg.service"),
            ("a+b-c", r"lvm-activate-a\x2bb-c.service"),
        ] {
            assert_eq!(name(vg.as_bytes(), VGID), expected);
        }
        assert_eq!(name(&[b'a'; 127], VGID).len(), 13 + 127 + 8);
        assert_eq!(name(&[b'+'; 127], VGID), r"lvm-activate-GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4H\x23.service");
        assert!(name(&[b'+'; 58], VGID).contains("2b") && name(&[b'+'; 58], VGID).len() <= MAX);
        assert!(name(&[b'+'; 59], VGID).contains("GpJ7"));
        assert_eq!(unescaped(b"a+b-c", VGID), "lvm-activate-a+b-c.service");
        assert_eq!(unescaped(&[b'+'; 59], VGID), "lvm-activate-GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4H#.service");
    }

    #[test]
    fn systemd_escapes_so() {
        for vg in ["vg0", ".a.b", "a-b", "a+b", "+", "A_b-C+d.e", "x--y", "!#"] {
            let given = format!("lvm-activate-{vg}.service");
            let Ok(run) = Command::new("systemd-escape").args(["--mangle", "--", &given]).output() else {
                return println!("skipped: systemd_escapes_so: there is no systemd-escape");
            };
            let mangled = String::from_utf8(run.stdout).unwrap();
            assert_eq!(name(vg.as_bytes(), VGID), mangled.trim_end());
        }
    }
}
