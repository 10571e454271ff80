//! One request in, one reply out. Nothing here waits, reads or remembers: that is the cache's
//! business, and the caller's, who is told what a client has pushed.

use super::request::{Name, Sender, Trusted};
use crate::cache::{
    Cache, DisableReason, FoundPv, Key, Lookup, NewBody, NewMetadata, NotGone, Status, TokenUpdate, UPDATE_IN_PROGRESS,
};
use crate::text::{self, Message, Section, TERMINATOR, escape_into};
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A whole reply with its terminator.
#[derive(Debug)]
pub enum Reply {
    /// Rendered before, and shared by everybody who asked the same.
    Shared(Rc<[u8]>),
    Own(Vec<u8>),
}

impl Reply {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Reply::Shared(bytes) => bytes,
            Reply::Own(bytes) => bytes,
        }
    }
}

/// What a client has told us, for a daemon that can look for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// `pv_found`, `pv_gone`: something about this device.
    Device(i64),
    /// `vg_update`, `vg_remove`, `set_vg_info`: something about the VG that lists these PVs.
    Vg {
        vgid: Key,
        pvids: Vec<Key>,
    },
    Cleared,
    /// A refill has begun or ended.
    UpdateBegun,
    UpdateEnded,
    /// `global_invalid=1`: anything may have changed.
    Invalidated,
}

const OTHER_COMMAND: &str = "another command has populated the cache";
/// The second reason has a word more.
const OTHER_COMMAND_LVMETAD: &str = "another command has populated the lvmetad cache";

/// An absent token, and an absent command name, count as this word.
const NONE: &[u8] = b"NONE";
const SKIP: &[u8] = b"skip";

/// Handles one message of one who may do everything. `own_pid` is the daemon's, for clients that ask;
/// `now` is the time of the monotonic clock.
pub fn handle(cache: &mut Cache, own_pid: i64, now: Duration, message: &[u8]) -> (Reply, Vec<Push>) {
    handle_of(cache, own_pid, now, message, &mut Trusted)
}

/// The same of anybody. `sender` is asked whether it may, before anything is changed.
pub fn handle_of(
    cache: &mut Cache,
    own_pid: i64,
    now: Duration,
    message: &[u8],
    sender: &mut dyn Sender,
) -> (Reply, Vec<Push>) {
    let mut pushes = Vec::new();
    let stored_vg = Cell::new(None);
    let parsed = {
        let cache = &*cache;
        // Only the first section counts, and no later one is worth the search for an earlier.
        let asked = Cell::new(false);
        let known = |before: &Section, key: &[u8], rest: &[u8]| {
            let first = key == b"metadata" && !asked.replace(true) && before.node("metadata").is_none();
            let name = first.then(|| before.str("vgname"))??;
            let (vgid, length) = cache.known_metadata(name, rest)?;
            stored_vg.set(Some(Rc::clone(vgid)));
            Some(length)
        };
        text::parse_message(message, &known)
    };
    let reply = match parsed {
        Ok(message) => {
            Request { cache, own_pid, now, message: &message, stored_vg: stored_vg.take(), pushes: &mut pushes }
                .handle(sender)
        }
        Err(text::Error { kind: text::ErrorKind::TooDeep, .. }) => {
            sender.nests_too_deeply();
            failed("message nested too deeply")
        }
        Err(error) => {
            log::debug!(target: super::LOG_TARGET, "request does not parse: {error}");
            // A text that does not parse is one without any field.
            token_mismatch(cache, NONE, OTHER_COMMAND)
        }
    };
    (reply, pushes)
}

struct Request<'c, 'm> {
    cache: &'c mut Cache,
    own_pid: i64,
    now: Duration,
    message: &'m Message<'m>,
    /// The VG whose stored metadata the message repeats.
    stored_vg: Option<Key>,
    pushes: &'m mut Vec<Push>,
}

impl<'m> Request<'_, 'm> {
    fn handle(mut self, sender: &mut dyn Sender) -> Reply {
        let name = Name::parse(self.str("request").unwrap_or_default());
        if name.changes() && !sender.may_change() {
            return failed("permission denied");
        }
        if name.needs_token()
            && let Some(refusal) = self.check_token(name == Name::Dump)
        {
            return refusal;
        }
        match name {
            Name::Hello => Simple::ok().str("protocol", b"lvmetad").int("version", 1).reply(),
            Name::TokenUpdate => self.token_update(),
            Name::GetGlobalInfo => self.get_global_info(),
            Name::SetGlobalInfo => self.set_global_info(),
            Name::PvFound => self.pv_found(),
            Name::PvGone => self.pv_gone(),
            Name::PvClearAll => self.pv_clear_all(),
            Name::PvLookup => self.pv_lookup(),
            Name::PvList => Reply::Shared(self.cache.pv_list_reply()),
            Name::VgList => Reply::Shared(self.cache.vg_list_reply()),
            Name::VgLookup => self.vg_lookup(),
            Name::VgUpdate => self.vg_update(),
            Name::VgRemove => self.vg_remove(),
            Name::VgClearOutdatedPvs => self.vg_clear_outdated_pvs(),
            Name::SetVgInfo => self.set_vg_info(),
            Name::Dump => Reply::Shared(self.cache.dump_reply()),
            Name::Unknown => failed("request not implemented"),
        }
    }

    fn str(&self, path: &str) -> Option<&'m [u8]> {
        self.message.section.str(path)
    }

    fn int(&self, path: &str) -> Option<i64> {
        self.message.section.int(path)
    }

    fn check_token(&self, any_token: bool) -> Option<Reply> {
        let received = self.str("token").unwrap_or(NONE);
        let token = &self.cache.token;
        let pid = self.int("pid").unwrap_or(0);
        let owner = token.update().pid;
        if received != token.current() && received != SKIP && !any_token {
            Some(token_mismatch(self.cache, received, OTHER_COMMAND))
        } else if received == UPDATE_IN_PROGRESS && !any_token && owner != 0 && pid != 0 && owner != pid {
            Some(token_mismatch(self.cache, received, OTHER_COMMAND_LVMETAD))
        } else {
            None
        }
    }

    fn token_update(&mut self) -> Reply {
        let token = self.str("token").unwrap_or(NONE);
        let pid = self.int("pid").unwrap_or(0);
        let timeout = self.int("update_timeout").unwrap_or(0);
        let cmd = self.str("cmd").unwrap_or(NONE);
        match self.cache.token.request_update(token, pid, timeout, cmd, self.now) {
            TokenUpdate::Started { previous } => {
                self.pushes.push(Push::UpdateBegun);
                Simple::ok().str("prev_token", &previous).int("update_pid", pid).reply()
            }
            TokenUpdate::Ended => {
                self.pushes.push(Push::UpdateEnded);
                Simple::ok().str("prev_token", UPDATE_IN_PROGRESS).int("update_pid", 0).reply()
            }
            TokenUpdate::Ignored => Simple::ok().str("prev_token", b"").int("update_pid", 0).reply(),
            TokenUpdate::Updating { owner } => Simple::new("token_updating")
                .str("expected", self.cache.token.current())
                .int("update_pid", owner)
                .str("reason", OTHER_COMMAND.as_bytes())
                .reply(),
            TokenUpdate::NotOwner { .. } => token_mismatch(self.cache, token, OTHER_COMMAND),
        }
    }

    fn get_global_info(&mut self) -> Reply {
        if self.cache.token.expire(self.now) {
            self.pushes.push(Push::UpdateEnded);
        }
        let (flags, token) = (self.cache.flags(), &self.cache.token);
        let mut reasons = flags.reasons.iter().map(|reason| format!("{},", reason.as_str())).collect::<String>();
        if reasons.is_empty() {
            reasons.push_str("none");
        }
        let shown_token = if token.current().is_empty() { b"none" } else { token.current() };
        let update = token.update();
        Simple::ok()
            .int("global_invalid", flags.invalid.into())
            .int("global_disable", flags.disabled.into())
            .str("disable_reason", reasons.as_bytes())
            .int("daemon_pid", self.own_pid)
            .str("token", shown_token)
            .str("update_cmd", &update.cmd)
            .int("update_pid", update.pid)
            .int("update_begin", i64::try_from(update.begin).unwrap_or(i64::MAX))
            .int("update_timeout", update.timeout)
            .reply()
    }

    fn set_global_info(&mut self) -> Reply {
        match self.int("global_invalid") {
            Some(1) => {
                self.cache.set_invalid(true);
                self.pushes.push(Push::Invalidated);
            }
            Some(0) => self.cache.set_invalid(false),
            _ => {}
        }
        match self.int("global_disable") {
            Some(1) => {
                let words = self.str("disable_reason").unwrap_or_default();
                let named = |reason: &DisableReason| memchr::memmem::find(words, reason.as_str().as_bytes()).is_some();
                self.cache.disable(DisableReason::ALL.into_iter().filter(named));
            }
            Some(0) => self.cache.enable(),
            _ => {}
        }
        ok()
    }

    fn pv_found(&mut self) -> Reply {
        let message = &self.message.section;
        if message.node("pvmeta").is_none() {
            return failed("Ignore PV without PV metadata");
        }
        let Some(pvid) = self.str("pvmeta/id") else { return failed("Ignore PV without PV UUID") };
        let Some(device) = self.int("pvmeta/device") else {
            return failed("Ignore PV without device");
        };
        let metadata = match message.node("metadata") {
            None => Ok(None),
            Some(_) => self.metadata().map(Some),
        };
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(Incomplete::Name) => return failed("Ignore VG metadata from PV without VG name"),
            Err(Incomplete::Vgid) => return failed("Ignore VG metadata from PV without VG vgid"),
            Err(Incomplete::Seqno) => return failed("Ignore VG metadata from PV without VG seqno"),
        };
        let pvmeta = message.section("pvmeta").expect("pvmeta/id was found in it");
        let metadata = metadata.as_ref().map(Metadata::borrow);
        self.pushes.push(Push::Device(device));
        if let Some(metadata) = &metadata {
            self.pushes.push(Push::Vg { vgid: metadata.vgid.into(), pvids: vec![pvid.into()] });
        }
        match self.cache.pv_found(FoundPv { pvid, device, pvmeta, metadata }) {
            Ok(found) => Simple::ok()
                .str("status", status_word(self.cache.status(&found.vgid)).as_bytes())
                .int("changed", found.changed.into())
                .str("vgid", &found.vgid)
                .str("vgname", &found.vgname)
                .int("seqno_before", found.seqno_before)
                .int("seqno_after", found.seqno_after)
                .reply(),
            Err(_) => failed("Ignore duplicate PV"),
        }
    }

    fn metadata(&self) -> Result<Metadata<'m>, Incomplete> {
        let name = self.str("vgname").ok_or(Incomplete::Name)?;
        if let Some(vgid) = &self.stored_vg {
            let seqno = self.cache.vg(vgid).expect("it was found in the same cache").seqno();
            return Ok(Metadata { name, vgid: Rc::clone(vgid), seqno, body: None });
        }
        let vgid = self.str("metadata/id").ok_or(Incomplete::Vgid)?.into();
        let seqno = self.int("metadata/seqno").filter(|&seqno| seqno >= 0).ok_or(Incomplete::Seqno)?;
        let body = match self.message.inside("metadata") {
            Some(inside) => Cow::Borrowed(inside),
            // Said by path keys, `metadata/id="..."`: there are no braces to look between.
            None => {
                let mut out = Vec::new();
                text::write_nodes(&self.message.section.section("metadata").expect("it has an id").0, 1, &mut out);
                Cow::Owned(out)
            }
        };
        Ok(Metadata { name, vgid, seqno, body: Some(body) })
    }

    fn pv_gone(&mut self) -> Reply {
        let device = self.int("device").filter(|&device| device > 0);
        let on_device = self.str("uuid").map_or(device, |uuid| self.cache.device_of(uuid));
        self.pushes.extend(on_device.map(Push::Device));
        match self.cache.pv_gone(self.str("uuid"), device) {
            Ok(_) => ok(),
            Err(NotGone::DeviceUnknown) => unknown("device not in cache"),
            Err(NotGone::PvUnknown) => unknown("PVID does not exist"),
        }
    }

    fn pv_clear_all(&mut self) -> Reply {
        self.cache.pv_clear_all();
        self.pushes.push(Push::Cleared);
        ok()
    }

    fn pv_lookup(&mut self) -> Reply {
        let pvid = match (self.str("uuid"), self.int("device").filter(|&device| device != 0)) {
            (Some(uuid), _) => uuid.into(),
            (None, None) => return failed("need PVID or device"),
            (None, Some(device)) => match self.cache.pvid_on(device) {
                Some(pvid) => Rc::clone(pvid),
                None => return unknown("device not found"),
            },
        };
        self.cache.pv_lookup_reply(&pvid).map_or_else(|| unknown("PV not found"), Reply::Shared)
    }

    fn vg_lookup(&mut self) -> Reply {
        match self.cache.vg_lookup(self.str("uuid"), self.str("name")) {
            Lookup::Found(reply) => Reply::Shared(reply),
            Lookup::NotFound => unknown("VG not found"),
            Lookup::MappingIncomplete => unknown("VG mapping incomplete"),
            Lookup::Multiple => Simple::new("multiple").str("reason", b"Multiple VGs found with same name").reply(),
        }
    }

    fn vg_update(&mut self) -> Reply {
        if self.message.section.node("metadata").is_none() {
            return ok();
        }
        let metadata = match self.metadata() {
            Ok(metadata) => metadata,
            Err(Incomplete::Name) => return failed("vg_update: need VG name"),
            Err(Incomplete::Vgid) => return failed("vg_update: need VG UUID"),
            Err(Incomplete::Seqno) => return failed("vg_update: need VG seqno"),
        };
        let before = self.pvids_of(&metadata.vgid);
        if self.cache.vg_update(metadata.borrow()).is_err() {
            return failed("vg_update: failed metadata update");
        }
        self.push_vg(metadata.vgid, before);
        ok()
    }

    fn vg_remove(&mut self) -> Reply {
        let Some(uuid) = self.str("uuid") else { return failed("need VG UUID") };
        let before = self.pvids_of(uuid);
        self.cache.vg_remove(uuid);
        self.push_vg(uuid.into(), before);
        ok()
    }

    fn vg_clear_outdated_pvs(&mut self) -> Reply {
        let Some(vgid) = self.str("vgid") else { return failed("need VG UUID") };
        self.cache.vg_clear_outdated_pvs(vgid);
        ok()
    }

    fn set_vg_info(&mut self) -> Reply {
        if let Some(version) = self.int("version").filter(|&version| version != -1) {
            for vgid in self.cache.set_vg_info(self.str("uuid"), self.str("name"), version) {
                self.push_vg(vgid, Vec::new());
            }
        }
        ok()
    }

    fn pvids_of(&self, vgid: &[u8]) -> Vec<Key> {
        self.cache.vg(vgid).map_or(Vec::new(), |vg| vg.pvids().to_vec())
    }

    /// Tells of a VG by the PVs it listed before and lists now.
    fn push_vg(&mut self, vgid: Key, before: Vec<Key>) {
        let mut pvids = before;
        pvids.extend(self.pvids_of(&vgid));
        self.pushes.push(Push::Vg { vgid, pvids });
    }
}

struct Metadata<'m> {
    name: &'m [u8],
    vgid: Key,
    seqno: i64,
    /// `None` when it is what is stored.
    body: Option<Cow<'m, [u8]>>,
}

impl Metadata<'_> {
    fn borrow(&self) -> NewMetadata<'_> {
        let body = self.body.as_deref().map_or(NewBody::AsStored, NewBody::Bytes);
        NewMetadata { name: self.name, vgid: &self.vgid, seqno: self.seqno, body }
    }
}

enum Incomplete {
    Name,
    Vgid,
    Seqno,
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Orphan => "orphan",
        Status::Partial => "partial",
        Status::Complete => "complete",
    }
}

fn ok() -> Reply {
    Simple::ok().reply()
}

fn failed(reason: &str) -> Reply {
    Simple::new("failed").str("reason", reason.as_bytes()).reply()
}

fn unknown(reason: &str) -> Reply {
    Simple::new("unknown").str("reason", reason.as_bytes()).reply()
}

fn token_mismatch(cache: &Cache, received: &[u8], reason: &str) -> Reply {
    Simple::new("token_mismatch")
        .str("expected", cache.token.current())
        .str("received", received)
        .int("update_pid", cache.token.update().pid)
        .str("reason", reason.as_bytes())
        .reply()
}

/// A reply of single values, written with blanks as stock writes them.
struct Simple(Vec<u8>);

impl Simple {
    fn new(response: &str) -> Simple {
        Simple(Vec::with_capacity(256)).str("response", response.as_bytes())
    }

    fn ok() -> Simple {
        Simple::new("OK")
    }

    fn str(mut self, key: &str, value: &[u8]) -> Simple {
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b" = \"");
        escape_into(value, &mut self.0);
        self.0.extend_from_slice(b"\"\n");
        self
    }

    fn int(mut self, key: &str, value: i64) -> Simple {
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b" = ");
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.0.push(b'\n');
        self
    }

    fn reply(mut self) -> Reply {
        self.0.extend_from_slice(TERMINATOR);
        Reply::Own(self.0)
    }
}

/// The refusal of a message that is too large to be read.
pub fn too_large() -> Reply {
    failed("message too large")
}

/// The refusal of a client for whom there is no room.
pub fn too_many_clients() -> Reply {
    failed(TOO_MANY_CLIENTS)
}

pub const TOO_MANY_CLIENTS: &str = "too many clients";
