//! What the metadata of a VG and the configuration say, whatever devices there are.

use super::Rule;
use crate::conf::Settings;
use crate::metadata::{Kept, VgText};

/// The first rule by which this host does not activate the VG by itself.
pub fn by_metadata(text: &VgText, settings: &Settings, system_id: Option<&str>) -> Result<(), Rule> {
    if !settings.event_activation {
        return Err(Rule::EventActivation);
    }
    if let Some(problem) = &text.unreadable {
        return Err(Rule::Unusable(problem.detail.clone()));
    }
    let named = |name: &Option<Vec<u8>>| String::from_utf8_lossy(name.as_deref().unwrap_or_default()).into_owned();
    match text.access.kept_from(system_id.map(str::as_bytes)) {
        Some(Kept::Exported) => Err(Rule::Exported),
        Some(Kept::Foreign) => Err(Rule::Foreign(named(&text.access.system_id))),
        Some(Kept::Shared) => Err(Rule::Shared(named(&text.access.lock_type))),
        None => Ok(()),
    }
}
