//! The answer to `Activations`: what would be activated, and what not.

use super::status::{newest_text, text};
use crate::activation::{Part, Rule, decide};
use crate::watcher::{Activation, Watcher};
use serde_json::{Value, json};

/// Of every VG that is known.
pub fn activations(watcher: &Watcher) -> Vec<Value> {
    watcher.activations().iter().map(|activation| of_vg(watcher, activation)).collect()
}

fn of_vg(watcher: &Watcher, activation: &Activation) -> Value {
    let newest = newest_text(watcher, &activation.vgid.hyphenated());
    let parts = newest.map(|text| decide::parts(text, &watcher.settings().policy)).unwrap_or_default();
    // What has been done, or who does it, is another question than what would be.
    let (rule, note) = match &activation.rule {
        Some(rule @ (Rule::OfferedBefore(_) | Rule::Mode(_))) => (None, Some(rule)),
        rule => (rule.as_ref(), None),
    };
    let is_whole = parts.iter().all(|part| part.rule.is_none());
    json!({
        "vg": text(&activation.name),
        "id": activation.vgid.to_string(),
        "activated": if rule.is_some() { "no" } else if is_whole { "yes" } else { "partly" },
        "rule": rule.map(Rule::code),
        "because": rule.map(Rule::to_string),
        "note": note.map(Rule::to_string),
        "lvs": parts.iter().map(|part| of_lv(part, rule)).collect::<Vec<_>>(),
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
