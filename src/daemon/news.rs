//! What the kernel, udevd and the directories that are watched tell.

use super::Daemon;
use crate::devno::DevNo;
use crate::sys::clock;
use crate::sys::inotify::Notice;
use crate::sys::monitor::Received;
use crate::sys::settings::MultipathFiles;
use crate::sys::udev_db::udevd_is_running;
use crate::watcher::{self, Cause};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often directories are looked for until no new one appears. Each look is as deep as all are.
const DIRECTORY_LOOKS: usize = 8;
/// multipathd writes one WWID at a time, and each look at all devices takes its time.
const RELOAD_DELAY: Duration = Duration::from_secs(1);
/// The node of a disk is there before the disk can be opened. To try that has the kernel look for a
/// module, with a process for each; its uevent says when.
const UEVENT_DELAY: Duration = Duration::from_secs(1);

impl Daemon<'_> {
    pub(super) fn drain_uevents(&mut self, now: Duration, limit: usize) {
        self.uevents_pending = false;
        let udevd = udevd_is_running();
        for _ in 0..limit {
            let Some(monitor) = &mut self.monitor else { return };
            match monitor.receive() {
                Received::Event(event) => {
                    self.uevents.seen += 1;
                    self.appeared.remove(&event.devno);
                    if udevd {
                        self.note_add(&event);
                    }
                    if let Some(cause) = Cause::of(&event, udevd) {
                        self.watcher.handle(now, watcher::Event::Touched { devno: event.devno, cause });
                    }
                }
                Received::Drained => return,
                Received::Lost => {
                    self.uevents.lost += 1;
                    self.watcher.handle(now, watcher::Event::Lost("uevents"));
                }
                Received::Failed(error) => {
                    self.uevents.failed += 1;
                    log::debug!("a uevent could not be received: {error}");
                }
            }
        }
        self.uevents_pending = true;
    }

    pub(super) fn drain_notices(&mut self, now: Duration, limit: usize) {
        self.notices_pending = false;
        for _ in 0..limit {
            let Some(watches) = &mut self.watches else { return };
            let (devnos, cause) = match watches.receive() {
                Notice::Written(devno) => (self.scope.written(devno), Cause::Written),
                Notice::NodeGone(devno) => (vec![devno], Cause::Node),
                Notice::Named { directory, name, .. }
                    if self.devices_file.as_ref().is_some_and(|path| *path == directory.join(&name)) =>
                {
                    let _ = self.reload(now, false);
                    continue;
                }
                Notice::Named { directory, name, .. }
                    if self.multipath_files.as_ref().is_some_and(|files| files.contains(&directory.join(&name))) =>
                {
                    self.reload_due.get_or_insert(now + RELOAD_DELAY);
                    continue;
                }
                Notice::Named { directory, name, created }
                    if self.notice_of_activation(now, &directory, &name, created) =>
                {
                    continue;
                }
                Notice::Named { directory, name, .. } => (self.named(&directory.join(name)), Cause::Node),
                Notice::Lost => {
                    self.watcher.handle(now, watcher::Event::Lost("inotify events"));
                    self.look_at_activation(now);
                    (Vec::new(), Cause::Node)
                }
                Notice::Failed(error) => {
                    log::debug!("a notice of inotify could not be read: {error}");
                    (Vec::new(), Cause::Node)
                }
                Notice::Drained => return,
            };
            for devno in devnos {
                if cause == Cause::Node && self.awaits_uevent(devno) {
                    self.appeared.entry(devno).or_insert(now + UEVENT_DELAY);
                } else {
                    self.watcher.handle(now, watcher::Event::Touched { devno, cause });
                }
            }
        }
        self.notices_pending = true;
    }

    fn awaits_uevent(&self, devno: DevNo) -> bool {
        self.monitor.is_some() && self.options.devices.is_empty() && !self.watcher.devices().contains_key(&devno)
    }

    /// Looks at devices of which nothing but a node was seen until then.
    pub(super) fn look_at_appeared(&mut self, now: Duration, until: Duration) {
        let due = self.appeared.iter().filter(|(_, at)| **at <= until).map(|(devno, _)| *devno).collect::<Vec<_>>();
        for devno in due {
            self.appeared.remove(&devno);
            self.watcher.handle(now, watcher::Event::Touched { devno, cause: Cause::Node });
        }
    }

    fn named(&mut self, path: &Path) -> Vec<DevNo> {
        if self.scope.leads_on(path) {
            self.watch_directories();
        }
        self.scope.named(path)
    }

    pub(super) fn watch(&mut self, devno: DevNo, path: &Path) {
        let Some(watches) = &mut self.watches else { return };
        match watches.watch(devno, path) {
            Ok(()) => {
                self.unwatched.remove(&devno);
            }
            // The look that follows will say that it is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                if self.unwatched.insert(devno) && self.unwatched.len() == 1 {
                    log::warn!("{}: writes to it are not noticed: inotify: {error}", path.display());
                }
            }
        }
        self.watcher.set_blind(clock::now(), !self.unwatched.is_empty());
    }

    pub(super) fn watch_directories(&mut self) {
        let Some(watches) = &mut self.watches else { return };
        let mut watched: Vec<PathBuf> = Vec::new();
        for _ in 0..DIRECTORY_LOOKS {
            let directories = self.scope.directories();
            if directories == watched {
                return;
            }
            for directory in directories.iter().filter(|directory| !watched.contains(*directory)) {
                if let Err(error) = watches.watch_directory(directory) {
                    log::warn!("{}: new nodes in it are not noticed: inotify: {error}", directory.display());
                }
            }
            // One that was made in another before that was watched shows now.
            watched = directories;
        }
    }

    /// The directories of the devices file and of multipath's files. One that is made later takes a SIGHUP.
    pub(super) fn watch_files(&mut self) {
        let Some(watches) = &mut self.watches else { return };
        if let Some(directory) = self.devices_file.as_ref().and_then(|path| path.parent())
            && let Err(error) = watches.watch_files(directory)
        {
            log::warn!("{}: changes of the devices file are not noticed: inotify: {error}", directory.display());
        }
        for directory in self.multipath_files.iter().flat_map(MultipathFiles::directories) {
            match watches.watch_files(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    log::warn!(
                        "{}: changes of multipath's files are not noticed: inotify: {error}",
                        directory.display()
                    );
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}
