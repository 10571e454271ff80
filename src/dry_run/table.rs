//! What would be activated, for people.

use crate::words::{ago, lasting, printable};
use serde_json::Value;

const HEADER: [&str; 4] = ["VG", "ACTIVATED", "RULE", "WHY"];

/// A line for each VG, and below it one for each of its LVs that stays as it is by a rule of its own.
pub fn table(activations: &[Value]) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for vg in activations {
        let done = done(&vg["done"]);
        // That it had its turn, what came of that says as well.
        let is_said = !done.is_empty() && vg["now"]["rule"] == "offered-before";
        let now = if is_said { String::new() } else { word(&vg["now"], "because") };
        let why = [word(vg, "because"), done, now];
        let why = why.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join("; ");
        rows.push([word(vg, "vg"), word(vg, "activated"), word(vg, "rule"), why]);
        let lvs = vg["lvs"].as_array().map_or(&[][..], Vec::as_slice);
        for lv in lvs.iter().filter(|lv| lv["activated"] == false && lv["rule"] != vg["rule"]) {
            rows.push([format!("  {}", word(lv, "name")), "no".to_owned(), word(lv, "rule"), word(lv, "because")]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut out = String::new();
    for [vg, activated, rule, why] in &rows {
        let line = format!("{vg:a$}  {activated:b$}  {rule:c$}  {why}", a = widths[0], b = widths[1], c = widths[2]);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn word(value: &Value, key: &str) -> String {
    printable(value[key].as_str().unwrap_or_default())
}

/// What has been done about a VG.
fn done(done: &Value) -> String {
    let ended = &done["ended"];
    if done["running"].is_number() {
        format!("being activated for {}", lasting(&done["running"]))
    } else if ended["succeeded"] == true {
        format!("activated {}", ago(&ended["ago"]))
    } else if ended.is_object() {
        format!("activation failed {}: {}", ago(&ended["ago"]), word(ended, "words"))
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lvs_stand_below_their_vg() {
        let lv = |name: &str, activated: bool, rule: Value| json!({"name": name, "activated": activated, "rule": rule, "because": rule});
        let vg = |name: &str, activated: &str, rule: Value, now: &str, done: Value, lvs: &[Value]| {
            json!({
                "vg": name, "activated": activated, "rule": rule, "because": rule, "now": {"because": now},
                "done": done, "lvs": lvs,
            })
        };
        let ended = json!({"ended": {"ago": 180.0, "succeeded": true, "outcome": "succeeded"}});
        let parts = [lv("x", true, Value::Null), lv("y", false, "skip".into())];
        let found = table(&[
            vg("a", "partly", Value::Null, "no\n", ended, &parts),
            vg("b", "yes", Value::Null, "", json!({"running": 2.0, "ended": null}), &[]),
            vg("c", "yes", Value::Null, "", json!({"ended": {"ago": 2.0, "words": "exit status 5"}}), &[]),
            vg("longer", "no", "foreign".into(), "", Value::Null, &[lv("z", false, "foreign".into())]),
        ]);
        let expected = "\
VG      ACTIVATED  RULE     WHY
a       partly              activated 3 min ago; no\\n
  y     no         skip     skip
b       yes                 being activated for 2.0 s
c       yes                 activation failed 2.0 s ago: exit status 5
longer  no         foreign  foreign
";
        assert_eq!(found, expected);
    }
}
