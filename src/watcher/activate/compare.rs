//! What LVM has done, against what we would have.

use super::super::{Report, Watcher};
use crate::activation::{By, Mode, Rule};
use crate::id::Id;
use std::fmt;
use std::time::Duration;

/// The one may take that long to do as the other.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many differences are kept.
const KEPT_MAX: usize = 100;
/// How many VGs are remembered that LVM has activated and that are not known.
const UNKNOWN_MAX: usize = 1000;

/// In what LVM has done otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// We would have activated it so much earlier.
    Earlier(Duration),
    Later(Duration),
    /// LVM has activated it, and we would not.
    WouldNot(Rule),
    /// We would have activated it, and LVM has not so long after.
    LvmHasNot(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    pub vg: Vec<u8>,
    pub at: Duration,
    pub difference: Difference,
}

impl Difference {
    /// For programs.
    pub fn code(&self) -> &'static str {
        match self {
            Difference::Earlier(_) => "earlier",
            Difference::Later(_) => "later",
            Difference::WouldNot(_) => "would_not",
            Difference::LvmHasNot(_) => "lvm_has_not",
        }
    }
}

/// Behind the name of the VG.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: &Duration| format!("{:.3} s", time.as_secs_f64());
        match self {
            Difference::Earlier(time) => write!(f, "would have been activated {} earlier", seconds(time)),
            Difference::Later(time) => write!(f, "would have been activated {} later", seconds(time)),
            Difference::WouldNot(rule) => write!(f, "LVM has activated it, which pvwatch would not: {rule}"),
            Difference::LvmHasNot(time) => {
                write!(f, "LVM has not activated it {} after pvwatch would have", seconds(time))
            }
        }
    }
}

/// Of one VG, since it became complete.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    /// When LVM has recorded it as online.
    pub(super) lvm_at: Option<Duration>,
    /// All has been said of it.
    pub(super) is_over: bool,
}

impl Watcher {
    /// LVM has recorded that it activates the VG.
    pub(super) fn vg_online(&mut self, now: Duration, name: Vec<u8>) {
        if self.settings.mode() != Mode::Compare {
            return;
        }
        let Some(vgids) = self.online.truth.names.get(&name) else {
            if self.offers.lvm_online.len() < UNKNOWN_MAX {
                self.offers.lvm_online.entry(name).or_insert(now);
            }
            return;
        };
        for vgid in vgids.iter().copied().collect::<Vec<_>>() {
            self.offers.vg(vgid).comparing.lvm_at.get_or_insert(now);
            self.offers.wake(vgid);
        }
    }

    /// Says in what LVM has done otherwise, once it is known.
    pub(super) fn compare(&mut self, now: Duration, vgid: Id) {
        let Some(known) = self.online.truth.vgs.get(&vgid) else { return };
        let name = known.text.name.clone();
        let seen_before = self.offers.lvm_online.remove(&name);
        let vg = self.offers.vg(vgid);
        vg.comparing.lvm_at = vg.comparing.lvm_at.or(seen_before);
        if vg.comparing.is_over {
            return;
        }
        let ours = match vg.offered {
            // Neither of us is known to have done it.
            Some((_, By::Another | By::Command)) => return vg.comparing.is_over = true,
            Some((at, By::Us)) => Some(at),
            None => None,
        };
        let lvms = vg.comparing.lvm_at;
        let difference = match (ours, lvms) {
            (None, None) => return,
            (Some(ours), Some(lvms)) if ours <= lvms => Difference::Earlier(lvms - ours),
            (Some(ours), Some(lvms)) => Difference::Later(ours - lvms),
            (Some(at), None) | (None, Some(at)) if now < at + PATIENCE => {
                return self.offers.set_alarm_by(vgid, at + PATIENCE);
            }
            (Some(ours), None) => Difference::LvmHasNot(now - ours),
            (None, Some(_)) => {
                let rule = self.activation(vgid).and_then(|activation| activation.rule);
                match rule {
                    // A device of it is about to be read.
                    None | Some(Rule::Mode(_)) => return self.offers.set_alarm_by(vgid, now + PATIENCE),
                    Some(rule) => Difference::WouldNot(rule),
                }
            }
        };
        self.offers.vg(vgid).comparing.is_over = true;
        let differences = &mut self.offers.differences;
        if differences.len() == KEPT_MAX {
            differences.pop_front();
        }
        differences.push_back(Compared { vg: name.clone(), at: now, difference: difference.clone() });
        self.report(Report::Differs { vg: name, difference });
    }
}
