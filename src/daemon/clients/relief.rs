//! Those who keep memory for too long, or too much of it together, are sent away.

use super::memory::Held;
use super::{Client, Clients, SWEEP_INTERVAL};
use crate::api::Bound;
use crate::protocol;
use mio::Registry;
use std::time::Duration;

impl Clients {
    /// Takes note of what a client keeps now, and sees to it that all of them together keep no more than
    /// they may. Whoever has stood still for longest goes first: one who sends or takes a byte now and
    /// then keeps nobody out who gets on.
    pub(super) fn account(&mut self, token: usize, registry: &Registry) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        let now = Held::new(client.frames.capacity(), client.reply.as_ref().map(|(reply, _)| reply));
        self.memory.change(&mut client.held, now);
        // Of the two, at least one message has room.
        while self.memory.buffered > self.limits.buffered.max(2 * self.limits.message) {
            let Some((oldest, _)) = self.oldest(|client| client.frames.is_partial()) else { break };
            self.tally.refuse(Bound::Buffered, format_args!("clients' unfinished messages are too large together"));
            self.refuse_or_remove(oldest, registry);
        }
        while self.memory.unread > self.limits.unread {
            let Some((oldest, 2..)) = self.oldest(|client| client.reply.is_some()) else { break };
            self.tally.refuse(Bound::Unread, format_args!("replies that nobody takes are too large together"));
            self.remove(oldest, registry);
        }
    }

    /// Of those who are so, the one who has stood still for longest, and how many they are.
    fn oldest(&self, is_so: impl Fn(&Client) -> bool) -> Option<(usize, usize)> {
        let those = || self.clients.iter().filter(|(_, client)| is_so(client));
        let (token, _) = those().min_by_key(|(_, client)| client.progress)?;
        Some((*token, those().count()))
    }

    fn refuse_or_remove(&mut self, token: usize, registry: &Registry) {
        match self.clients.get_mut(&token) {
            Some(client) if client.reply.is_none() && client.settle.is_none() => {
                client.refuse(protocol::too_large());
                let now = Held::new(0, client.reply.as_ref().map(|(reply, _)| reply));
                self.memory.change(&mut client.held, now);
                self.give_turn(token);
            }
            _ => self.remove(token, registry),
        }
    }

    pub(super) fn sweep(&mut self, now: Duration, registry: &Registry) {
        if self.next_sweep.is_none_or(|at| at > now) {
            return;
        }
        let midway = self.clients.values().any(Client::is_midway);
        self.next_sweep = midway.then_some(now + SWEEP_INTERVAL);
        let stalled = |client: &Client| client.is_midway() && now >= client.progress + self.limits.stalled;
        let tokens = self.clients.iter().filter(|(_, client)| stalled(client)).map(|(token, _)| *token);
        for token in tokens.collect::<Vec<_>>() {
            let seconds = self.limits.stalled.as_secs();
            let what = format_args!("a client stood still in the middle of a message for {seconds} s");
            self.tally.refuse(Bound::Stalled, what);
            self.remove(token, registry);
        }
    }
}
