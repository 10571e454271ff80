//! The daemon's answers in plain words.

use serde_json::Value;
use std::fmt::Write;

/// Appends a line. Names come from disks and clients: what a terminal might act on is escaped.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => {{
        $out.push_str(&printable(&format!($($arg)*)));
        $out.push('\n');
    }};
}

pub(crate) fn printable(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, char| {
        if char.is_control() {
            let _ = write!(out, "{}", char.escape_default());
        } else {
            out.push(char);
        }
        out
    })
}

fn str<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// A number of things, in words.
fn count(number: &Value, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

pub(crate) fn lasting(value: &Value) -> String {
    let seconds = value.as_f64().unwrap_or_default();
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1000.0),
        ..120.0 => format!("{seconds:.1} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

pub(crate) fn ago(value: &Value) -> String {
    format!("{} ago", lasting(value))
}

pub fn status(status: &Value) -> String {
    let mut out = String::new();
    let (counts, flags, readers) = (&status["counts"], &status["flags"], &status["readers"]);
    line!(out, "pvwatchd {} (pid {}), started {}", str(status, "version"), status["pid"], ago(&status["uptime"]));
    line!(out, "state    {}, token \"{}\"", str(status, "state"), str(status, "token"));
    line!(
        out,
        "counts   {}, {}, {} ({} partial), {}, {}",
        count(&counts["devices"], "device"),
        count(&counts["pvs"], "PV"),
        count(&counts["vgs"], "VG"),
        counts["partial_vgs"],
        count(&counts["duplicates"], "duplicate"),
        count(&counts["clients"], "client")
    );
    if counts["pending"].as_u64() > Some(0) {
        line!(out, "pending  {} that a multipath map may be about to take", count(&counts["pending"], "device"));
    }
    clients(&mut out, &status["clients"]);
    for pv in list(status, "ambiguous") {
        ambiguous(&mut out, "", pv);
    }
    if flags["global_disable"] == true || flags["global_invalid"] == true {
        let reasons = list(flags, "disable_reason").iter().filter_map(Value::as_str).collect::<Vec<_>>();
        line!(
            out,
            "flags    disabled {} ({}), invalid {}: LVM 2.02 commands do not use the cache",
            flags["global_disable"],
            reasons.join(", "),
            flags["global_invalid"]
        );
    }
    let events = &status["events"];
    if events["seen"].is_null() {
        line!(out, "events   {}", str(events, "source"));
    } else {
        line!(
            out,
            "events   {}: {} seen{}, lost {} times, {} failed",
            str(events, "source"),
            events["seen"],
            if events["ever_arrived"] == true { "" } else { " (in some containers they cannot arrive)" },
            events["lost"],
            events["failed"]
        );
    }
    if status["unwatched_nodes"].as_u64() > Some(0) {
        line!(out, "         {} nodes could not be watched: writes to them are not noticed", status["unwatched_nodes"]);
    }
    if status["inotify"] == false {
        line!(out, "         nothing can be watched, inotify is not to be had: writes are not noticed");
    }
    if let Some(interval) = status["reread_interval"].as_u64() {
        line!(out, "         PVs are read again every {interval} s");
    }
    line!(
        out,
        "readers  {}: {} busy and {} idle of {}, {} abandoned; {}, {}",
        str(readers, "engine"),
        readers["busy"],
        readers["idle"],
        readers["limit"],
        list(readers, "abandoned").len(),
        count(&status["scans"], "scan"),
        count(&status["resyncs"], "resync")
    );
    if let Some(note) = readers["note"].as_str() {
        line!(out, "         {note}");
    }
    run_files(&mut out, &status["run_files"]);
    activations(&mut out, &status["activation"]);
    for device in list(status, "quarantined") {
        quarantine(&mut out, device);
    }
    for device in list(status, "flapping") {
        flapping(&mut out, device);
    }
    out
}

/// Who is refused what, if anybody is.
fn clients(out: &mut String, clients: &Value) {
    for name in ["clients_max", "report_clients_max"] {
        let (granted, configured) = (&clients[name], &clients[format!("{name}_configured")]);
        if granted != configured {
            line!(out, "clients  {name} is {granted}, not {configured}: the limit of open descriptors is too low");
        }
    }
    let refused = clients["refused"].as_object().into_iter().flatten().filter(|(_, times)| times.as_u64() > Some(0));
    let refused = refused.map(|(bound, times)| format!("{bound} {times}")).collect::<Vec<_>>();
    if !refused.is_empty() {
        line!(out, "refused  {}", refused.join(", "));
    }
    if clients["not_accepted"].as_u64() > Some(0) {
        line!(out, "clients  accepting one failed {} times", clients["not_accepted"]);
    }
}

fn run_files(out: &mut String, files: &Value) {
    let Some(directory) = files["directory"].as_str() else { return };
    let (pvs, lookups) = (count(&files["pvs_online"], "PV"), count(&files["pvs_lookup"], "VG"));
    line!(out, "files    {pvs} online, lookups of {lookups}, in {directory}; {}", count(&files["failures"], "failure"));
    let failing = &files["failing"];
    if let Some(error) = failing["error"].as_str() {
        let next = failing["retry_in"].as_f64().unwrap_or_default();
        let since = lasting(&failing["since"]);
        line!(out, "         not all could be written for {since}: {error}; tried again in {next:.1} s");
    }
}

/// Nothing where nothing is activated, and nothing was.
fn activations(out: &mut String, activation: &Value) {
    let (running, failed) = (list(activation, "running"), list(activation, "failed"));
    let mode = str(activation, "mode");
    if matches!(mode, "" | "off") && running.is_empty() && failed.is_empty() {
        return;
    }
    line!(
        out,
        "activate {mode}: {} running, {} waiting, {} done, {} failed",
        running.len(),
        activation["waiting"],
        activation["done"],
        failed.len()
    );
    if let Some(error) = activation["error"].as_str() {
        line!(out, "         nothing is activated by the daemon: {error}");
    }
    for vg in running {
        let unit = vg["unit"].as_str().map_or_else(String::new, |unit| format!(" ({unit})"));
        line!(out, "         VG {} for {}{unit}", str(vg, "vg"), lasting(&vg["for"]));
    }
    for vg in list(activation, "delayed") {
        line!(out, "         VG {} {}", str(vg, "vg"), delayed(vg));
    }
    for vg in failed {
        line!(out, "         VG {} {}", str(vg, "vg"), ended(vg));
    }
    for difference in list(activation, "differences") {
        let (vg, words) = (str(difference, "vg"), str(difference, "words"));
        line!(out, "         VG {vg}, {}: {words}", ago(&difference["ago"]));
    }
}

fn delayed(delayed: &Value) -> String {
    let next = delayed["retry_in"].as_f64().unwrap_or_default();
    format!("cannot be activated yet: {}; tried again in {next:.1} s", str(delayed, "error"))
}

fn ended(ended: &Value) -> String {
    let unit = ended["unit"].as_str();
    if str(ended, "outcome") == "succeeded" {
        let unit = unit.map_or_else(String::new, |unit| format!(" ({unit})"));
        return format!("activated {} in {}{unit}", ago(&ended["ago"]), lasting(&ended["took"]));
    }
    let output = ended["output"].as_str().map_or_else(String::new, |output| format!(": {output}"));
    let journal = unit.filter(|unit| unit.ends_with(".service"));
    let journal = journal.map_or_else(String::new, |unit| format!("; journalctl -u '{unit}'"));
    // It may well have succeeded.
    let how = if str(ended, "outcome") == "unknown" { "ended" } else { "failed" };
    format!("activation {how} {}: {}{output}{journal}", ago(&ended["ago"]), str(ended, "words"))
}

/// Of one VG: what has become of its activation, or what keeps it from it.
fn activation(out: &mut String, activation: &Value) {
    let running = &activation["running"];
    let rule = activation["rule"].as_str();
    let words = if !running.is_null() {
        let unit = running["unit"].as_str().map_or_else(String::new, |unit| format!(" ({unit})"));
        format!("being activated for {}{unit}", lasting(&running["for"]))
    } else if !activation["ended"].is_null() {
        ended(&activation["ended"])
    } else if !activation["delayed"].is_null() {
        delayed(&activation["delayed"])
    } else {
        match rule {
            Some("awaits-udev") => format!("waits for udev: {}", str(activation, "device")),
            Some("inhibited") => match activation["inhibited_for"].as_f64() {
                Some(_) => format!("not activated: inhibited for {} more", lasting(&activation["inhibited_for"])),
                None => "not activated: inhibited until that is lifted".to_owned(),
            },
            Some("offered-before") => {
                let by_nobody = match str(activation, "mode") {
                    "report" => "; pvwatch only reports",
                    "compare" => "; LVM's rule activates",
                    _ => "",
                };
                format!("{}, {}{by_nobody}", str(activation, "why"), ago(&activation["offered_ago"]))
            }
            _ if str(activation, "mode") == "off" => return,
            Some("mode") => format!("would be activated: {}", str(activation, "why")),
            Some(_) => format!("not activated: {}", str(activation, "why")),
            None if activation["waiting"] == true => "is activated when others have ended".to_owned(),
            None => return,
        }
    };
    line!(out, "  {words}");
}

fn ambiguous(out: &mut String, indent: &str, pv: &Value) {
    let devices = list(pv, "devices").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" and ");
    let (pvid, differs) = (str(pv, "pvid"), str(pv, "differs"));
    let until = "until the others are detached or filtered out";
    line!(out, "{indent}ambiguous: PV {pvid} is on {devices}, which differ: {differs}; none of them is used {until}");
}

fn quarantine(out: &mut String, quarantine: &Value) {
    let next = match quarantine["retry_in"].as_f64() {
        _ if quarantine["reader_stuck"] == true => {
            "tried again when its reader, stuck in the kernel, is gone".to_owned()
        }
        Some(seconds) => format!("tried again in {seconds:.1} s"),
        None => "read again when it says that it is back".to_owned(),
    };
    let pvid = quarantine["pvid"].as_str().map_or_else(String::new, |pvid| format!(" (last known PV {pvid}, stale)"));
    line!(
        out,
        "quarantined: {}{pvid}: {}; for {}, {}, {next}",
        str(quarantine, "device"),
        str(quarantine, "reason"),
        lasting(&quarantine["since"]),
        if quarantine["tries"] == 1 { "tried once".to_owned() } else { format!("tried {} times", quarantine["tries"]) }
    );
}

fn flapping(out: &mut String, flapping: &Value) {
    let next = flapping["read_in"]
        .as_f64()
        .map_or_else(String::new, |seconds| format!(", and is read again in {seconds:.1} s"));
    line!(
        out,
        "flapping: {} has changed {} in {}, was read {}{next}",
        str(flapping, "device"),
        times(&flapping["changes"]),
        lasting(&flapping["since"]),
        times(&flapping["reads"])
    );
}

fn times(count: &Value) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

pub fn shown(things: &[Value]) -> String {
    let mut out = String::new();
    for (index, thing) in things.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        match str(thing, "kind") {
            "vg" => vg(&mut out, thing),
            "device" => device(&mut out, thing),
            _ => absent_pv(&mut out, thing),
        }
    }
    out
}

fn vg(out: &mut String, vg: &Value) {
    line!(out, "VG {} ({}), seqno {}: {}", str(vg, "name"), str(vg, "id"), vg["seqno"], str(vg, "status"));
    if !vg["since"].is_null() {
        line!(out, "  it has been so for {}", lasting(&vg["since"]));
    }
    if let Some(kept) = vg["kept"].as_str() {
        line!(out, "  it is {kept}: not for this host to activate, and its PVs have no run files");
    } else if !vg["activation"].is_null() {
        activation(out, &vg["activation"]);
        let ended = &vg["activation"]["ended"];
        if !ended.is_null() && str(ended, "outcome") != "succeeded" {
            let name = str(vg, "name");
            line!(out, "  it is not tried again before a PV has gone and come back; by hand: vgchange -aay {name}");
        }
    }
    for pv in list(vg, "pvs") {
        match pv["device"].as_str() {
            Some(device) if pv["stale"] == true => {
                line!(out, "  PV {} on {device}, as it was last read", str(pv, "id"))
            }
            Some(device) => line!(out, "  PV {} on {device}", str(pv, "id")),
            None if !pv["ambiguous"].is_null() => ambiguous(out, "  ", &pv["ambiguous"]),
            None => line!(out, "  PV {} is missing: no device that can be read holds it", str(pv, "id")),
        }
        if !pv["quarantine"].is_null() {
            out.push_str("    ");
            quarantine(out, &pv["quarantine"]);
        }
    }
    for pvid in list(vg, "outdated").iter().filter_map(Value::as_str) {
        line!(out, "  PV {pvid} holds outdated metadata of this VG");
    }
    if vg["invalid"] == true {
        line!(out, "  somebody announced a change of it that is not in the cache yet");
    }
}

fn device(out: &mut String, device: &Value) {
    let verdict = match str(device, "verdict") {
        "pv" => "a PV",
        "not_a_pv" | "member" => "not a PV",
        "ignored" => "not scanned",
        "pending" => "not read yet",
        "unreadable" => "not readable",
        _ => "not read yet",
    };
    line!(out, "{} ({}), {} bytes: {verdict}", str(device, "device"), str(device, "devno"), device["size"]);
    if let Some(why) = device["ignored"].as_str() {
        line!(out, "  {why}");
    }
    if let Some(seconds) = device["read_in"].as_f64() {
        line!(out, "  it is read in {seconds:.1} s, if no map has taken it by then");
    }
    if let Some(why) = device["why"].as_str() {
        line!(out, "  {why}");
    }
    if let Some(array) = device["member_of"]["device"].as_str() {
        line!(out, "  that is {array}");
    }
    let users = list(device, "used_by").iter().map(|user| match (str(user, "kind"), user["dm_name"].as_str()) {
        ("mount", _) => format!("mounted at {}", str(user, "name")),
        ("swap", _) => "swap".to_owned(),
        (_, Some(name)) => format!("{} ({name})", str(user, "name")),
        (_, None) => str(user, "name").to_owned(),
    });
    let users = users.collect::<Vec<_>>();
    if !users.is_empty() {
        line!(out, "  in use: {}", users.join(", "));
    }
    let pv = &device["pv"];
    if !pv.is_null() {
        line!(out, "  PV {}{}", str(pv, "id"), if pv["stale"] == true { ", as it was last read" } else { "" });
        copies(out, pv);
        let vg = &pv["vg"];
        if vg.is_null() {
            line!(out, "  in no VG that is known");
        } else {
            line!(out, "  in VG {} ({}), seqno {}, {}", str(vg, "name"), str(vg, "id"), vg["seqno"], str(vg, "status"));
            if !pv["own_seqno"].is_null() && pv["own_seqno"] != vg["seqno"] {
                line!(out, "  its own metadata is of seqno {}", pv["own_seqno"]);
            }
        }
    }
    line!(out, "  first seen {}, last looked at because of: {}", ago(&device["known_for"]), str(device, "cause"));
    let read = &device["read"];
    if !read.is_null() {
        line!(
            out,
            "  last read {} because of: {}; the same content for {}",
            ago(&read["ago"]),
            str(read, "cause"),
            lasting(&read["same_for"])
        );
    }
    if device["dirty"] == true {
        line!(out, "  something happened to it since; it is about to be read");
    }
    for finding in list(device, "findings") {
        line!(out, "  problem: {}: {}", str(finding, "code"), str(finding, "detail"));
    }
    if !device["quarantine"].is_null() {
        out.push_str("  ");
        quarantine(out, &device["quarantine"]);
    }
    if !device["flapping"].is_null() {
        out.push_str("  ");
        flapping(out, &device["flapping"]);
    }
}

fn copies(out: &mut String, pv: &Value) {
    if !pv["ambiguous"].is_null() {
        return ambiguous(out, "  ", &pv["ambiguous"]);
    }
    let copies = list(pv, "copies").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    match pv["duplicate_of"].as_str() {
        Some(other) if pv["is_path"] == true => line!(out, "  it is another path to {other}, which is used"),
        Some(other) => line!(out, "  it is a duplicate: the PV is on {other}, because {}", str(pv, "because")),
        None if !copies.is_empty() => line!(out, "  the same PV is also on {copies}"),
        None => {}
    }
}

fn absent_pv(out: &mut String, pv: &Value) {
    let vgs = list(pv, "vgs").iter().filter_map(Value::as_str).collect::<Vec<_>>();
    match pv["device"].as_str() {
        Some(device) => line!(out, "PV {} on {device}, as a client has told", str(pv, "id")),
        None => line!(out, "PV {} is missing: no device that can be read holds it", str(pv, "id")),
    }
    if !vgs.is_empty() {
        line!(out, "  listed by VG {}", vgs.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::{By, Rule};
    use serde_json::json;

    #[test]
    fn what_is_said_of_a_vgs_activation() {
        let ended = |outcome: &str| {
            let words = "exit status 5";
            json!({"outcome": outcome, "words": words, "output": "bad pool", "unit": "u.service", "ago": 3.0, "took": 0.3})
        };
        let awaited = Rule::AwaitsUdev { device: "/dev/sdb".to_owned() };
        let offered = Rule::OfferedBefore(By::Another);
        for (said, expected) in [
            (json!({"rule": "exported", "why": "it is exported"}), "not activated: it is exported"),
            (json!({"rule": awaited.code(), "device": "/dev/sdb"}), "waits for udev: /dev/sdb"),
            (json!({"rule": offered.code(), "why": "it was LVM's", "offered_ago": 4.0}), "it was LVM's, 4.0 s ago"),
            (
                json!({"mode": "report", "rule": offered.code(), "why": "its turn", "offered_ago": 4.0}),
                "its turn, 4.0 s ago; pvwatch only reports",
            ),
            (json!({"rule": "inhibited", "inhibited_for": 60.0}), "not activated: inhibited for 60.0 s more"),
            (json!({"rule": "inhibited"}), "not activated: inhibited until that is lifted"),
            (json!({"mode": "report", "rule": "mode", "why": "it reports"}), "would be activated: it reports"),
            (json!({"mode": "off", "rule": "mode", "why": "x"}), ""),
            (json!({"waiting": true}), "is activated when others have ended"),
            (json!({"running": {"for": 2.0, "unit": "u.service"}}), "being activated for 2.0 s (u.service)"),
            (json!({"ended": ended("succeeded")}), "activated 3.0 s ago in 300 ms (u.service)"),
            (
                json!({"ended": ended("failed")}),
                "activation failed 3.0 s ago: exit status 5: bad pool; journalctl -u 'u.service'",
            ),
            (
                json!({"ended": ended("unknown")}),
                "activation ended 3.0 s ago: exit status 5: bad pool; journalctl -u 'u.service'",
            ),
            (
                json!({"delayed": {"error": "no space", "retry_in": 2.0}}),
                "cannot be activated yet: no space; tried again in 2.0 s",
            ),
        ] {
            let mut out = String::new();
            activation(&mut out, &said);
            assert_eq!(out.trim(), expected, "{said}");
        }
    }

    #[test]
    fn what_failed_says_what_is_left_to_do() {
        let vg = |outcome: &str| {
            let ended = json!({"outcome": outcome, "words": "exit status 5", "ago": 3.0, "took": 0.3});
            shown(&[json!({"kind": "vg", "name": "vg0", "activation": {"ended": ended}})])
        };
        assert!(
            vg("failed")
                .contains("\n  it is not tried again before a PV has gone and come back; by hand: vgchange -aay vg0\n")
        );
        assert!(!vg("succeeded").contains("again"));
    }

    #[test]
    fn times_in_the_unit_that_fits() {
        let found = [0.25, 90.0, 3000.0, 9000.0, 864_000.0].map(|seconds| lasting(&json!(seconds)));
        assert_eq!(found, ["250 ms", "90.0 s", "50 min", "2.5 h", "10 days"]);
    }

    #[test]
    fn nothing_is_said_where_nothing_is_activated() {
        let status = |mode: &str| {
            let mut out = String::new();
            activations(
                &mut out,
                &json!({"mode": mode, "waiting": 1, "done": 2, "running": [{"vg": "a\nb", "for": 1.0}]}),
            );
            out
        };
        assert_eq!(status("on"), "activate on: 1 running, 1 waiting, 2 done, 0 failed\n         VG a\\nb for 1.0 s\n");
        let mut out = String::new();
        activations(&mut out, &json!({"mode": "off", "waiting": 0, "done": 0}));
        assert_eq!(out, "");
    }
}
