//! Who is connected, what they may take, and how often somebody wanted more.

use crate::conf::ClientLimits;
use serde_json::{Map, Value, json};

/// What can be refused to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// One more connection to lvmetad's socket.
    Clients,
    /// To the socket for reports: of anybody, and of this user.
    ReportClients,
    ReportClientsPerUser,
    /// A connection of who is neither root nor in the group.
    Admission,
    /// What changes something, by who is neither root nor the daemon's own user.
    Changes,
    Message,
    /// More levels than `text::MAX_DEPTH`.
    Nesting,
    Buffered,
    Unread,
    Stalled,
}

impl Bound {
    pub const ALL: [Bound; 10] = [
        Bound::Clients,
        Bound::ReportClients,
        Bound::ReportClientsPerUser,
        Bound::Admission,
        Bound::Changes,
        Bound::Message,
        Bound::Nesting,
        Bound::Buffered,
        Bound::Unread,
        Bound::Stalled,
    ];

    /// By the name of its setting, if it has one.
    pub fn as_str(self) -> &'static str {
        match self {
            Bound::Clients => "clients_max",
            Bound::ReportClients => "report_clients_max",
            Bound::ReportClientsPerUser => "report_clients_per_user",
            Bound::Admission => "admission",
            Bound::Changes => "changes",
            Bound::Message => "message_max",
            Bound::Nesting => "nesting",
            Bound::Buffered => "buffered_max",
            Bound::Unread => "unread_max",
            Bound::Stalled => "stalled_max",
        }
    }
}

/// How often each was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; Bound::ALL.len()]);

impl Refusals {
    /// Counts one; the number of those before it.
    pub fn note(&mut self, bound: Bound) -> u64 {
        let count = &mut self.0[bound as usize];
        *count += 1;
        *count - 1
    }

    pub fn of(&self, bound: Bound) -> u64 {
        self.0[bound as usize]
    }
}

/// The clients of the daemon.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clients {
    pub connected: usize,
    pub report_connected: usize,
    /// Bytes of unfinished messages, and of replies not taken.
    pub buffered: usize,
    pub unread: usize,
    /// What is granted, which may be less than what is configured.
    pub limits: ClientLimits,
    pub configured: ClientLimits,
    pub refusals: Refusals,
    /// Connections that could not be accepted for want of something, and were tried again.
    pub not_accepted: u64,
}

pub(super) fn clients(clients: &Clients) -> Value {
    let Clients { limits, configured, .. } = clients;
    let refused = Bound::ALL.iter().map(|bound| (bound.as_str().to_owned(), json!(clients.refusals.of(*bound))));
    json!({
        "connected": clients.connected,
        "report_connected": clients.report_connected,
        "buffered": clients.buffered,
        "unread": clients.unread,
        "clients_max": limits.clients,
        "report_clients_max": limits.report_clients,
        "clients_max_configured": configured.clients,
        "report_clients_max_configured": configured.report_clients,
        "not_accepted": clients.not_accepted,
        "refused": refused.collect::<Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_has_a_counter_and_a_name() {
        let mut refusals = Refusals::default();
        for (before, bound) in Bound::ALL.into_iter().enumerate() {
            (0..=before).for_each(|_| {
                refusals.note(bound);
            });
        }
        assert_eq!(refusals.note(Bound::Stalled), 10);
        let shown = clients(&Clients { refusals, ..Clients::default() });
        assert_eq!(shown["refused"].as_object().unwrap().len(), Bound::ALL.len());
        assert_eq!((&shown["refused"]["clients_max"], &shown["refused"]["stalled_max"]), (&json!(1), &json!(11)));
    }
}
