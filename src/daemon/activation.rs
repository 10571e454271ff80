//! What the watcher asks for to have VGs activated, carried out.

use super::{Daemon, SYSTEMD, UDEVD, open_monitor};
use crate::activation::udev::{Adds, Standing};
use crate::activation::{Claimed, Mode, Offered, Order, Restored};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::is_valid_name;
use crate::online::Change;
use crate::sys::activation::process::Processes;
use crate::sys::activation::systemd::{self, Systemd};
use crate::sys::activation::{Happening, Program};
use crate::sys::monitor::{Monitor, Received};
use crate::sys::run_files::Error;
use crate::sys::state_dir::StateDir;
use crate::sys::udev_db::{self, udevd_is_running};
use crate::uevent::{Action, Uevent};
use crate::watcher;
use mio::unix::SourceFd;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// After what is written down could not be read.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// `vgs_online` and `pvs_online`.
type Recorded = (Vec<Vec<u8>>, Vec<Id>);

pub(super) struct Activation {
    /// `None` while nothing is to be activated, or it cannot be written down.
    state: Option<StateDir>,
    /// When it is tried again.
    again: Option<Duration>,
    /// Why nothing can be activated; it has been said.
    failing: Option<String>,
    /// What LVM had recorded when it was tried first: what has come since is ours.
    found: Option<Recorded>,
    /// What udevd has dealt with.
    udevd: Option<Monitor>,
    /// More is waiting in it than one turn takes.
    pub udevd_pending: bool,
    adds: Adds,
    processes: Processes,
    systemd: Systemd,
}

impl Activation {
    pub fn new() -> Activation {
        Activation {
            state: None,
            again: None,
            failing: None,
            found: None,
            udevd: None,
            udevd_pending: false,
            adds: Adds::default(),
            processes: Processes::default(),
            systemd: Systemd::new(Path::new(systemd::SOCKET), SYSTEMD),
        }
    }

    /// Whether what is written down is somewhere else.
    pub fn is_elsewhere(&self, state_dir: &Path) -> bool {
        self.state.as_ref().is_some_and(|state| state.path() != state_dir)
    }

    pub fn error(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    pub fn poll_timeout(&self) -> Option<Duration> {
        [self.again, self.processes.poll_timeout(), self.systemd.poll_timeout()].into_iter().flatten().min()
    }
}

impl Daemon<'_> {
    /// Whether it is known what was offered, and can be written down: until then a rule that calls us is
    /// not left alone.
    pub(super) fn can_activate(&self) -> bool {
        self.activation.state.is_some()
    }

    /// Images are nobody's to activate here, and a pure cache server knows of no device.
    fn may_activate(&self) -> bool {
        self.options.scan && !self.scope.only_images()
    }

    pub(super) fn begin_activation(&mut self, now: Duration) {
        let state_dir = self.watcher.settings().state_dir.clone();
        self.set_activation_mode(now, self.watcher.settings().mode(), &state_dir);
    }

    /// Reads what is written down of this boot, when the mode is another: before the watcher is told.
    pub(super) fn set_activation_mode(&mut self, now: Duration, mode: Mode, state_dir: &Path) {
        if mode == Mode::Off
            && self.may_activate()
            && let Err(error) = StateDir::leave_charge(state_dir)
        {
            log::error!("{error}");
        }
        if mode == Mode::Off || !self.may_activate() {
            if self.activation.state.take().is_some() {
                log::info!("activation: {mode}");
            }
            self.activation.again = None;
            self.activation.failing = None;
            self.activation.found = None;
            self.activation.adds.lost();
            if let Some(monitor) = self.activation.udevd.take() {
                let _ = self.poll.registry().deregister(&mut SourceFd(&monitor.as_raw_fd()));
            }
            return;
        }
        // Before the database is asked for anything.
        if self.activation.udevd.is_none() {
            let size = self.watcher.settings().receive_buffer;
            self.activation.udevd = open_monitor(self.poll.registry(), UDEVD, || Monitor::open_udevd(size));
        }
        match self.restore(mode, state_dir) {
            Ok((state, restored)) => {
                self.activation.again = None;
                self.activation.failing = None;
                self.activation.found = None;
                self.activation.state = Some(state);
                log::info!("activation: {mode}");
                self.watcher.handle(now, watcher::Event::Restored(restored));
            }
            Err(error) => {
                if self.activation.failing.is_none() {
                    log::error!("nothing is activated: {error}");
                }
                self.activation.failing = Some(error);
                self.activation.again = Some(now + AGAIN_AFTER);
            }
        }
    }

    fn restore(&mut self, mode: Mode, state_dir: &Path) -> Result<(StateDir, Restored), String> {
        let say = |error: Error| error.to_string();
        let recorded = self.recorded();
        let (vgs_online, pvs_online) = self.activation.found.insert(recorded.clone().unwrap_or_default()).clone();
        recorded?;
        let state = StateDir::open(state_dir).map_err(say)?;
        if let Some(watches) = &mut self.watches
            && let Err(error) = watches.watch_files(&state.inhibited())
        {
            log::warn!("{}: changes are not noticed: inotify: {error}", state.inhibited().display());
        }
        let restored = Restored {
            offered: state.offered().map_err(say)?,
            inhibits: state.inhibits().map_err(say)?,
            is_first: state.is_first(),
            vgs_online,
            pvs_online,
        };
        self.watch_vgs_online(mode);
        let noted = if mode == Mode::On { state.take_charge() } else { StateDir::leave_charge(state_dir) };
        noted.map_err(say)?;
        Ok((state, restored))
    }

    fn recorded(&mut self) -> Result<Recorded, String> {
        match (&self.activation.found, self.run_files.path()) {
            (Some(found), _) => Ok(found.clone()),
            (None, None) => Ok(Recorded::default()),
            (None, Some(_)) => {
                let listing = self.run_files.list()?;
                Ok((listing.vgs, listing.pvs.into_iter().map(|(pvid, _)| pvid).collect()))
            }
        }
    }

    /// Where somebody else activates, and is to be watched doing so.
    fn watch_vgs_online(&mut self, mode: Mode) {
        let directory = self.run_files.vgs_online();
        let (Some(watches), Some(directory)) = (&mut self.watches, directory) else { return };
        if mode == Mode::Compare
            && let Err(error) =
                self.run_files.list().map_err(std::io::Error::other).and_then(|_| watches.watch_directory(&directory))
        {
            log::warn!("{}: what LVM activates is not noticed: inotify: {error}", directory.display());
        }
    }

    /// A name has appeared in a directory, or gone. False if that is none of ours.
    pub(super) fn notice_of_activation(
        &mut self,
        now: Duration,
        directory: &Path,
        name: &OsStr,
        created: bool,
    ) -> bool {
        if self.activation.state.as_ref().is_some_and(|state| state.inhibited() == directory) {
            self.tell_inhibits(now);
            return true;
        }
        if self.run_files.vgs_online().is_none_or(|vgs_online| vgs_online != directory) {
            return false;
        }
        if created && self.watcher.settings().mode() == Mode::Compare && is_valid_name(name.as_bytes()) {
            self.watcher.handle(now, watcher::Event::VgOnline(name.as_bytes().to_vec()));
        }
        true
    }

    /// Notices were lost: what there is now.
    pub(super) fn look_at_activation(&mut self, now: Duration) {
        if self.activation.state.is_none() {
            return;
        }
        self.tell_inhibits(now);
        if self.watcher.settings().mode() == Mode::Compare
            && let Ok(listing) = self.run_files.list()
        {
            listing.vgs.into_iter().for_each(|vg| self.watcher.handle(now, watcher::Event::VgOnline(vg)));
        }
    }

    pub(super) fn tell_inhibits(&mut self, now: Duration) {
        let Some(state) = &self.activation.state else { return };
        match state.inhibits() {
            Ok(inhibits) => self.watcher.handle(now, watcher::Event::Inhibited(inhibits)),
            Err(error) => log::error!("{error}; what is inhibited stays as it was"),
        }
    }

    /// Inhibits a VG until then, or lifts that: whether it was lifted. Also where nothing is activated
    /// yet.
    pub(super) fn inhibit(
        &mut self,
        now: Duration,
        vg: &[u8],
        until: Option<Option<Duration>>,
    ) -> Result<bool, String> {
        let state = match &self.activation.state {
            Some(state) => state.clone(),
            None => StateDir::open(&self.watcher.settings().state_dir).map_err(|error| error.to_string())?,
        };
        let done = match until {
            Some(until) => state.inhibit(vg, until).map(|()| false),
            None => state.lift(vg),
        };
        let lifted = done.map_err(|error| error.to_string())?;
        self.tell_inhibits(now);
        Ok(lifted)
    }

    pub(super) fn inhibits(&self) -> Result<Vec<crate::activation::Inhibit>, String> {
        let state = match &self.activation.state {
            Some(state) => state.clone(),
            None => StateDir::open(&self.watcher.settings().state_dir).map_err(|error| error.to_string())?,
        };
        state.inhibits().map_err(|error| error.to_string())
    }

    /// First the record, then the claim that others see: whoever ends in between has activated nothing
    /// and never will, and that is better than twice.
    pub(super) fn offer(&mut self, offered: &Offered) -> Result<Claimed, String> {
        let state = self.activation.state.clone().ok_or("nothing is activated")?;
        // Somebody may have removed all of it.
        let written = state.write_offer(offered).or_else(|_| StateDir::open(state.path())?.write_offer(offered));
        written.map_err(|error| error.to_string())?;
        let claimed = match self.run_files.path() {
            Some(_) => self.run_files.claim_vg(&offered.name),
            None => Ok(true),
        };
        match claimed {
            Ok(true) => Ok(Claimed::Made),
            Ok(false) => Ok(Claimed::Taken),
            Err(error) => {
                self.forget_offer(offered.vgid);
                Err(error)
            }
        }
    }

    pub(super) fn forget_offer(&mut self, vgid: Id) {
        if let Some(state) = &self.activation.state
            && let Err(error) = state.remove_offer(vgid)
        {
            log::error!("{error}; the VG is taken for offered when we start again");
        }
    }

    pub(super) fn withdraw_offer(&mut self, vgid: Id, name: &[u8]) {
        if self.run_files.path().is_some()
            && let Err(error) = self.run_files.change(&Change::VgOffline(name.to_vec()))
        {
            log::error!("{error}");
        }
        self.forget_offer(vgid);
    }

    pub(super) fn activate(&mut self, now: Duration, order: Order) {
        let program = Program::new(self.watcher.settings().lvm.as_deref());
        let mut happenings = Vec::new();
        if systemd::is_running() {
            self.activation.systemd.start(now, self.poll.registry(), &program, order, &mut happenings);
        } else {
            self.activation.processes.start(&program, order, &mut happenings);
        }
        self.tell_activation(now, happenings);
    }

    pub(super) fn end_activation(&mut self, now: Duration, vgid: Id) {
        self.activation.processes.end(now, vgid);
        self.activation.systemd.end(now, vgid);
    }

    pub(super) fn reap_activations(&mut self, now: Duration) {
        let mut happenings = Vec::new();
        self.activation.processes.reap(&mut happenings);
        self.tell_activation(now, happenings);
    }

    pub(super) fn hear_systemd(&mut self, now: Duration) {
        let mut happenings = Vec::new();
        self.activation.systemd.handle_ready(now, self.poll.registry(), &mut happenings);
        self.tell_activation(now, happenings);
    }

    pub(super) fn handle_activation_timeout(&mut self, now: Duration) {
        if self.activation.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        let mut happenings = Vec::new();
        self.activation.processes.handle_timeout(now, &mut happenings);
        self.activation.systemd.handle_timeout(now, self.poll.registry(), &mut happenings);
        self.tell_activation(now, happenings);
        if self.activation.again.is_some_and(|at| at <= now) {
            self.begin_activation(now);
        }
    }

    fn tell_activation(&mut self, now: Duration, happenings: Vec<Happening>) {
        for happening in happenings {
            let event = match happening {
                Happening::Started(vgid, by) => watcher::Event::ActivationStarted { vgid, by },
                Happening::Ended(vgid, outcome) => watcher::Event::ActivationEnded { vgid, outcome },
            };
            self.watcher.handle(now, event);
        }
    }

    /// The kernel says so, and udevd is to deal with it.
    pub(super) fn note_add(&mut self, event: &Uevent) {
        if let (Action::Add, Some(seqnum), Some(_)) = (event.action, event.seqnum, &self.activation.udevd) {
            self.activation.adds.added(event.devno, seqnum);
        }
    }

    pub(super) fn standing(&self, devno: DevNo) -> Standing {
        match udevd_is_running() && self.activation.adds.is_awaited(devno) {
            true => Standing::Awaited,
            false => udev_db::standing(devno),
        }
    }

    pub(super) fn drain_udevd(&mut self, now: Duration, limit: usize) {
        self.activation.udevd_pending = false;
        for _ in 0..limit {
            let Some(monitor) = &mut self.activation.udevd else { return };
            match monitor.receive() {
                Received::Event(event) => {
                    if let Some(seqnum) = event.seqnum {
                        self.activation.adds.done(event.devno, seqnum);
                    }
                    let done = watcher::Event::UdevDone { devno: event.devno, seqnum: event.seqnum };
                    self.watcher.handle(now, done);
                }
                Received::Drained => return,
                // It may have been any of them.
                Received::Lost => {
                    self.activation.adds.lost();
                    let devnos = self.watcher.devices().keys().copied().collect::<Vec<_>>();
                    for devno in devnos {
                        self.watcher.handle(now, watcher::Event::UdevDone { devno, seqnum: None });
                    }
                }
                Received::Failed(error) => log::debug!("an event of udevd's could not be received: {error}"),
            }
        }
        self.activation.udevd_pending = true;
    }
}
