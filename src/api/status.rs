//! The answers to `Status` and `Show`.

use crate::activation::{By, Outcome, Rule};
use crate::cache::{Status, VgView};
use crate::device::{Facts, Holder, Usage, Use};
use crate::devno::DevNo;
use crate::id::Id;
use crate::inspect;
use crate::metadata::{Kept, VgText};
use crate::watcher::{Ambiguity, Content, Device, Ended, Flapping, HeldBack, Progress, Watcher};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What only the process knows of itself.
#[derive(Debug, Default)]
pub struct Process {
    pub now: Duration,
    pub started: Duration,
    pub clients: super::Clients,
    /// `None` when there is no source of uevents.
    pub uevents: Option<Uevents>,
    /// Whether devices are read with `io_uring`; why not, or what it has to do without.
    pub reads_with_ring: bool,
    pub reader_note: Option<String>,
    pub readers_busy: usize,
    pub readers_idle: usize,
    /// Process ids of readers given up that have not exited.
    pub readers_abandoned: Vec<u32>,
    /// Devices whose nodes cannot be watched, and whether that is none for want of inotify.
    pub node_watches_failed: usize,
    pub has_no_watches: bool,
    /// `None` when no run files are written.
    pub run_dir: Option<PathBuf>,
    /// Why nothing can be activated.
    pub activation_error: Option<String>,
    /// Read for who asks what something is.
    pub usage: Usage,
}

#[derive(Debug, Default, Clone)]
pub struct Uevents {
    pub seen: u64,
    pub lost: u64,
    pub failed: u64,
    pub receive_buffer: usize,
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::Orphan | Status::Partial => "partial",
    }
}

pub fn status(watcher: &Watcher, process: &Process) -> Value {
    let cache = watcher.cache();
    let partial = cache.vgs().filter(|vg| vg.status() != Status::Complete).count();
    let flags = cache.flags();
    let is_pending = |device: &&Device| matches!(device.held_back, Some(HeldBack::Pending { .. }));
    let pending = watcher.devices().values().filter(is_pending).count();
    let quarantined = watcher.devices().iter().filter(|(_, device)| device.quarantine.is_some());
    let is_duplicate = |devno: &&DevNo| watcher.duplicate_of(**devno).is_some_and(|(_, other)| !other.is_path);
    let duplicates = watcher.devices().keys().filter(is_duplicate);
    let counters = watcher.counters();
    let events = match (&process.uevents, watcher.is_scanning()) {
        (_, false) => json!({"source": "none: --no-scan"}),
        (None, true) => json!({"source": "none: only image files are watched"}),
        (Some(uevents), true) => json!({
            "source": "kernel uevents",
            "ever_arrived": uevents.seen > 0,
            "seen": uevents.seen,
            "lost": uevents.lost,
            "failed": uevents.failed,
            "receive_buffer": uevents.receive_buffer,
        }),
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime": seconds(process.now, process.started),
        "state": watcher.state().as_str(),
        "ready": watcher.is_ready(),
        "token": text(cache.token.current()),
        "counts": {
            "devices": watcher.devices().len(),
            "pvs": cache.pv_count(),
            "vgs": cache.vg_count(),
            "partial_vgs": partial,
            "duplicates": duplicates.count(),
            "pending": pending,
            "ambiguous": watcher.ambiguous().count(),
            "clients": process.clients.connected + process.clients.report_connected,
        },
        "flags": {
            "global_invalid": flags.invalid,
            "global_disable": flags.disabled,
            "disable_reason": flags.reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>(),
        },
        "clients": super::clients::clients(&process.clients),
        "events": events,
        "losses": counters.losses,
        "resyncs": counters.resyncs,
        "scans": counters.scans,
        "unwatched_nodes": process.node_watches_failed,
        "inotify": !process.has_no_watches,
        "reread_interval": watcher.reread_interval().map(|interval| interval.as_secs()),
        "readers": {
            "engine": if process.reads_with_ring { "io_uring" } else { "pool" },
            "note": process.reader_note,
            "busy": process.readers_busy,
            "idle": process.readers_idle,
            "limit": watcher.capacity(),
            "abandoned": process.readers_abandoned,
        },
        "run_files": process.run_dir.as_ref().map(|directory| run_files(watcher, process.now, directory)),
        "activation": activation(watcher, process),
        "quarantined": quarantined.map(|(devno, device)| quarantine(process, *devno, device)).collect::<Vec<_>>(),
        "flapping": watcher.all_flapping().map(|(devno, found)| flapping(watcher, process.now, devno, found))
            .collect::<Vec<_>>(),
        "ambiguous": watcher.ambiguous().map(|(pvid, found)| ambiguity(watcher, pvid, found)).collect::<Vec<_>>(),
    })
}

/// Of all VGs.
fn activation(watcher: &Watcher, process: &Process) -> Value {
    let now = process.now;
    let progress = watcher.in_progress();
    let running = progress.iter().filter_map(|vg| {
        let (since, by) = vg.running.as_ref()?;
        Some(json!({ "vg": text(&vg.name), "unit": by, "for": seconds(now, *since) }))
    });
    let has_failed = |ended: &&Ended| ended.outcome != Outcome::Succeeded;
    let failed = progress.iter().filter_map(|vg| {
        let ended = vg.ended.as_ref().filter(has_failed)?;
        let mut failed = how_it_ended(now, ended);
        failed["vg"] = json!(text(&vg.name));
        Some(failed)
    });
    let delayed = progress.iter().filter_map(|vg| {
        let mut delayed = not_offered(now, vg)?;
        delayed["vg"] = json!(text(&vg.name));
        Some(delayed)
    });
    let differences = watcher.differences().map(|compared| {
        json!({
            "vg": text(&compared.vg),
            "ago": seconds(now, compared.at),
            "difference": compared.difference.code(),
            "words": compared.difference.to_string(),
        })
    });
    let tally = watcher.activation_tally();
    json!({
        "mode": watcher.settings().mode().as_str(),
        "error": process.activation_error,
        "running": running.collect::<Vec<_>>(),
        "waiting": progress.iter().filter(|vg| vg.is_queued).count(),
        "delayed": delayed.collect::<Vec<_>>(),
        "failed": failed.collect::<Vec<_>>(),
        "done": tally.succeeded + tally.failed,
        "differences": differences.collect::<Vec<_>>(),
    })
}

fn how_it_ended(now: Duration, ended: &Ended) -> Value {
    json!({
        "outcome": ended.outcome.code(),
        "words": ended.outcome.to_string(),
        "output": ended.outcome.output(),
        "unit": ended.by,
        "ago": seconds(now, ended.at),
        "took": ended.took.as_secs_f64(),
    })
}

/// Why what is to be activated cannot be offered or started.
fn not_offered(now: Duration, vg: &Progress) -> Option<Value> {
    vg.failing.as_ref().map(|failing| {
        json!({
            "error": failing.error,
            "since": seconds(now, failing.since),
            "tries": failing.tries,
            "retry_in": failing.retry_at.map(|at| at.saturating_sub(now).as_secs_f64()),
        })
    })
}

/// Of one VG: whether it is activated, by whom, and what came of it, or why not.
fn activation_of(watcher: &Watcher, now: Duration, vgid: &[u8]) -> Option<Value> {
    let vgid = Id::parse(vgid)?;
    let activation = watcher.activation(vgid)?;
    let progress = watcher.progress(vgid);
    let progress = progress.as_ref();
    let rule = activation.rule.as_ref();
    let device = match rule {
        Some(Rule::AwaitsUdev { device } | Rule::RefusedByUdev { device, .. } | Rule::OnLv { device, .. }) => {
            Some(device)
        }
        Some(Rule::Unreadable { device, .. }) => Some(device),
        _ => None,
    };
    let inhibited = watcher.inhibit_of(&activation.name);
    let offered = progress.and_then(|progress| progress.offered);
    let running = progress.and_then(|progress| progress.running.as_ref());
    Some(json!({
        "mode": watcher.settings().mode().as_str(),
        "rule": rule.map(Rule::code),
        "why": rule.map(Rule::to_string),
        "decision": activation.decision.as_ref().map(Rule::code),
        "device": device,
        "offered_ago": offered.map(|(at, _)| seconds(now, at)),
        "by": offered.map(|(_, by)| match by { By::Us => "pvwatch", By::Another => "another", By::Command => "command" }),
        "running": running.map(|(since, unit)| json!({ "for": seconds(now, *since), "unit": unit })),
        "waiting": progress.is_some_and(|progress| progress.is_queued),
        "delayed": progress.and_then(|progress| not_offered(now, progress)),
        "ended": progress.and_then(|progress| progress.ended.as_ref()).map(|ended| how_it_ended(now, ended)),
        "inhibited": inhibited.is_some(),
        "inhibited_for": inhibited.flatten().map(|until| until.saturating_sub(now).as_secs_f64()),
    }))
}

fn ambiguity(watcher: &Watcher, pvid: Id, ambiguity: &Ambiguity) -> Value {
    json!({
        "pvid": pvid.to_string(),
        "devices": ambiguity.devices.iter().map(|devno| path(watcher, *devno)).collect::<Vec<_>>(),
        "differs": ambiguity.differs,
    })
}

/// Of a PV: why no device is used for it, if that is because several hold it.
fn ambiguity_of(watcher: &Watcher, pvid: Id) -> Option<Value> {
    watcher.choice(pvid)?.ambiguity.as_ref().map(|found| ambiguity(watcher, pvid, found))
}

fn path(watcher: &Watcher, devno: DevNo) -> String {
    watcher.devices().get(&devno).map_or_else(|| devno.to_string(), Device::path)
}

fn run_files(watcher: &Watcher, now: Duration, directory: &Path) -> Value {
    let files = watcher.run_files();
    json!({
        "directory": directory,
        "pvs_online": files.pvs,
        "pvs_lookup": files.lookups,
        "failures": files.failures,
        "failing": files.failing.map(|failing| json!({
            "error": failing.error,
            "since": seconds(now, failing.since),
            "tries": failing.tries,
            "retry_in": failing.retry_at.map(|at| at.saturating_sub(now).as_secs_f64()),
        })),
    })
}

fn quarantine(process: &Process, devno: DevNo, device: &Device) -> Value {
    let quarantine = device.quarantine.as_ref().expect("the caller chose quarantined ones");
    json!({
        "device": device.path(),
        "devno": devno.to_string(),
        "pvid": device.pv().map(|pv| pv.id.to_string()),
        "reason": quarantine.reason.to_string(),
        "since": seconds(process.now, quarantine.since),
        "tries": quarantine.tries,
        "retry_in": quarantine.retry_at.map(|at| at.saturating_sub(process.now).as_secs_f64()),
        "reader_stuck": device.stuck,
    })
}

/// A device that is read less often, since it changes again and again.
fn flapping(watcher: &Watcher, now: Duration, devno: DevNo, flapping: &Flapping) -> Value {
    let read_at = watcher.devices().get(&devno).and_then(|device| device.paced_until);
    json!({
        "device": path(watcher, devno),
        "devno": devno.to_string(),
        "since": seconds(now, flapping.since),
        "changes": flapping.changes,
        "reads": flapping.reads,
        "read_in": read_at.map(|at| at.saturating_sub(now).as_secs_f64()),
    })
}

/// Everything that goes by this name; empty when nothing does. `devno` is what the name stands
/// for if it is a path.
pub fn show(watcher: &Watcher, process: &Process, thing: &str, devno: Option<DevNo>) -> Vec<Value> {
    let cache = watcher.cache();
    let devno = devno.or_else(|| DevNo::parse(thing)).or_else(|| {
        let named = |device: &Device| {
            device.facts.name == thing || device.node() == thing || device.names.iter().any(|name| name == thing)
        };
        watcher.devices().iter().find(|(_, device)| named(device)).map(|(devno, _)| *devno)
    });
    if let Some((devno, device)) = devno.and_then(|devno| watcher.devices().get_key_value(&devno)) {
        return vec![show_device(watcher, process, *devno, device)];
    }
    let named = cache.vgids_named(thing.as_bytes()).iter().filter_map(|vgid| cache.vg(vgid));
    let mut shown = named.map(|vg| show_vg(watcher, process, vg)).collect::<Vec<_>>();
    if let Some(id) = Id::parse(thing.as_bytes()) {
        let key = id.hyphenated();
        shown.extend(cache.vg(&key).map(|vg| show_vg(watcher, process, vg)));
        let pvs = watcher.devices().iter().filter(|(_, device)| device.pv().is_some_and(|pv| pv.id == id));
        shown.extend(pvs.map(|(devno, device)| show_device(watcher, process, *devno, device)));
        if shown.is_empty() {
            shown.extend(show_absent_pv(watcher, &key));
        }
    }
    shown
}

/// A PV that no device holds, but a VG lists or a client has told of.
fn show_absent_pv(watcher: &Watcher, pvid: &[u8]) -> Option<Value> {
    let cache = watcher.cache();
    let device = cache.device_of(pvid);
    let listed = cache.vgs().filter(|vg| vg.pvids().iter().any(|other| **other == *pvid));
    let vgs = listed.map(|vg| text(vg.name())).collect::<Vec<_>>();
    (device.is_some() || !vgs.is_empty()).then(|| {
        json!({
            "kind": "pv",
            "id": text(pvid),
            "device": device.map(|device| DevNo::from_wire(device).to_string()),
            "missing": device.is_none(),
            "vgs": vgs,
        })
    })
}

fn show_vg(watcher: &Watcher, process: &Process, vg: VgView) -> Value {
    let cache = watcher.cache();
    let pvs = vg.pvids().iter().map(|pvid| {
        let devno = cache.device_of(pvid).map(DevNo::from_wire);
        let device = devno.and_then(|devno| watcher.devices().get(&devno));
        json!({
            "id": text(pvid),
            "missing": devno.is_none(),
            "ambiguous": Id::from_hyphenated(pvid).and_then(|pvid| ambiguity_of(watcher, pvid)),
            "device": device.map(Device::path).or_else(|| devno.map(|devno| devno.to_string())),
            "stale": device.is_some_and(Device::is_stale),
            "quarantine": device.zip(devno).filter(|(device, _)| device.quarantine.is_some())
                .map(|(device, devno)| quarantine(process, devno, device)),
        })
    });
    json!({
        "kind": "vg",
        "name": text(vg.name()),
        "id": text(vg.vgid),
        "seqno": vg.seqno(),
        "status": status_word(vg.status()),
        "since": watcher.vg_since(vg.vgid).map(|since| seconds(process.now, since)),
        "kept": newest_text(watcher, vg.vgid).and_then(|text| watcher.kept(text)).map(Kept::as_str),
        "invalid": vg.invalid(),
        "activation": activation_of(watcher, process.now, vg.vgid),
        "pvs": pvs.collect::<Vec<_>>(),
        "missing": vg.missing().map(|pvid| text(pvid)).collect::<Vec<_>>(),
        "outdated": vg.outdated().iter().map(|pvid| text(pvid)).collect::<Vec<_>>(),
    })
}

/// What the disks say of a VG.
pub(super) fn newest_text<'w>(watcher: &'w Watcher, vgid: &[u8]) -> Option<&'w VgText> {
    let texts = watcher.devices().values().filter_map(|device| device.pv()?.vg.as_deref());
    texts.filter(|text| text.vgid.hyphenated() == *vgid).max_by_key(|text| text.seqno)
}

fn show_device(watcher: &Watcher, process: &Process, devno: DevNo, device: &Device) -> Value {
    let cache = watcher.cache();
    let Facts { size, diskseq, .. } = &device.facts;
    let component = device.held_back.as_ref().and_then(HeldBack::component);
    let rule = device.rule.map(|rule| rule.to_string());
    let held_back = device.held_back.as_ref().filter(|_| component.is_none()).map(HeldBack::to_string);
    let not_ready = device.not_ready.map(str::to_owned);
    // What has no size is too small, too; why it has none says more.
    let ignored = if *size == 0 { not_ready.or(rule) } else { rule.or(not_ready) }.or(held_back);
    let pending_until = match device.held_back {
        Some(HeldBack::Pending { until, .. }) => Some(until),
        _ => None,
    };
    let seen = device.seen.as_ref();
    let verdict = match seen.map(|seen| &seen.content) {
        Some(Content::Pv(_)) => "pv",
        Some(Content::NotAPv(_)) => "not_a_pv",
        Some(Content::Member(..)) => "member",
        None if component.is_some() => "member",
        None if pending_until.is_some() => "pending",
        None if ignored.is_some() => "ignored",
        None if device.quarantine.is_some() => "unreadable",
        None => "not_read_yet",
    };
    let pv = device.pv().map(|pv| {
        let duplicate_of = watcher.duplicate_of(devno);
        let owner = cache.owner(&pv.id.hyphenated()).and_then(|vgid| cache.vg(vgid));
        json!({
            "id": pv.id.to_string(),
            "vg": owner.map(|vg| json!({
                "name": text(vg.name()), "id": text(vg.vgid), "seqno": vg.seqno(), "status": status_word(vg.status()),
            })),
            "own_seqno": pv.metadata_to_serve().map(|text| text.seqno),
            "copies": watcher.copies(pv.id).filter(|copy| *copy != devno).map(|copy| path(watcher, copy))
                .collect::<Vec<_>>(),
            "duplicate_of": duplicate_of.map(|(chosen, _)| path(watcher, chosen)),
            "is_path": duplicate_of.is_some_and(|(_, other)| other.is_path),
            "because": duplicate_of.map(|(_, other)| other.because.as_str()),
            "ambiguous": ambiguity_of(watcher, pv.id),
            "stale": device.is_stale(),
        })
    });
    let findings = seen.map_or(&[][..], |seen| seen.content.findings());
    let member = seen.and_then(|seen| seen.content.member()).or(component);
    json!({
        "kind": "device",
        "device": device.path(),
        "devno": devno.to_string(),
        "names": device.names,
        "size": size,
        "diskseq": diskseq,
        "verdict": verdict,
        "ignored": ignored,
        "read_in": pending_until.map(|until| until.saturating_sub(process.now).as_secs_f64()),
        "known_for": seconds(process.now, device.first_seen),
        "cause": device.cause.to_string(),
        "read": seen.map(|seen| json!({
            "cause": seen.cause.to_string(),
            "ago": seconds(process.now, seen.ended),
            "same_for": seconds(process.now, seen.content_since),
        })),
        "dirty": !device.is_quiet(),
        "pv": pv,
        "why": member.map(inspect::member_words),
        "member_of": member.map(|member| inspect::member_json(member, member.holder(&device.facts.stack))),
        "used_by": used_by(&device.facts, process.usage.by.get(&devno)),
        "findings": findings.iter()
            .map(|finding| json!({"code": finding.code.as_str(), "detail": finding.detail})).collect::<Vec<_>>(),
        "quarantine": device.quarantine.as_ref().map(|_| quarantine(process, devno, device)),
        "flapping": watcher.flapping(devno).map(|found| flapping(watcher, process.now, devno, found)),
    })
}

/// Whoever has the device in use: what is stacked on it, and what else the kernel knows of.
fn used_by(facts: &Facts, usage: Option<&Vec<Use>>) -> Vec<Value> {
    let holder = |holder: &Holder| json!({ "kind": "device", "name": holder.node(), "dm_name": holder.dm_name });
    let holders = facts.stack.holders.iter().map(holder);
    let others = usage.into_iter().flatten().map(|used| match used {
        Use::Mounted(place) => json!({ "kind": "mount", "name": place }),
        Use::Swap => json!({ "kind": "swap", "name": null }),
        Use::Loop(name) => json!({ "kind": "loop", "name": format!("/dev/{name}") }),
    });
    holders.chain(others).collect()
}

fn seconds(now: Duration, then: Duration) -> f64 {
    now.saturating_sub(then).as_secs_f64()
}
