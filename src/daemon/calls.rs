//! The calls of people and monitoring, carried out.

use super::Daemon;
use crate::api::{self, Process};
use crate::devno::DevNo;
use crate::watcher::{self, Cause};
use mio::Token;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

impl Daemon<'_> {
    pub(super) fn handle_call(&mut self, now: Duration, token: Token, message: &[u8]) {
        let reply = match api::parse(message) {
            Err(reply) => reply,
            Ok(api::Call::Status) => {
                let status = api::status(&self.watcher, &self.process(now));
                api::reply(serde_json::json!({ "status": status }))
            }
            Ok(api::Call::Show(thing)) => {
                let devno = self.scope.resolve(Path::new(&thing));
                let shown = api::show(&self.watcher, &self.process(now), &thing, devno);
                if shown.is_empty() {
                    api::not_found(&thing)
                } else {
                    api::reply(serde_json::json!({ "shown": shown }))
                }
            }
            Ok(api::Call::Dump) => {
                let dump = self.watcher.cache().dump_reply();
                let text = dump.strip_suffix(crate::text::TERMINATOR).unwrap_or(&dump);
                api::reply(serde_json::json!({ "text": String::from_utf8_lossy(text) }))
            }
            Ok(api::Call::Rescan(_) | api::Call::Settle) if !self.watcher.is_scanning() => api::not_scanning(),
            Ok(api::Call::Rescan(devices)) => self.rescan(now, &devices),
            Ok(api::Call::Settle) => return self.settle(now, token),
        };
        self.clients.reply(token, crate::protocol::Reply::Own(reply));
    }

    fn rescan(&mut self, now: Duration, devices: &[String]) -> Vec<u8> {
        let mut devnos = BTreeSet::new();
        for name in devices {
            match self.scope.resolve(Path::new(name)).or_else(|| DevNo::parse(name)) {
                Some(devno) if self.scope.covers(devno) => devnos.insert(devno),
                _ => return api::not_found(name),
            };
        }
        if devices.is_empty() {
            self.watcher.rescan_all();
        }
        let rule = |devno: &DevNo| self.watcher.devices().get(devno).and_then(|device| device.rule);
        if let Some((devno, rule)) = devnos.iter().find_map(|devno| Some((*devno, rule(devno)?))) {
            return api::not_scanned(&self.device_name(devno), &rule.to_string());
        }
        for devno in devnos {
            self.watcher.handle(now, watcher::Event::Touched { devno, cause: Cause::Asked });
        }
        api::reply(serde_json::json!({ "devices": devices }))
    }

    /// Events queue in the process that causes them, synchronously: what happened before this
    /// call was sent is in the queues now.
    fn settle(&mut self, now: Duration, token: Token) {
        self.drain_uevents(now, usize::MAX);
        self.drain_notices(now, usize::MAX);
        let id = self.clients.wait_for_settle(token);
        self.watcher.handle(now, watcher::Event::Settle(id));
    }

    fn process(&self, now: Duration) -> Process {
        let counts = self.pool.counts();
        Process {
            now,
            started: self.started,
            clients: self.clients.len(),
            uevents: self.monitor.as_ref().map(|_| self.uevents.clone()),
            readers_busy: counts.busy,
            readers_idle: counts.idle,
            readers_abandoned: self.pool.abandoned().map(|(_, pid)| pid).collect(),
            node_watches_failed: self.unwatched,
        }
    }
}
