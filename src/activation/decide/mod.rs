//! What the metadata of a VG and the configuration say, whatever devices there are.

use super::Rule;
use super::policy::{Names, Policy};
use crate::conf::Settings;
use crate::id::Id;
use crate::metadata::{Access, Kept, VgText, VisibleLv, visible_sections};
use crate::text::{self, Section};
use std::collections::BTreeMap;

/// What becomes of an LV that users see, where its VG is activated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub lv: Vec<u8>,
    /// Why it is not activated.
    pub rule: Option<LvRule>,
}

/// Why an LV is not activated by itself. [`LvRule::code`] is for programs, the words are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LvRule {
    NoAutoActivate,
    ActivationSkip,
    AutoActivationVolumeList,
    VolumeList,
    /// No LV is cached by it: it is not active alone.
    CachePool,
    /// LVM does not know the type of one of its segments, and refuses.
    UnknownSegment,
}

impl LvRule {
    pub fn code(self) -> &'static str {
        match self {
            LvRule::NoAutoActivate => "no-auto-activate",
            LvRule::ActivationSkip => "activation-skip",
            LvRule::AutoActivationVolumeList => "auto-activation-volume-list",
            LvRule::VolumeList => "volume-list",
            LvRule::CachePool => "cache-pool",
            LvRule::UnknownSegment => "unknown-segment",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            LvRule::NoAutoActivate => "it, or its VG, has the flag NOAUTOACTIVATE",
            LvRule::ActivationSkip => "it has the flag ACTIVATION_SKIP",
            LvRule::AutoActivationVolumeList => "activation/auto_activation_volume_list does not name it",
            LvRule::VolumeList => "activation/volume_list, or a tag of the host, does not name it",
            LvRule::CachePool => "it is a cache pool that caches nothing",
            LvRule::UnknownSegment => "it has a segment of an unknown type",
        }
    }
}

/// The first rule by which this host does not activate the VG by itself.
pub fn by_metadata(text: &VgText, settings: &Settings, system_id: Option<&str>) -> Result<(), Rule> {
    if !settings.event_activation {
        return Err(Rule::EventActivation);
    }
    if let Some(problem) = &text.unreadable {
        return Err(Rule::Unusable(problem.detail.clone()));
    }
    by_access(&text.access, system_id)?;
    let vg = text::parse(&text.body).map_err(|error| Rule::Unusable(error.to_string()))?;
    match marked_missing(&vg) {
        Some(pvid) => Err(Rule::MarkedMissing(pvid)),
        None => by_parts(&parts_of(&text.name, &vg, &settings.policy)),
    }
}

/// Each LV that users see, in the order of the text: what `vgchange -aay` does about it. Nothing of
/// a text that cannot be used.
pub fn parts(text: &VgText, policy: &Policy) -> Vec<Part> {
    match text::parse(&text.body) {
        Ok(vg) if text.unreadable.is_none() => parts_of(&text.name, &vg, policy),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// A VG has to be this host's to `pvscan`, which does not ask `local/extra_system_ids`, and to
/// `vgchange`, to which a host without a system ID has none that has one.
fn by_access(access: &Access, system_id: Option<&str>) -> Result<(), Rule> {
    let named = |name: &Option<Vec<u8>>| String::from_utf8_lossy(name.as_deref().unwrap_or_default()).into_owned();
    match access.kept_from(system_id.map(str::as_bytes)) {
        Some(Kept::Shared) => Err(Rule::Shared(named(&access.lock_type))),
        Some(Kept::Foreign) => Err(Rule::Foreign(named(&access.system_id))),
        _ if access.system_id.is_some() && system_id.is_none() => Err(Rule::Foreign(named(&access.system_id))),
        Some(Kept::Exported) => Err(Rule::Exported),
        None => Ok(()),
    }
}

/// The first PV that the text itself calls missing.
fn marked_missing(vg: &Section) -> Option<Id> {
    let pvs = vg.section("physical_volumes")?;
    let marked = pvs.sections().find(|(_, pv)| has_flag(pv, "MISSING"));
    Id::parse(marked?.1.str("id")?)
}

/// Flags stand in `flags`, and what an old LVM has to know of in `status`.
fn has_flag(section: &Section, flag: &str) -> bool {
    let lists = ["flags", "status"].into_iter().filter_map(|key| section.value(key));
    lists.flat_map(|list| list.strings()).any(|other| other == flag.as_bytes())
}

fn tags<'s>(section: &'s Section) -> impl Iterator<Item = &'s [u8]> {
    section.value("tags").into_iter().flat_map(|tags| tags.strings())
}

/// Why nothing of a VG is activated, if so.
fn by_parts(parts: &[Part]) -> Result<(), Rule> {
    let mut rules = Vec::new();
    for part in parts {
        match part.rule {
            None => return Ok(()),
            Some(rule) => rules.push(rule),
        }
    }
    let by_flags = |rule: &LvRule| *rule == LvRule::NoAutoActivate || *rule == LvRule::ActivationSkip;
    let mut by_lists = rules.iter().filter(|rule| !by_flags(rule)).peekable();
    Err(if by_lists.peek().is_none() {
        let all_flagged = !rules.is_empty() && rules.iter().all(|rule| *rule == LvRule::NoAutoActivate);
        if all_flagged { Rule::NoAutoActivate } else { Rule::NothingToActivate }
    } else if by_lists.clone().all(|rule| *rule == LvRule::AutoActivationVolumeList) {
        Rule::AutoActivationVolumeList
    } else if by_lists.all(|rule| matches!(rule, LvRule::AutoActivationVolumeList | LvRule::VolumeList)) {
        Rule::VolumeList
    } else {
        Rule::NothingToActivate
    })
}

fn parts_of(name: &[u8], vg: &Section, policy: &Policy) -> Vec<Part> {
    let lvs = visible_sections(vg);
    let vg_flagged = has_flag(vg, "NOAUTOACTIVATE");
    let vg_tags = tags(vg).collect::<Vec<_>>();
    let rule = |lv: &VisibleLv| {
        let names = Names { vg: name, lv: lv.name, tags: vg_tags.iter().copied().chain(tags(lv.lv)).collect() };
        if vg_flagged || has_flag(lv.lv, "NOAUTOACTIVATE") {
            Some(LvRule::NoAutoActivate)
        } else if has_flag(lv.lv, "ACTIVATION_SKIP") {
            Some(LvRule::ActivationSkip)
        } else if !policy.auto_activates(&names) {
            Some(LvRule::AutoActivationVolumeList)
        } else if !policy.activates(&names) {
            Some(LvRule::VolumeList)
        } else if lv.is(b"cache-pool") {
            Some(LvRule::CachePool)
        } else if lv.has_unknown_segment() {
            Some(LvRule::UnknownSegment)
        } else {
            None
        }
    };
    let own = lvs.iter().map(|lv| (lv.name, rule(lv))).collect::<BTreeMap<_, _>>();
    // A snapshot is activated with its origin, and not without.
    let of = |lv: &VisibleLv| own.get(lv.origin.unwrap_or(lv.name)).copied().flatten();
    lvs.iter().map(|lv| Part { lv: lv.name.to_vec(), rule: of(lv) }).collect()
}

#[cfg(test)]
mod tests;
