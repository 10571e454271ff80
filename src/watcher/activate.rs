//! Which VG is offered when: the rules of [`crate::activation`], applied to what is known.

use super::{Event, Watcher};
use crate::activation::Rule;
use crate::id::Id;
use std::time::Duration;

/// What is to be said of a VG's activation, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    pub vgid: Id,
    pub name: Vec<u8>,
    /// The first rule that keeps it from being activated; `None`: it is, or will be at once.
    pub rule: Option<Rule>,
}

impl Watcher {
    /// Of every VG that is known.
    pub fn activations(&self) -> Vec<Activation> {
        Vec::new()
    }

    pub(super) fn handle_activation(&mut self, _now: Duration, _event: Event) {}
}
