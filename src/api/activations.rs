//! The answer to `Activations`: what would be activated, and what not.

use super::status::{newest_text, text};
use crate::activation::{Outcome, Part, Rule, decide};
use crate::watcher::{Activation, Progress, Watcher};
use serde_json::{Value, json};
use std::time::Duration;

/// Of every VG that is known, by their names; also of one whose metadata cannot be used.
pub fn activations(watcher: &Watcher, now: Duration) -> Vec<Value> {
    let mut activations = watcher.activations();
    let texts = watcher.devices().values().filter_map(|device| device.pv()?.vg.as_deref());
    for unusable in texts.filter(|text| text.unreadable.is_some()) {
        if !activations.iter().any(|known| known.vgid == unusable.vgid) {
            let rule = decide::by_metadata(unusable, watcher.settings(), watcher.system_id()).err();
            let (vgid, name) = (unusable.vgid, unusable.name.clone());
            activations.push(Activation { vgid, name, rule: rule.clone(), decision: rule });
        }
    }
    activations.sort_by(|a, b| (&a.name, a.vgid).cmp(&(&b.name, b.vgid)));
    activations.iter().map(|activation| of_vg(watcher, now, activation)).collect()
}

fn of_vg(watcher: &Watcher, now: Duration, activation: &Activation) -> Value {
    let newest = newest_text(watcher, &activation.vgid.hyphenated());
    let parts = newest.map(|text| decide::parts(text, &watcher.settings().policy)).unwrap_or_default();
    let rule = activation.decision.as_ref();
    let is_whole = parts.iter().all(|part| part.rule.is_none());
    // What is of this moment, such as who is in charge.
    let held = activation.rule.as_ref().filter(|_| rule.is_none());
    json!({
        "vg": text(&activation.name),
        "id": activation.vgid.to_string(),
        "activated": if rule.is_some() { "no" } else if is_whole { "yes" } else { "partly" },
        "rule": rule.map(Rule::code),
        "because": rule.map(Rule::to_string),
        "now": held.map(|held| json!({ "rule": held.code(), "because": held.to_string() })),
        "done": watcher.progress(activation.vgid).map(|progress| done(now, &progress)),
        "lvs": parts.iter().map(|part| of_lv(part, rule)).collect::<Vec<_>>(),
    })
}

fn done(now: Duration, progress: &Progress) -> Value {
    let ago = |then: Duration| now.saturating_sub(then).as_secs_f64();
    json!({
        "offered": progress.offered.map(|(at, _)| ago(at)),
        "running": progress.running.as_ref().map(|(since, _)| ago(*since)),
        "ended": progress.ended.as_ref().map(|ended| json!({
            "ago": ago(ended.at),
            "outcome": ended.outcome.code(),
            "words": ended.outcome.to_string(),
            "succeeded": ended.outcome == Outcome::Succeeded,
        })),
    })
}

/// The rule of its VG comes first.
fn of_lv(part: &Part, of_vg: Option<&Rule>) -> Value {
    let own = part.rule;
    json!({
        "name": text(&part.lv),
        "activated": of_vg.is_none() && own.is_none(),
        "rule": own.map(|rule| rule.code()).or(of_vg.map(Rule::code)),
        "because": own.map(|rule| rule.words().to_owned()).or_else(|| of_vg.map(Rule::to_string)),
    })
}
