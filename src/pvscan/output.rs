//! How it is said: in LVM's form, in udev's, and to the journal.

use super::{Line, Request};

/// What is written where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub journal: Vec<Entry>,
}

/// An entry of the journal: a syslog priority and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub priority: u8,
    pub message: String,
}

/// Syslog's, as LVM gives them.
const ERROR: u8 = 3;
const NORMAL: u8 = 4;

/// Udev takes all lines or, if one is of another kind, none; so with `--udevoutput` it gets only
/// its own. What is wrong is on standard error in any case.
pub fn render(request: &Request, lines: &[Line], pid: u32) -> Output {
    let mut out = Output::default();
    for line in lines {
        let (priority, text) = match line {
            Line::Udev(text) => {
                out.stdout.push_str(&format!("{text}\n"));
                continue;
            }
            Line::Message(text) => {
                if !request.udev_output {
                    out.stdout.push_str(&format!("  pvscan[{pid}] {text}\n"));
                }
                (NORMAL, text)
            }
            Line::Report(text) => {
                if !request.udev_output {
                    out.stdout.push_str(&format!("  {text}\n"));
                }
                (NORMAL, text)
            }
            Line::Warning(text) => {
                out.stderr.push_str(&format!("  WARNING: {text}\n"));
                (NORMAL, text)
            }
            Line::Error(text) => {
                out.stderr.push_str(&format!("  pvscan[{pid}] {text}\n"));
                (ERROR, text)
            }
        };
        if request.journal.output {
            out.journal.push(Entry { priority, message: text.clone() });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pvscan::Journal;

    #[test]
    fn each_line_has_its_place() {
        let lines = [
            Line::Message("PV /dev/x online.".into()),
            Line::Report("VG v".into()),
            Line::Udev("KEY='v'".into()),
            Line::Warning("odd".into()),
            Line::Error("bad".into()),
        ];
        let plain = render(&Request::default(), &lines, 7);
        assert_eq!(plain.stdout, "  pvscan[7] PV /dev/x online.\n  VG v\nKEY='v'\n");
        assert_eq!((plain.stderr.as_str(), &plain.journal[..]), ("  WARNING: odd\n  pvscan[7] bad\n", &[][..]));
        let journal = Journal { output: true, command: false };
        let udev = render(&Request { udev_output: true, journal, ..Request::default() }, &lines, 7);
        assert_eq!((udev.stdout.as_str(), udev.stderr), ("KEY='v'\n", plain.stderr));
        let entries = udev.journal.iter().map(|entry| (entry.priority, entry.message.as_str())).collect::<Vec<_>>();
        assert_eq!(entries, [(4, "PV /dev/x online."), (4, "VG v"), (4, "odd"), (3, "bad")]);
    }
}
