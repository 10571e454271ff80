//! `Inventory`, answered a reply at a time: one of each turn of the loop, for one client, when it has
//! taken the one before.

use super::Daemon;
use crate::api::inventory::Replies;
use crate::report::inventory::Needs;
use crate::sys::sysfs;
use crate::watcher::{Inventory, SettleId};
use mio::Token;
use std::time::Duration;

/// How far an answer has come.
pub(super) struct Stream {
    inventory: Inventory,
    replies: Replies,
}

impl Daemon<'_> {
    pub(super) fn inventory(&mut self, now: Duration, token: Token, needs: Needs) {
        // Whoever is told before everything has been read once is told of too little.
        if self.watcher.is_scanning() && !self.watcher.is_ready() {
            let id = self.settle(now, token);
            self.inventory_calls.insert(id, needs);
        } else {
            self.begin_inventory(token, needs);
        }
    }

    fn begin_inventory(&mut self, token: Token, needs: Needs) {
        // Nothing is known of LVs of devices that were named, nor of any if none is looked at.
        let all = self.options.devices.is_empty() && self.watcher.is_scanning();
        let shows_mapped = needs.lvs && all && sysfs::has_device_mapper();
        let inventory = Inventory::begin(&self.watcher, &needs, shows_mapped);
        self.clients.begin_stream(token, Box::new(Stream { inventory, replies: Replies::default() }));
    }

    /// True if that is what waited.
    pub(super) fn inventory_may_begin(&mut self, id: SettleId) -> bool {
        let Some(needs) = self.inventory_calls.remove(&id) else { return false };
        if let Some(token) = self.clients.end_settle(id) {
            self.begin_inventory(token, needs);
        }
        true
    }

    pub(super) fn continue_inventory(&mut self) {
        let Some((token, mut stream)) = self.clients.next_stream() else { return };
        let Stream { inventory, replies } = &mut *stream;
        let slice = replies.next(&mut || inventory.next(&self.watcher));
        self.clients.reply_part(token, slice.bytes, Some(stream).filter(|_| slice.continues));
    }
}
