//! What clients may take of the daemon.

use super::{Error, seconds};
use crate::protocol::frame::MESSAGE_MAX;
use crate::text::Section;
use std::time::Duration;

/// Who is over one of these gets an error or is closed, and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// `pvwatch/clients_max`: connections to lvmetad's socket. Each takes a descriptor, and little else
    /// while it is silent.
    pub clients: usize,
    /// `pvwatch/report_clients_max`: connections to the socket for reports. Whoever may only read keeps
    /// nobody out who may do more.
    pub report_clients: usize,
    /// `pvwatch/report_clients_per_user`: of those, connections of one user; root's are not counted.
    pub report_clients_per_user: usize,
    /// `pvwatch/message_max`, bytes: the longest message of lvmetad's protocol.
    pub message: usize,
    /// `pvwatch/buffered_max`, bytes: all unfinished messages together.
    pub buffered: usize,
    /// `pvwatch/unread_max`, bytes: all replies together that nobody takes. One is always kept.
    pub unread: usize,
    /// `pvwatch/stalled_max`, seconds: how long half a message, or a reply not taken, may stand still.
    pub stalled: Duration,
}

const CLIENTS_MAX: usize = 1_000_000;
const BYTES_MIN: usize = 64 << 10;
const BYTES_MAX: usize = 2 << 30;

impl ClientLimits {
    pub(super) fn read(conf: &Section) -> Result<ClientLimits, Error> {
        let default = ClientLimits::default();
        let clients = |setting, default| number(conf, setting, default, 1, CLIENTS_MAX, "a number from 1 to 1000000");
        let bytes = |setting, default| {
            number(conf, setting, default, BYTES_MIN, BYTES_MAX, "a number of bytes, from 64 KiB to 2 GiB")
        };
        Ok(ClientLimits {
            clients: clients("pvwatch/clients_max", default.clients)?,
            report_clients: clients("pvwatch/report_clients_max", default.report_clients)?,
            report_clients_per_user: clients("pvwatch/report_clients_per_user", default.report_clients_per_user)?,
            message: bytes("pvwatch/message_max", default.message)?,
            buffered: bytes("pvwatch/buffered_max", default.buffered)?,
            unread: bytes("pvwatch/unread_max", default.unread)?,
            stalled: seconds(conf, "pvwatch/stalled_max", 1)?.unwrap_or(default.stalled),
        })
    }

    /// What of it that many descriptors are enough for, besides those that are needed for all else.
    pub fn within(self, descriptors: u64) -> ClientLimits {
        let for_clients = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_BESIDES).max(1);
        let report_clients = self.report_clients.min(for_clients / REPORT_CLIENTS_SHARE);
        ClientLimits { clients: self.clients.min(for_clients - report_clients), report_clients, ..self }
    }

    /// How many descriptors are enough for all of it.
    pub fn descriptors(&self) -> u64 {
        // Its share must be enough for the second kind, too.
        let clients =
            (self.clients + self.report_clients).max(self.report_clients.saturating_mul(REPORT_CLIENTS_SHARE));
        u64::try_from(clients + DESCRIPTORS_BESIDES).unwrap_or(u64::MAX)
    }
}

/// For readers, activations, the kernel's sources of events and files that are open for a moment.
const DESCRIPTORS_BESIDES: usize = 256;
/// Who only reads gets one in so many, if there are not enough for all.
const REPORT_CLIENTS_SHARE: usize = 4;

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits {
            clients: 10_000,
            report_clients: 2048,
            report_clients_per_user: 512,
            message: MESSAGE_MAX,
            buffered: 256 << 20,
            unread: 256 << 20,
            stalled: Duration::from_secs(60),
        }
    }
}

fn number(
    conf: &Section,
    setting: &'static str,
    default: usize,
    least: usize,
    most: usize,
    expected: &'static str,
) -> Result<usize, Error> {
    let value = conf.int(setting).and_then(|value| usize::try_from(value).ok());
    match (conf.item(setting), value) {
        (None, _) => Ok(default),
        (Some(_), Some(number)) if (least..=most).contains(&number) => Ok(number),
        (Some(_), _) => Err(Error::Value { setting, expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse;

    fn read(text: &str) -> Result<ClientLimits, Error> {
        ClientLimits::read(&parse(text.as_bytes()).unwrap().merged())
    }

    #[test]
    fn each_is_a_setting_of_its_own() {
        assert_eq!(read("a=1"), Ok(ClientLimits::default()));
        let all = "pvwatch { clients_max=1 report_clients_max=2 report_clients_per_user=3 message_max=65536 \
            buffered_max=65537 unread_max=65538 stalled_max=4 }";
        let expected = ClientLimits {
            clients: 1,
            report_clients: 2,
            report_clients_per_user: 3,
            message: 65_536,
            buffered: 65_537,
            unread: 65_538,
            stalled: Duration::from_secs(4),
        };
        assert_eq!(read(all), Ok(expected));
        for wrong in ["clients_max=0", "report_clients_max=\"many\"", "message_max=65535", "buffered_max=5000000000"] {
            assert!(read(&format!("pvwatch {{ {wrong} }}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fewer_descriptors_are_shared_out() {
        let limits = ClientLimits::default();
        assert_eq!(limits.within(limits.descriptors()), limits);
        assert_eq!(limits.within(u64::MAX), limits);
        let with = |descriptors| {
            let within = limits.within(descriptors);
            (within.clients, within.report_clients)
        };
        assert_eq!(with(1024), (576, 192));
        assert_eq!(with(256), (1, 0));
        assert_eq!(with(limits.descriptors() - 1), (9999, 2048));
        let readers = ClientLimits { clients: 10, report_clients: 1000, ..limits };
        assert_eq!(readers.within(readers.descriptors()), readers);
    }
}
