//! The steps, in an order in which each leaves somebody in charge.

use super::{Mode, Programs, State};
use std::fmt;

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// `Err` for one that says nothing.
    pub state: Option<Result<State, String>>,
    pub lvm: Vec<Slot>,
    pub own: Option<Slot>,
    /// The text of our rule, if it is there.
    pub own_text: Vec<u8>,
    /// Other rules that call pvscan, by their paths.
    pub others: Vec<String>,
    /// Directories that are not there, the outermost first.
    pub absent: Vec<String>,
}

/// A name in `/etc/udev/rules.d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub name: String,
    pub here: Here,
    pub saved: Saved,
    /// The rule of this name elsewhere, which counts if there is none here.
    pub elsewhere: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    Nothing,
    /// A link to `/dev/null`, or an empty file: udevd ignores all of this name.
    Mask,
    /// Our rule.
    Ours,
    /// An administrator's own.
    Theirs,
}

/// Whether the administrator's own is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    No,
    /// It is, and in its place, too: what was begun has not ended.
    Both,
    Yes,
}

/// Each is done whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    MakeDirectory(String),
    WriteState(State),
    /// A second name for what is in a slot.
    Save(String),
    /// In the place of what is there.
    Mask(String),
    WriteRule(String),
    /// What was saved, in the place of what is there.
    Restore(String),
    /// The second name of what is in its place again.
    DropSaved(String),
    Remove(String),
    RemoveState,
    /// Where the state and what was saved have been, unless there is something in it.
    RemoveOwnDirectories,
    /// Unless there is something in it.
    RemoveDirectory(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// What is to be said of what is left as it is.
    pub notes: Vec<String>,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    State(String),
    /// Two that are not the same, in its place and aside.
    TwoOf(String),
    Program(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::State(error) => {
                write!(f, "pvwatch/takeover cannot be understood, so what it undoes is not known: {error}")
            }
            Refusal::TwoOf(name) => write!(
                f,
                "{name} was put into /etc/udev/rules.d after another had been put aside, in pvwatch/saved: remove one of them"
            ),
            Refusal::Program(path) => write!(f, "{path:?} cannot stand in a udev rule"),
        }
    }
}

impl std::error::Error for Refusal {}

fn known(found: &Found) -> Result<Option<&State>, Refusal> {
    match &found.state {
        None => Ok(None),
        Some(Ok(state)) => Ok(Some(state)),
        Some(Err(error)) => Err(Refusal::State(error.clone())),
    }
}

impl Found {
    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.own.iter().chain(&self.lvm)
    }
}

/// First what is to be undone is put aside and written down, then our rule, and only then LVM's is
/// masked: at no time is there none.
pub fn enable(found: &Found, mode: Mode, programs: &Programs) -> Result<Plan, Refusal> {
    let before = known(found)?;
    let Some(rule) = programs.rule(mode) else { return disable(found, Some(programs)) };
    if let Some(path) = programs.unusable() {
        return Err(Refusal::Program(path.to_owned()));
    }
    if let Some(slot) = found.slots().find(|slot| slot.here == Here::Theirs && slot.saved == Saved::Yes) {
        return Err(Refusal::TwoOf(slot.name.clone()));
    }
    let mut plan = Plan::default();
    let mut state = State::new(mode, programs.clone());
    state.made = before.map_or_else(Vec::new, |before| before.made.clone());
    for path in &found.absent {
        make(path, &mut state, &mut plan);
    }
    let was_ours = |name: &String| before.is_some_and(|before| before.masked.contains(name));
    for slot in &found.lvm {
        let is_there = slot.here == Here::Theirs || slot.elsewhere.is_some();
        if was_ours(&slot.name) || is_there && slot.here != Here::Mask {
            state.masked.push(slot.name.clone());
        } else if slot.here == Here::Mask {
            plan.notes.push(format!("{} was masked before, and stays so when takeover is disabled", slot.name));
        }
    }
    let masks = found.lvm.iter().filter(|slot| slot.here != Here::Mask && state.masked.contains(&slot.name));
    let masks = masks.collect::<Vec<_>>();
    // This may be refused, by what is mounted where; nothing has been changed then.
    found.own.iter().chain(masks.iter().copied()).for_each(|slot| save(slot, &mut plan.steps));
    if before != Some(&state) {
        plan.steps.push(Step::WriteState(state.clone()));
    }
    let is_written = found.own.as_ref().is_some_and(|own| own.here == Here::Ours);
    if !is_written || found.own_text != rule.as_bytes() {
        plan.steps.push(Step::WriteRule(rule));
    }
    plan.steps.extend(masks.iter().map(|slot| Step::Mask(slot.name.clone())));
    Ok(plan)
}

fn make(path: &str, state: &mut State, plan: &mut Plan) {
    plan.steps.push(Step::MakeDirectory(path.to_owned()));
    if !state.made.iter().any(|made| made == path) {
        state.made.push(path.to_owned());
    }
}

fn save(slot: &Slot, steps: &mut Vec<Step>) {
    if (slot.here, slot.saved) == (Here::Theirs, Saved::No) {
        steps.push(Step::Save(slot.name.clone()));
    }
}

/// The other way round: LVM's rule first, ours next, and what is written down last. With programs,
/// what is left is [`Mode::Compare`].
pub fn disable(found: &Found, compare: Option<&Programs>) -> Result<Plan, Refusal> {
    let before = known(found)?;
    let mut plan = Plan::default();
    let mut after = compare.map(|programs| State::new(Mode::Compare, programs.clone()));
    if let Some(after) = &mut after {
        after.made = before.map_or_else(Vec::new, |before| before.made.clone());
        for path in &found.absent {
            make(path, after, &mut plan);
        }
    }
    let was_ours = |slot: &&Slot| before.is_some_and(|before| before.masked.contains(&slot.name));
    for slot in found.lvm.iter().filter(|slot| was_ours(slot) || slot.saved == Saved::Both) {
        undo(slot, Here::Mask, &mut plan);
    }
    if let Some(own) = &found.own {
        undo(own, Here::Ours, &mut plan);
    }
    match &after {
        Some(after) if before == Some(after) => {}
        Some(after) => plan.steps.push(Step::WriteState(after.clone())),
        None => {
            if before.is_some() {
                plan.steps.push(Step::RemoveState);
            }
            plan.steps.push(Step::RemoveOwnDirectories);
            let made = before.into_iter().flat_map(|before| before.made.iter().rev());
            plan.steps.extend(made.map(|path| Step::RemoveDirectory(path.clone())));
        }
    }
    Ok(plan)
}

fn undo(slot: &Slot, ours: Here, plan: &mut Plan) {
    let name = slot.name.clone();
    match (slot.here, slot.saved) {
        (here, Saved::Yes) if here == ours || here == Here::Nothing => plan.steps.push(Step::Restore(name)),
        (here, Saved::No) if here == ours => plan.steps.push(Step::Remove(name)),
        (_, Saved::Both) => plan.steps.push(Step::DropSaved(name)),
        (_, Saved::Yes) => plan.notes.push(format!(
            "{name} was put into /etc/udev/rules.d since, and stays; what was there before stays in pvwatch/saved"
        )),
        (_, Saved::No) => {}
    }
}

impl Found {
    /// The rules of LVM that count, by their paths.
    pub fn lvm_in_force(&self) -> impl Iterator<Item = String> {
        self.lvm.iter().filter_map(|slot| match slot.here {
            Here::Mask => None,
            Here::Ours | Here::Theirs => Some(format!("/etc/udev/rules.d/{}", slot.name)),
            Here::Nothing => slot.elsewhere.clone(),
        })
    }
}
