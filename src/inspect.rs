//! What a scan found, as `pvwatch inspect` prints it: JSON for programs, lines for people.

use crate::device::{Holder, Stack};
use crate::metadata::VgText;
use crate::scan::{Area, Finding, MdaScan, Pv, Verdict};
use crate::signature::Member;
use serde_json::{Value, json};
use std::fmt::Write;

/// One object of the array that `inspect --json` prints.
pub fn to_json(device: &str, size: u64, verdict: &Verdict, stack: &Stack) -> Value {
    let (name, pv, member, findings) = match verdict {
        Verdict::Pv(pv) => ("pv", Some(&**pv), None, &pv.findings),
        Verdict::NotAPv { findings } => ("not_a_pv", None, None, findings),
        Verdict::Member { member, findings } => ("member", None, Some(&**member), findings),
        Verdict::Unreadable { findings, .. } => ("unreadable", None, None, findings),
    };
    let findings: Vec<Value> =
        findings.iter().map(|finding| json!({ "code": finding.code.as_str(), "detail": finding.detail })).collect();
    json!({
        "device": device,
        "size": size,
        "verdict": name,
        "pv": pv.map(pv_json),
        "vg": pv.and_then(|pv| pv.vg.as_ref()).map(|vg| vg_json(vg)),
        "member_of": member.map(|member| member_json(member, member.holder(stack))),
        "findings": findings,
    })
}

/// The object of a device that could not be opened, or did not answer in time.
pub fn not_read_json(device: &str, error: &std::io::Error) -> Value {
    let code = if error.kind() == std::io::ErrorKind::TimedOut { "timed-out" } else { "open-error" };
    json!({
        "device": device,
        "size": null,
        "verdict": "unreadable",
        "pv": null,
        "vg": null,
        "member_of": null,
        "findings": [{ "code": code, "detail": error.to_string() }],
    })
}

/// What an array's member says of itself, and what holds it.
pub fn member_json(member: &Member, holder: Option<&Holder>) -> Value {
    json!({
        "device": holder.map(Holder::node),
        "format": member.format,
        "version": member.version,
        "name": member.name.as_deref().map(printable),
        "uuid": member.uuid,
        "role": member.role.map(|role| role.to_string()),
        "level": member.level,
        "members": member.members,
    })
}

/// The same in words, safe for a terminal.
pub fn member_words(member: &Member) -> String {
    format!("{}: {}", member.why_no_pv(), printable(member.to_string().as_bytes()))
}

fn pv_json(pv: &Pv) -> Value {
    json!({
        "id": pv.id.to_string(),
        "label_sector": pv.label_sector,
        "dev_size": pv.dev_size,
        "ext_version": pv.ext_version,
        "in_use": pv.is_in_use(),
        "data_areas": areas_json(&pv.data_areas),
        "bootloader_areas": areas_json(&pv.bootloader_areas),
        "mdas": pv.mdas.iter().map(mda_json).collect::<Vec<_>>(),
    })
}

fn areas_json(areas: &[Area]) -> Value {
    areas.iter().map(|area| json!([area.offset, area.size])).collect()
}

fn mda_json(mda: &MdaScan) -> Value {
    let text = mda.text.as_ref().map(|text| {
        json!({
            "offset": text.location.offset,
            "size": text.location.size,
            "checksum": format!("{:08x}", text.location.checksum),
            "vg_name": printable(&text.vg.name),
            "vg_id": text.vg.vgid.to_string(),
            "seqno": text.vg.seqno,
        })
    });
    json!({
        "offset": mda.area.offset,
        "size": mda.area.size,
        "ignored": mda.ignored,
        "problem": mda.problem.map(|code| code.as_str()),
        "text": text,
    })
}

fn vg_json(vg: &VgText) -> Value {
    json!({ "name": printable(&vg.name), "id": vg.vgid.to_string(), "seqno": vg.seqno })
}

/// The same in plain words, a few lines for one device.
pub fn to_text(device: &str, size: u64, verdict: &Verdict) -> String {
    let mut out = String::new();
    write_text(&mut out, device, size, verdict).expect("a String takes every write");
    out
}

fn write_text(out: &mut String, device: &str, size: u64, verdict: &Verdict) -> std::fmt::Result {
    write!(out, "{} ({size} bytes): ", printable(device.as_bytes()))?;
    let findings = match verdict {
        Verdict::Pv(pv) => {
            write_pv(out, pv)?;
            &pv.findings
        }
        Verdict::NotAPv { findings } => {
            writeln!(out, "not a PV")?;
            findings
        }
        Verdict::Member { member, findings } => {
            writeln!(out, "not a PV\n  {}", member_words(member))?;
            findings
        }
        Verdict::Unreadable { error, findings } => {
            writeln!(out, "unreadable, {error}")?;
            findings
        }
    };
    findings
        .iter()
        .try_for_each(|Finding { code, detail, .. }| writeln!(out, "  {code}: {}", printable(detail.as_bytes())))
}

fn write_pv(out: &mut String, pv: &Pv) -> std::fmt::Result {
    write!(out, "PV {}", pv.id)?;
    match &pv.vg {
        Some(vg) => write!(out, " of VG {} ({}), seqno {}", printable(&vg.name), vg.vgid, vg.seqno)?,
        None if pv.is_in_use() => write!(out, " of a VG that it does not name")?,
        None => write!(out, " of no VG")?,
    }
    writeln!(out, "\n  label in sector {}, made for {} bytes", pv.label_sector, pv.dev_size)?;
    for mda in &pv.mdas {
        write!(out, "  metadata area at {}, {} bytes: ", mda.area.offset, mda.area.size)?;
        match (&mda.text, mda.problem) {
            (Some(text), _) => writeln!(out, "seqno {}, {} bytes of text", text.vg.seqno, text.location.size)?,
            (None, Some(problem)) => writeln!(out, "damaged ({problem})")?,
            (None, None) if mda.ignored => writeln!(out, "ignored")?,
            (None, None) => writeln!(out, "no text")?,
        }
    }
    write_areas(out, "data area", &pv.data_areas)?;
    write_areas(out, "bootloader area", &pv.bootloader_areas)
}

fn write_areas(out: &mut String, what: &str, areas: &[Area]) -> std::fmt::Result {
    areas.iter().try_for_each(|area| match area.size {
        0 => writeln!(out, "  {what} at {}, to the end", area.offset),
        size => writeln!(out, "  {what} at {}, {size} bytes", area.offset),
    })
}

/// Bytes from a device, safe for a terminal: what is not text, or steers one, is escaped.
fn printable(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() { out.extend(char.escape_default()) } else { out.push(char) }
        }
        for byte in chunk.invalid() {
            out.push_str(&byte.escape_ascii().to_string());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::metadata::TextCache;
    use crate::ondisk::image::{PvSpec, put_text, pv_image, vg_text};
    use crate::scan::{Code, ReadError, Scan, Step};
    use crate::signature::image::{put_sum, superblock};
    use crate::signature::{Medium, When};

    const PV: Id = Id(*b"PVPVPVPVPVPVPVPVPVPVPVPVPVPVPVPV");
    const VG: Id = Id(*b"VGVGVGVGVGVGVGVGVGVGVGVGVGVGVGVG");

    fn medium(image: &[u8]) -> Medium {
        Medium { size: image.len().try_into().unwrap(), is_partition: false }
    }

    fn scan(image: &[u8]) -> Verdict {
        let (mut scan, mut step) = Scan::begin(medium(image), When::Asked);
        let mut texts = TextCache::new();
        loop {
            match step {
                Step::Read(range) => {
                    let start = usize::try_from(range.offset).unwrap();
                    step = scan.handle_read(&mut texts, Ok(&image[start..start + range.length]));
                }
                Step::Done(verdict) => return verdict,
            }
        }
    }

    fn check(verdict: &Verdict, json: &Value, text: &str) {
        assert_eq!(to_json("a.img", 262_144, verdict, &Stack::default()), *json);
        assert_eq!(to_text("a.img", 262_144, verdict), text);
    }

    #[test]
    fn a_pv() {
        let spec = PvSpec { mdas: 2, ..PvSpec::member(PV, vg_text("vg", VG, 7, &[(PV, 262_144)])) };
        let mut image = pv_image(&spec);
        put_text(&mut image, spec.mda_areas()[1], 512, None);
        image[4096 + 52 + 24] ^= 1;
        let damaged = scan(&image);
        image[4096 + 52 + 24] ^= 1;
        let json = json!({
            "device": "a.img",
            "size": 262_144,
            "verdict": "pv",
            "pv": {
                "id": "PVPVPV-PVPV-PVPV-PVPV-PVPV-PVPV-PVPVPV",
                "label_sector": 1,
                "dev_size": 262_144,
                "ext_version": 2,
                "in_use": true,
                "data_areas": [[65_536, 0]],
                "bootloader_areas": [],
                "mdas": [
                    { "offset": 4096, "size": 61_440, "ignored": false, "problem": null, "text": {
                        "offset": 512, "size": 512, "checksum": "782f12f9", "vg_name": "vg",
                        "vg_id": "VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG", "seqno": 7 } },
                    { "offset": 200_704, "size": 61_440, "ignored": false, "problem": null, "text": null },
                ],
            },
            "vg": { "name": "vg", "id": "VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG", "seqno": 7 },
            "member_of": null,
            "findings": [],
        });
        let text = "\
a.img (262144 bytes): PV PVPVPV-PVPV-PVPV-PVPV-PVPV-PVPV-PVPVPV of VG vg (VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG), seqno 7
  label in sector 1, made for 262144 bytes
  metadata area at 4096, 61440 bytes: seqno 7, 512 bytes of text
  metadata area at 200704, 61440 bytes: no text
  data area at 65536, to the end
";
        check(&scan(&image), &json, text);
        let json = to_json("a.img", 262_144, &damaged, &Stack::default());
        assert_eq!(json["pv"]["mdas"][0]["problem"], "mda-header-crc");
        assert_eq!(json["vg"], Value::Null);
        assert_eq!(json["findings"][1]["code"], "in-use-no-vg");
        assert!(to_text("a.img", 262_144, &damaged).contains("61440 bytes: damaged (mda-header-crc)\n"));
    }

    #[test]
    fn what_is_not_a_pv() {
        let findings = vec![Finding { code: Code::LabelCrc, detail: "sector 1: \u{1b}[31mred".into(), place: None }];
        let json = |verdict: &str| {
            json!({
                "device": "a.img",
                "size": 262_144,
                "verdict": verdict,
                "pv": null,
                "vg": null,
                "member_of": null,
                "findings": [{ "code": "label-crc", "detail": "sector 1: \u{1b}[31mred" }],
            })
        };
        let not = Verdict::NotAPv { findings: findings.clone() };
        let lines = "  label-crc: sector 1: \\u{1b}[31mred\n";
        check(&not, &json("not_a_pv"), &format!("a.img (262144 bytes): not a PV\n{lines}"));
        let unreadable = Verdict::Unreadable { error: ReadError::Io(5), findings };
        let text = format!("a.img (262144 bytes): unreadable, reading failed with error 5\n{lines}");
        check(&unreadable, &json("unreadable"), &text);
    }

    #[test]
    fn a_member_of_an_array() {
        let mut image = pv_image(&PvSpec::orphan(PV));
        let (place, mut superblock) = superblock("1.0", 262_144).unwrap();
        superblock[37] = 0x1b;
        put_sum(&mut superblock);
        image[usize::try_from(place).unwrap()..][..superblock.len()].copy_from_slice(&superblock);
        let json = json!({
            "device": "a.img",
            "size": 262_144,
            "verdict": "member",
            "pv": null,
            "vg": null,
            "member_of": {
                "device": null,
                "format": "md", "version": "1.0", "name": "host:\\u{1b}rray",
                "uuid": "11111111:11111111:11111111:11111111",
                "role": "active device 0", "level": "raid1", "members": 2,
            },
            "findings": [],
        });
        let text = "\
a.img (262144 bytes): not a PV
  device is an md component: active device 0 of md 1.0 array host:\\x1brray (11111111:11111111:11111111:11111111), raid1 of 2 devices
";
        check(&scan(&image), &json, text);
    }

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(printable("caf\u{e9} \"a\\b\"".as_bytes()), "caf\u{e9} \"a\\b\"");
        assert_eq!(printable(b"\x1b[2J\xff\x7f\n"), "\\u{1b}[2J\\xff\\u{7f}\\n");
        assert_eq!(printable("\u{9b}".as_bytes()), "\\u{9b}");
    }
}
