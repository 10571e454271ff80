//! Writes to devices and new names in directories, from inotify.
//!
//! The kernel reports a change of size or of a partition table itself. It does not report that
//! somebody wrote to a device; udevd knows from the same watch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use crate::devno::DevNo;

#[derive(Debug)]
pub enum Notice {
    /// Somebody who had the device open for writing has closed it.
    Written(DevNo),
    /// The node was deleted or renamed, and is not watched any more. Somebody who holds it open
    /// delays the news of a deletion.
    NodeGone(DevNo),
    Named {
        directory: PathBuf,
        name: OsString,
        created: bool,
    },
    /// The kernel's queue was full: any device may have been written to.
    Lost,
    Drained,
    Failed(io::Error),
}

pub struct Watches {
    inotify: Inotify,
    /// The kernel keeps one watch for each inode, and two nodes that are hard links are one inode.
    nodes: BTreeMap<WatchDescriptor, BTreeSet<DevNo>>,
    descriptors: BTreeMap<DevNo, WatchDescriptor>,
    /// Several names of one directory, by links, are one inode too.
    directories: BTreeMap<WatchDescriptor, BTreeSet<PathBuf>>,
    notices: VecDeque<Notice>,
}

impl Watches {
    pub fn open() -> io::Result<Watches> {
        Ok(Watches {
            inotify: Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?,
            nodes: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            directories: BTreeMap::new(),
            notices: VecDeque::new(),
        })
    }

    /// Watches the device under this name and no longer under another. `StorageFull` means that
    /// fs.inotify.max_user_watches is reached.
    pub fn watch(&mut self, devno: DevNo, node: &Path) -> io::Result<()> {
        // No IN_MASK_CREATE: all nodes have the same mask, so watching one again changes nothing.
        let mask = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        let added = self.inotify.add_watch(node, mask)?;
        // The new watch first: if both are one, it must not end in between.
        if self.descriptors.get(&devno) != Some(&added) {
            self.unwatch(devno);
        }
        self.descriptors.insert(devno, added);
        self.nodes.entry(added).or_default().insert(devno);
        Ok(())
    }

    pub fn unwatch(&mut self, devno: DevNo) {
        let Some(watch) = self.descriptors.remove(&devno) else { return };
        let Some(sharing) = self.nodes.get_mut(&watch) else { return };
        sharing.remove(&devno);
        if sharing.is_empty() {
            self.nodes.remove(&watch);
            // The kernel has removed it itself if the node is gone.
            let _ = self.inotify.rm_watch(watch);
        }
    }

    /// Reports the names that appear in and vanish from a directory; those that are there already
    /// are for the caller to read, afterwards.
    pub fn watch_directory(&mut self, directory: &Path) -> io::Result<()> {
        self.watch_names(directory, AddWatchFlags::IN_CREATE)
    }

    /// Reports the same of files, when they have been written.
    pub fn watch_files(&mut self, directory: &Path) -> io::Result<()> {
        self.watch_names(directory, AddWatchFlags::IN_CLOSE_WRITE)
    }

    fn watch_names(&mut self, directory: &Path, made: AddWatchFlags) -> io::Result<()> {
        let mask = made
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_ONLYDIR
            // It may be watched for something else already.
            | AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);
        let added = self.inotify.add_watch(directory, mask)?;
        self.directories.entry(added).or_default().insert(directory.to_owned());
        Ok(())
    }

    /// The next notice. Ask until the answer is `Drained`.
    pub fn receive(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return notice;
            }
            match self.inotify.read_events() {
                Ok(events) => events.into_iter().for_each(|event| self.translate(event)),
                Err(Errno::EAGAIN) => return Notice::Drained,
                Err(Errno::EINTR) => {}
                Err(error) => return Notice::Failed(error.into()),
            }
        }
    }

    /// Events of watches that were removed meanwhile find nothing; numbers are not used again.
    fn translate(&mut self, event: InotifyEvent) {
        let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_IGNORED;
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            self.notices.push_back(Notice::Lost);
        } else if let Some(directories) = self.directories.get(&event.wd) {
            if let Some(name) = event.name {
                let created = event.mask.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO);
                self.notices.extend(directories.iter().map(|directory| Notice::Named {
                    directory: directory.clone(),
                    name: name.clone(),
                    created,
                }));
            } else if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.directories.remove(&event.wd);
            }
        } else if event.mask.intersects(gone) {
            let devnos = self.nodes.remove(&event.wd).unwrap_or_default();
            if event.mask.contains(AddWatchFlags::IN_MOVE_SELF) && !devnos.is_empty() {
                let _ = self.inotify.rm_watch(event.wd);
            }
            for devno in devnos {
                self.descriptors.remove(&devno);
                self.notices.push_back(Notice::NodeGone(devno));
            }
        } else if event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE) {
            let devnos = self.nodes.get(&event.wd).into_iter().flatten();
            self.notices.extend(devnos.map(|&devno| Notice::Written(devno)));
        }
    }
}

impl AsRawFd for Watches {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    const A: DevNo = DevNo::new(8, 0);
    const B: DevNo = DevNo::new(8, 16);

    /// All notices in words.
    fn drain(watches: &mut Watches) -> Vec<String> {
        let mut words = Vec::new();
        loop {
            words.push(match watches.receive() {
                Notice::Written(devno) => format!("written {devno}"),
                Notice::NodeGone(devno) => format!("gone {devno}"),
                Notice::Named { name, created, .. } => format!("{} {}", name.display(), created),
                Notice::Lost => "lost".to_owned(),
                Notice::Drained => return words,
                Notice::Failed(error) => panic!("{error}"),
            });
        }
    }

    /// Waits for as many notices: a process that another test is about to start holds our
    /// descriptors for a moment, and what we close is not closed before it does.
    fn check(watches: &mut Watches, expected: &[&str]) {
        let (start, mut words) = (Instant::now(), drain(watches));
        while words.len() < expected.len() && start.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(1));
            words.extend(drain(watches));
        }
        assert_eq!(words, expected);
    }

    #[test]
    fn writes_are_reported_when_the_writer_closes() {
        let directory = tempfile::tempdir().unwrap();
        let (a, link) = (directory.path().join("a"), directory.path().join("link"));
        fs::write(&a, b"").unwrap();
        fs::hard_link(&a, &link).unwrap();
        let mut watches = Watches::open().unwrap();
        watches.watch(A, &a).unwrap();
        watches.watch(A, &a).unwrap();
        let writer = fs::File::options().write(true).open(&a).unwrap();
        check(&mut watches, &[]);
        drop(writer);
        fs::read(&a).unwrap();
        check(&mut watches, &["written 8:0"]);
        // The same inode by another name, for another device; one of them stays when one goes.
        watches.watch(B, &link).unwrap();
        fs::write(&a, b"").unwrap();
        check(&mut watches, &["written 8:0", "written 8:16"]);
        watches.unwatch(A);
        fs::write(&a, b"").unwrap();
        check(&mut watches, &["written 8:16"]);
        watches.unwatch(B);
        fs::write(&a, b"").unwrap();
        check(&mut watches, &[]);
    }

    #[test]
    fn a_device_has_one_watch() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        fs::write(&old, b"").unwrap();
        fs::write(&new, b"").unwrap();
        let mut watches = Watches::open().unwrap();
        watches.watch(A, &old).unwrap();
        watches.watch(A, &new).unwrap();
        fs::write(&old, b"").unwrap();
        fs::write(&new, b"").unwrap();
        check(&mut watches, &["written 8:0"]);
    }

    #[test]
    fn deleted_and_renamed_nodes_are_gone_once() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&a, b"").unwrap();
        fs::write(&b, b"").unwrap();
        let mut watches = Watches::open().unwrap();
        watches.watch(A, &a).unwrap();
        watches.watch(B, &b).unwrap();
        fs::remove_file(&a).unwrap();
        fs::rename(&b, directory.path().join("c")).unwrap();
        fs::write(directory.path().join("c"), b"").unwrap();
        check(&mut watches, &["gone 8:0", "gone 8:16"]);
        fs::write(directory.path().join("c"), b"").unwrap();
        check(&mut watches, &[]);
        let kernels = fs::read_to_string(format!("/proc/self/fdinfo/{}", watches.as_raw_fd())).unwrap();
        assert!(!kernels.contains("inotify wd"), "{kernels}");
        // The name is used again: a new watch, and the old one's end is not its end.
        fs::write(&a, b"").unwrap();
        watches.watch(A, &a).unwrap();
        fs::write(&a, b"").unwrap();
        check(&mut watches, &["written 8:0"]);
        assert!(watches.watch(A, &directory.path().join("nothing")).is_err());
    }

    #[test]
    fn names_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let mut watches = Watches::open().unwrap();
        watches.watch_directory(directory.path()).unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&a, b"").unwrap();
        fs::rename(&a, &b).unwrap();
        fs::remove_file(&b).unwrap();
        check(&mut watches, &["a true", "a false", "b true", "b false"]);
        fs::write(&a, b"").unwrap();
        drain(&mut watches);
        assert!(watches.watch_directory(&a).is_err(), "not a directory");
    }

    #[test]
    fn a_full_queue_is_reported() {
        let limit: usize =
            fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&a, b"").unwrap();
        fs::write(&b, b"").unwrap();
        let mut watches = Watches::open().unwrap();
        watches.watch(A, &a).unwrap();
        watches.watch(B, &b).unwrap();
        // In turns, because the kernel merges an event with an equal one before it, and more often
        // than it takes, because some may be merged all the same.
        for _ in 0..limit {
            drop(fs::File::options().write(true).open(&a).unwrap());
            drop(fs::File::options().write(true).open(&b).unwrap());
        }
        assert_eq!(drain(&mut watches).iter().filter(|word| *word == "lost").count(), 1);
    }
}
