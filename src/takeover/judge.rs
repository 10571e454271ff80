//! Who starts activation now, and what is not as it should be.

use super::{Found, Here, Mode, OWN_RULE, Saved, State, is_ours};
use crate::conf::ActivationSetting;

/// Who starts activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    Lvm,
    Pvwatch,
    /// Both, of which each VG has one.
    Both,
    Nobody,
}

impl Charge {
    pub fn as_str(self) -> &'static str {
        match self {
            Charge::Lvm => "LVM's rule",
            Charge::Pvwatch => "pvwatch",
            Charge::Both => "LVM's rule and pvwatch",
            Charge::Nobody => "nobody",
        }
    }
}

/// What counts besides the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    pub setting: ActivationSetting,
    /// What the daemon says that it does ([`Mode::as_str`](crate::activation::Mode::as_str));
    /// `None` if none answers.
    pub daemon: Option<String>,
    /// There is no daemon to be asked: it is an image.
    pub is_image: bool,
    /// Of the programs in the rule, those that are not there.
    pub absent_programs: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub charge: Charge,
    /// What contradicts what; nothing if all is consistent.
    pub problems: Vec<String>,
}

pub fn judge(found: &Found, circumstances: &Circumstances) -> Judgement {
    let mut problems = Vec::new();
    let state = match &found.state {
        Some(Ok(state)) => Some(state),
        Some(Err(error)) => {
            problems.push(format!("pvwatch/takeover says nothing: {error}"));
            None
        }
        None => None,
    };
    let enabled = state.filter(|state| state.mode != Mode::Compare);
    own_rule(found, enabled, &mut problems);
    for slot in found.own.iter().chain(&found.lvm) {
        let is_expected = enabled.is_some() && matches!(slot.here, Here::Mask | Here::Ours);
        match (slot.saved, slot.here) {
            (Saved::No, _) => {}
            (Saved::Yes, _) if is_expected => {}
            (Saved::Yes, Here::Theirs) => {
                problems.push(format!("there are two of {}: in /etc/udev/rules.d, and in pvwatch/saved", slot.name));
            }
            (Saved::Yes | Saved::Both, _) => {
                problems.push(format!("{} is in pvwatch/saved still: something has not ended", slot.name));
            }
        }
    }
    let lvms = found.lvm_in_force().chain(found.others.iter().cloned()).collect::<Vec<_>>();
    if enabled.is_some() {
        problems.extend(lvms.iter().map(|path| format!("{path} is not masked, and starts activation too")));
    }
    let has_rule = found.own.as_ref().is_some_and(|own| matches!(own.here, Here::Ours | Here::Theirs));
    let ours = starts(enabled.map(|state| state.mode), has_rule, circumstances, &mut problems);
    let charge = match (lvms.is_empty(), ours) {
        (false, false) => Charge::Lvm,
        (false, true) => Charge::Both,
        (true, true) => Charge::Pvwatch,
        (true, false) => Charge::Nobody,
    };
    if charge == Charge::Nobody {
        problems.push("no rule of LVM's is in force, and pvwatch is not in charge: nobody activates".to_owned());
    }
    if charge == Charge::Both && enabled.is_none() {
        problems.push("pvwatch/activation is \"on\", and LVM's rule starts activation too".to_owned());
    }
    daemon(state, circumstances, &mut problems);
    Judgement { charge, problems }
}

fn own_rule(found: &Found, enabled: Option<&State>, problems: &mut Vec<String>) {
    let here = found.own.as_ref().map_or(Here::Nothing, |own| own.here);
    let expected = enabled.and_then(|state| state.programs.rule(state.mode));
    match (expected, here) {
        (None, Here::Ours) => problems.push(format!("{OWN_RULE} is left over: takeover is not enabled")),
        (Some(_), Here::Nothing) => problems.push(format!("{OWN_RULE} is missing")),
        (Some(_), Here::Mask) => problems.push(format!("{OWN_RULE} is masked")),
        (Some(expected), Here::Ours | Here::Theirs) if found.own_text != expected.as_bytes() => {
            let what = if is_ours(&found.own_text) { "edited, or of another version" } else { "somebody else's" };
            problems.push(format!("{OWN_RULE} is not what this pvwatch writes: {what}"));
        }
        (None | Some(_), _) => {}
    }
}

/// Whether pvwatch, or the rule that it has put there, starts activation.
fn starts(mode: Option<Mode>, has_rule: bool, circumstances: &Circumstances, problems: &mut Vec<String>) -> bool {
    if mode.is_some() && mode != Some(Mode::Events) {
        let absent = circumstances.absent_programs.iter();
        problems.extend(absent.map(|path| format!("{path}, which the rule runs, is not there")));
    }
    let off = match circumstances.setting {
        ActivationSetting::Off => "off",
        ActivationSetting::Report => "report",
        ActivationSetting::Takeover => "",
        ActivationSetting::On => {
            if mode == Some(Mode::Lvm202) {
                problems.push("pvwatch/activation is \"on\", and lvm2-pvscan@.service activates too".to_owned());
            }
            return true;
        }
    };
    match mode {
        None | Some(Mode::Compare) => false,
        Some(Mode::Lvm202) => has_rule,
        Some(Mode::Rule | Mode::Events) if !off.is_empty() => {
            problems.push(format!("pvwatch/activation is {off:?}: nothing is activated"));
            false
        }
        Some(Mode::Events) if circumstances.daemon.is_none() && !circumstances.is_image => {
            problems.push("no daemon answers, and in this variant nobody else activates".to_owned());
            false
        }
        Some(Mode::Rule) => has_rule || circumstances.daemon.is_some(),
        Some(Mode::Events) => true,
    }
}

/// What the daemon does, beside what it should do.
fn daemon(state: Option<&State>, circumstances: &Circumstances, problems: &mut Vec<String>) {
    let Some(does) = &circumstances.daemon else { return };
    let should = match (circumstances.setting, state.map(|state| state.mode)) {
        (ActivationSetting::On, _) | (ActivationSetting::Takeover, Some(Mode::Rule | Mode::Events)) => "on",
        (ActivationSetting::Report, _) => "report",
        (ActivationSetting::Takeover, Some(Mode::Compare)) => "compare",
        (ActivationSetting::Off, _) | (ActivationSetting::Takeover, Some(Mode::Lvm202) | None) => "off",
    };
    if does != should {
        problems
            .push(format!("the daemon's mode is {does:?}, and should be {should:?}: systemctl reload pvwatch.service"));
    }
}
