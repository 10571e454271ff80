//! The calls of people and monitoring, carried out.

use super::Daemon;
use super::clients::Access;
use crate::activation::Mode;
use crate::api::{self, Process, Right};
use crate::device::Usage;
use crate::devno::DevNo;
use crate::pvscan::Found;
use crate::sys::usage;
use crate::watcher::{self, Cause, SettleId};
use mio::Token;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// What somebody wants to know of some devices, once these have been looked at.
pub(super) struct OnlineCall {
    /// Each as it was named, and what that is; empty for all that hold a PV.
    devices: Vec<(String, Named)>,
    lvs: bool,
    /// Multipath takes none of them for a path.
    no_paths: bool,
    /// Whoever asks is about to be told that a VG is complete.
    complete: bool,
}

/// What the name of a device stands for.
#[derive(Clone, Copy)]
enum Named {
    Device(DevNo),
    /// There is no such device.
    Nothing,
    /// It is none of those given with `--devices`.
    NotOurs,
}

impl Daemon<'_> {
    pub(super) fn handle_call(&mut self, now: Duration, token: Token, message: &[u8]) {
        let api::Request { call, oneway, nests_too_deeply } = api::parse(message);
        if nests_too_deeply {
            self.clients.refuse_nesting(token);
        }
        let reading = self.clients.access(token) == Some(Access::Reading);
        let reply = match call {
            Err(reply) => reply,
            Ok(call) if !self.may(token, call.right()) => api::permission_denied(),
            // Nobody is there to wait.
            Ok(api::Call::Settle | api::Call::Online { .. } | api::Call::Inventory(_)) if oneway => Vec::new(),
            Ok(api::Call::Status) => {
                let status = api::status(&self.watcher, &self.process(now));
                api::reply(serde_json::json!({ "status": status }))
            }
            Ok(api::Call::Show(thing)) => {
                // Who may only read has no path of his looked up: that may never return.
                let devno = if reading { None } else { self.scope.resolve(Path::new(&thing)) };
                let process = Process { usage: usage::read(), ..self.process(now) };
                let shown = api::show(&self.watcher, &process, &thing, devno);
                if shown.is_empty() {
                    api::not_found(&thing)
                } else {
                    api::reply(serde_json::json!({ "shown": shown }))
                }
            }
            Ok(api::Call::Inventory(needs)) => return self.inventory(now, token, needs),
            Ok(api::Call::Activations) => self.activations(now),
            Ok(api::Call::Dump) => {
                let dump = self.watcher.cache().dump_reply();
                let text = dump.strip_suffix(crate::text::TERMINATOR).unwrap_or(&dump);
                api::reply(serde_json::json!({ "text": String::from_utf8_lossy(text) }))
            }
            Ok(
                api::Call::Rescan(_)
                | api::Call::Settle
                | api::Call::Online { .. }
                | api::Call::Inhibit { .. }
                | api::Call::Inhibited,
            ) if !self.watcher.is_scanning() => api::not_scanning(),
            Ok(api::Call::Inhibit { vg, until }) => {
                let until = until.map(|until| until.map(|span| now + span));
                match self.inhibit(now, vg.as_bytes(), until) {
                    Ok(lifted) => api::reply(serde_json::json!({ "lifted": lifted })),
                    Err(reason) => api::failed(&reason),
                }
            }
            Ok(api::Call::Inhibited) => match self.inhibits() {
                Ok(inhibits) => api::inhibited(&inhibits, now),
                Err(reason) => api::failed(&reason),
            },
            Ok(api::Call::Reload) => match self.reload(now, true) {
                Ok(()) => api::reply(serde_json::json!({})),
                Err(error) => api::failed(&error.to_string()),
            },
            Ok(api::Call::Rescan(devices)) => self.rescan(now, &devices),
            Ok(api::Call::Settle) => {
                self.settle(now, token);
                return;
            }
            Ok(api::Call::Online { devices, lvs, no_paths, complete }) => match self.name_devices(&devices) {
                Ok(devices) => return self.online(now, token, OnlineCall { devices, lvs, no_paths, complete }),
                Err(reply) => reply,
            },
        };
        if oneway {
            self.clients.no_reply(token);
        } else {
            self.clients.reply(token, crate::protocol::Reply::Own(reply));
        }
    }

    fn may(&self, token: Token, right: Right) -> bool {
        let access = self.clients.access(token);
        match right {
            Right::Read => access.is_some(),
            Right::Ask => access == Some(Access::Full),
            Right::Change => access == Some(Access::Full) && self.clients.may_change(token),
        }
    }

    fn activations(&self, now: Duration) -> Vec<u8> {
        if !self.watcher.is_scanning() {
            return api::not_scanning();
        }
        api::reply(serde_json::json!({ "activations": api::activations(&self.watcher, now) }))
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
    pub(super) fn settle(&mut self, now: Duration, token: Token) -> SettleId {
        self.drain_all(now);
        self.look_at_appeared(now, Duration::MAX);
        let id = self.clients.wait_for_settle(token);
        self.watcher.handle(now, watcher::Event::Settle(id));
        id
    }

    fn drain_all(&mut self, now: Duration) {
        self.drain_uevents(now, usize::MAX);
        self.drain_notices(now, usize::MAX);
    }

    fn name_devices(&mut self, devices: &[String]) -> Result<Vec<(String, Named)>, Vec<u8>> {
        let everything = self.options.devices.is_empty();
        let name = |device: &String| {
            let devno = match DevNo::parse(device) {
                Some(devno) => Some(devno),
                None if device.starts_with('/') => self.scope.resolve(Path::new(device)),
                None => return Err(api::invalid("devices")),
            };
            let mut ours = |devno: DevNo| self.watcher.devices().contains_key(&devno) || self.scope.covers(devno);
            let named = match devno {
                None => Named::Nothing,
                Some(devno) if everything || ours(devno) => Named::Device(devno),
                Some(_) => Named::NotOurs,
            };
            Ok((device.clone(), named))
        };
        devices.iter().map(name).collect()
    }

    /// Like a settle, but nobody waits for devices that he has not asked for.
    fn online(&mut self, now: Duration, token: Token, call: OnlineCall) {
        if call.devices.is_empty() {
            let id = self.settle(now, token);
            self.online_calls.insert(id, call);
            return;
        }
        self.drain_all(now);
        let id = self.clients.wait_for_settle(token);
        let devnos = call.devices.iter().filter_map(|(_, named)| match named {
            Named::Device(devno) => Some(*devno),
            Named::Nothing | Named::NotOurs => None,
        });
        let devnos = devnos.collect::<Vec<_>>();
        if call.no_paths {
            devnos.iter().for_each(|devno| self.watcher.know_no_path(*devno));
        }
        self.online_calls.insert(id, call);
        self.watcher.handle(now, watcher::Event::Await { id, devnos });
    }

    pub(super) fn answer_online(&mut self, id: SettleId) {
        let Some(call) = self.online_calls.remove(&id) else { return };
        let found = |named: Named| match named {
            Named::Device(devno) => self.watcher.find(devno, call.lvs),
            Named::Nothing => Found::Gone,
            // What LVM says of a device that its own --devices leaves out.
            Named::NotOurs => Found::Excluded("device is not in devices list".to_owned()),
        };
        let devices = if call.devices.is_empty() {
            let devices = self.watcher.devices().iter().filter(|(_, device)| device.pv().is_some());
            devices.map(|(devno, device)| (device.path(), found(Named::Device(*devno)))).collect::<Vec<_>>()
        } else {
            call.devices.iter().map(|(operand, named)| (operand.clone(), found(*named))).collect()
        };
        let online = |(operand, found)| {
            let is_first = if call.complete { self.is_first_told(&found) } else { None };
            api::Online { operand, found, is_first }
        };
        let devices = devices.into_iter().map(online).collect::<Vec<_>>();
        let event_activation = self.watcher.settings().event_activation;
        let reply = api::online(&devices, self.run_files.path(), event_activation, self.watcher.system_id());
        self.clients.settled(id, reply);
    }

    /// `None` if somebody else starts the activation of its VG.
    fn is_first_told(&mut self, found: &Found) -> Option<bool> {
        let Found::Pv(pv) = found else { return None };
        let vg = pv.vg.as_ref().or(pv.listed_by.as_ref())?;
        let is_ours = self.watcher.settings().mode() == Mode::On && self.can_activate();
        is_ours.then(|| self.watcher.told_complete(vg.vgid))
    }

    fn process(&self, now: Duration) -> Process {
        let (counts, engine) = (self.pool.counts(), self.pool.engine());
        Process {
            now,
            started: self.started,
            clients: self.clients.status(),
            uevents: self.monitor.as_ref().map(|_| self.uevents.clone()),
            reads_with_ring: engine.is_ring,
            reader_note: engine.note,
            readers_busy: counts.busy,
            readers_idle: counts.idle,
            readers_abandoned: self.pool.abandoned().map(|(_, pid)| pid).collect(),
            node_watches_failed: self.unwatched.len(),
            has_no_watches: self.options.scan && self.watches.is_none(),
            run_dir: self.run_files.path().map(Path::to_owned),
            activation_error: self.activation.error().map(str::to_owned),
            usage: Usage::default(),
        }
    }
}
