//! The system ID of this host.

use crate::conf::{self, Settings, SystemIdSource};
use crate::pvscan::Host;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const MACHINE_ID: &str = "/etc/machine-id";
/// An ID is at most 128 bytes; the rest may be comments.
const FILE_MAX: u64 = 64 << 10;

/// By this number systemd tells LVM's use of the machine ID from that of others.
const LVM_APPLICATION: [u8; 16] = 0xf644_0683_2c21_40e8_ac54_22d1_089a_ae03_u128.to_be_bytes();

/// What pvscan has to know of this host.
pub fn host(settings: &Settings) -> Host {
    Host { event_activation: settings.event_activation, system_id: local(&settings.system_id) }
}

/// `None` where there is none, or none that can be read: so does LVM.
pub fn local(source: &SystemIdSource) -> Option<String> {
    match source {
        SystemIdSource::None => None,
        SystemIdSource::Uname => conf::system_id(nix::sys::utsname::uname().ok()?.nodename().as_encoded_bytes()),
        SystemIdSource::MachineId => conf::system_id(read(Path::new(MACHINE_ID)).ok()?.trim_ascii()),
        SystemIdSource::AppMachineId => app_machine_id(read(Path::new(MACHINE_ID)).ok()?.trim_ascii()),
        SystemIdSource::Given(text) => conf::system_id(text),
        SystemIdSource::File(path) => first_line(&read(path).ok()?).and_then(conf::system_id),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The first that is more than a comment.
fn first_line(text: &[u8]) -> Option<&[u8]> {
    let lines = text.split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| line.split(|&byte| byte == b'#').next())
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty())
}

/// `sd_id128_get_machine_app_specific`: an HMAC of the application under the machine's ID, made to
/// look like a random UUID.
fn app_machine_id(machine: &[u8]) -> Option<String> {
    let machine = u128::from_str_radix(std::str::from_utf8(machine).ok()?, 16).ok()?;
    let mut hmac = Hmac::<Sha256>::new_from_slice(&machine.to_be_bytes()).ok()?;
    hmac.update(&LVM_APPLICATION);
    let mut id = [0; 16];
    id.copy_from_slice(&hmac.finalize().into_bytes()[..16]);
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    Some(format!("{:032x}", u128::from_be_bytes(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `lvm systemid` of 2.03.16 printed it on a machine with this ID.
    #[test]
    fn the_machine_id_as_lvm_uses_it() {
        let expected = Some("8904c2aa8c6a4e68973b69d39b56789b".to_owned());
        assert_eq!(app_machine_id(b"3d1219c7c4c5404aaa1f6d2a48adfda4"), expected);
        assert_eq!(app_machine_id(b"none"), None);
    }

    #[test]
    fn a_file_says_it_in_its_first_line() {
        assert_eq!(first_line(b"# c\n\n  my host # c\n second\n"), Some(&b"my host"[..]));
        assert_eq!(first_line(b"  \n#\n"), None);
    }
}
