//! The names of a disk: the kernel's, and multipath's.

/// A disk's WWID as the kernel has it, as multipath has it, and without its type.
///
/// | sysfs | multipath (udev's `ID_SERIAL`; of NVMe, `ID_WWN`) |
/// |---|---|
/// | `naa.X` | `3X` |
/// | `eui.X` of SCSI | `2X` |
/// | `t10.X` | `1X`, with an underscore for a row of spaces |
/// | `nvme.X`, `uuid.X`, `eui.X` of NVMe | the same |
/// | others, such as a SCSI name | the same |
///
/// In some lists the digit of the type is missing; LVM compares without it, and so is it done here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// As multipath has it.
    pub multipath: String,
    kernel: String,
    untyped: Option<String>,
}

const TYPES: [(&str, char); 3] = [("t10.", '1'), ("eui.", '2'), ("naa.", '3')];

impl Names {
    /// `None` for what says nothing.
    pub fn of(wwid: &str) -> Option<Names> {
        let kernel = cleaned(wwid);
        if kernel.is_empty() {
            return None;
        }
        let typed = TYPES.into_iter().find_map(|(prefix, digit)| {
            let id = kernel.strip_prefix(prefix)?;
            (!id.is_empty()).then(|| (format!("{digit}{id}"), id.to_owned()))
        });
        Some(match typed {
            Some((multipath, untyped)) => Names { multipath, kernel, untyped: Some(untyped) },
            None => Names { multipath: kernel.clone(), kernel, untyped: None },
        })
    }

    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.as_written().chain(self.untyped.as_deref())
    }

    /// Those that multipath knows it by.
    pub fn as_written(&self) -> impl Iterator<Item = &str> {
        [&*self.multipath, &*self.kernel].into_iter()
    }
}

/// Without white space around it and what nobody can print, and with an underscore for what white
/// space is in it: for each, or in an id of type t10 for a row.
fn cleaned(wwid: &str) -> String {
    let is_t10 = wwid.trim_start().starts_with("t10");
    let mut out = String::new();
    for char in wwid.trim().chars() {
        match char {
            ' ' if is_t10 && out.ends_with('_') => {}
            ' ' => out.push('_'),
            '"' => {}
            char if char.is_ascii_graphic() => out.push(char),
            _ => {}
        }
    }
    out
}

/// The WWID on a line of the list.
pub(super) fn of_line(line: &str) -> Option<&str> {
    let line = line.trim_end_matches('\r');
    if line.starts_with('#') {
        return None;
    }
    let wwid = line.strip_prefix('/').unwrap_or(line);
    let wwid = wwid.split('/').next().unwrap_or_default();
    (!wwid.trim().is_empty()).then_some(wwid)
}

pub(super) fn without_type(wwid: &str) -> &str {
    let rest = wwid.strip_prefix(['1', '2', '3']);
    rest.filter(|rest| !rest.is_empty()).unwrap_or(wwid)
}
