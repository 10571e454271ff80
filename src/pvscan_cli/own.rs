//! The command's own look at devices, by the rules of the daemon.

use super::{block_devno, named};
use crate::conf::Settings;
use crate::device::Facts;
use crate::devno::DevNo;
use crate::filter::Rule;
use crate::multipath::{Standing, by_udev};
use crate::probe::{Disk, Probed, Target, passive, probe_all};
use crate::pvscan::{Asked, Found, Host, List, Operand, Pv, Request};
use crate::scan::Verdict;
use crate::signature::When;
use crate::sys::names::{Aliases, node_of};
use crate::sys::reader::Expect;
use crate::sys::sysfs::Sysfs;
use crate::sys::{settings, system_id};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// From so many devices on, it may take long enough to look.
const MANY: usize = 20;

pub struct Own {
    settings: Settings,
    sysfs: Sysfs,
    /// All names of all devices, once somebody needed them.
    aliases: Option<Aliases>,
    /// `DEVLINKS`: all links to the device, from udev, which may not have made them yet.
    links: Option<Vec<String>>,
    lvs: bool,
}

/// What is known of a device without reading it.
enum Known {
    Found(Found),
    ToRead { candidate: Box<Candidate>, target: Target },
}

/// A device that may be a PV's.
struct Candidate {
    devno: DevNo,
    node: String,
    facts: Facts,
    names: Vec<String>,
}

impl Own {
    /// Where LVM's run files are.
    pub fn run_dir(&self) -> Option<&Path> {
        self.settings.run_dir.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    pub fn load(over: settings::Over) -> Result<Own, settings::Error> {
        let directory = settings::system_dir();
        let links = std::env::var("DEVLINKS").ok();
        let mut settings = settings::load(&directory, over)?;
        settings::load_devices_file(&directory, &mut settings)?;
        settings::load_multipath(&mut settings);
        let mut sysfs = Sysfs::new();
        sysfs.read_ids = settings.filter.devices_file.is_some();
        sysfs.read_udev = settings.multipath.is_configured();
        Ok(Own {
            settings,
            sysfs,
            aliases: None,
            links: links.map(|links| links.split_whitespace().map(str::to_owned).collect()),
            lvs: false,
        })
    }

    pub fn host(&self) -> Host {
        system_id::host(&self.settings)
    }

    pub fn find(&mut self, request: &Request) -> Vec<Asked> {
        self.lvs = request.list == Some(List::Lvs);
        if !request.all {
            return self.look_at_all(&request.operands, false);
        }
        let present = match self.sysfs.enumerate() {
            Ok(present) => present,
            Err(error) => {
                let operand = Operand::Name("/sys".to_owned());
                return vec![Asked { operand, devno: None, found: Found::Unreadable(error.to_string()) }];
            }
        };
        // They are those of one device.
        self.links = None;
        let nodes = present.iter().map(|present| Operand::Name(node_of(&present.facts.name))).collect::<Vec<_>>();
        self.look_at_all(&nodes, io::stderr().is_terminal() && nodes.len() >= MANY)
    }

    /// One that somebody else has named: nothing in the environment is about it.
    pub fn look_at(&mut self, operand: &Operand) -> Found {
        let links = self.links.take();
        let found = self.look_at_all(std::slice::from_ref(operand), false).pop();
        self.links = links;
        found.map_or(Found::Gone, |asked| asked.found)
    }

    fn look_at_all(&mut self, operands: &[Operand], show: bool) -> Vec<Asked> {
        let mut asked = Vec::new();
        let mut targets = Vec::new();
        let mut reading = Vec::new();
        for operand in operands {
            let devno = match operand {
                Operand::Name(name) => block_devno(Path::new(name)),
                Operand::Number(devno) => Some(*devno),
            };
            let found = match self.known(operand, devno) {
                Known::Found(found) => found,
                Known::ToRead { candidate, target } => {
                    targets.push(target);
                    reading.push((asked.len(), candidate));
                    Found::NotAPv
                }
            };
            asked.push(Asked { operand: operand.clone(), devno, found });
        }
        let bar = if show { progress(targets.len()) } else { ProgressBar::hidden() };
        let probed =
            probe_all(targets, When::Always, self.settings.read_deadline, &mut |done| bar.set_position(done as u64));
        bar.finish_and_clear();
        for ((index, candidate), probed) in reading.into_iter().zip(probed) {
            let found = self.found(probed, *candidate);
            asked[index].found = named(found, &asked[index].operand);
        }
        asked
    }

    fn known(&mut self, operand: &Operand, devno: Option<DevNo>) -> Known {
        let Some(devno) = devno else { return Known::Found(Found::Gone) };
        let mut facts = match self.sysfs.facts(devno) {
            Ok(Some(facts)) if !is_empty(&facts) => facts,
            Ok(_) => return Known::Found(Found::Gone),
            Err(error) => return Known::Found(Found::Unreadable(error.to_string())),
        };
        let name = node_of(&facts.name);
        let path = match operand {
            Operand::Name(name) => PathBuf::from(name),
            Operand::Number(_) => PathBuf::from(&name),
        };
        // What has no name is not there for LVM.
        if !path.exists() {
            return Known::Found(Found::Gone);
        }
        let names = match self.names(devno, [path.to_string_lossy().into_owned(), name.clone()]) {
            Ok(names) => names,
            Err(error) => return Known::Found(Found::Unreadable(format!("/dev cannot be read: {error}"))),
        };
        let filter = &self.settings.filter;
        let names_of = || names.iter().map(String::as_str);
        if let Some(rule) = filter.hides(names_of()).or_else(|| filter.rejects(&facts, names_of())) {
            return Known::Found(Found::Excluded(rule.to_string()));
        }
        if let Some(reason) = facts.not_ready() {
            return Known::Found(Found::Unreadable(reason.to_owned()));
        }
        self.ask_environment(&mut facts);
        match self.settings.multipath.standing(&facts) {
            Standing::Component(member) => return Known::Found(Found::Excluded(member.why_no_pv())),
            Standing::Passive(state) => return Known::Found(Found::Excluded(passive(&state))),
            // Nobody stays to see whether the map comes. If it does not, udev says so in an event.
            Standing::Pending if !self.settings.multipath_wait.is_zero() => {
                return Known::Found(Found::Excluded("device may be a multipath component".to_owned()));
            }
            Standing::Pending | Standing::Free => {}
        }
        let disk = match self.disk_of(&facts) {
            Ok(disk) => disk,
            Err(error) => return Known::Found(Found::Unreadable(error.to_string())),
        };
        let target =
            Target { path, expect: Expect::Device(devno), is_dm: facts.is_dm(), is_partition: facts.partition, disk };
        Known::ToRead { candidate: Box::new(Candidate { devno, node: name, facts, names }), target }
    }

    /// The disk of a partition, if the filter lets it be read.
    fn disk_of(&mut self, facts: &Facts) -> io::Result<Option<Disk>> {
        let Some(disk) = Disk::of(&mut self.sysfs, facts)? else { return Ok(None) };
        let names = self.names(disk.devno, [disk.node(), disk.node()])?;
        let Some(facts) = self.sysfs.facts(disk.devno)? else { return Ok(None) };
        Ok(self.settings.filter.rejects(&facts, names.iter().map(String::as_str)).is_none().then_some(disk))
    }

    /// While udev's rules run, its database has what was true before; the properties of the device are
    /// in the environment.
    fn ask_environment(&self, facts: &mut Facts) {
        if let Some(path) = facts.path.as_mut().filter(|_| self.links.is_some() && self.sysfs.read_udev) {
            path.udev = udev_says();
        }
    }

    /// The names that filters look at.
    fn names(&mut self, devno: DevNo, own: [String; 2]) -> io::Result<Vec<String>> {
        let mut names = own.to_vec();
        if !self.settings.filter.needs_names() {
            return Ok(names);
        }
        if let Some(links) = &self.links {
            names.extend(links.iter().cloned());
            return Ok(names);
        }
        if self.aliases.is_none() {
            self.aliases = Some(Aliases::read()?);
        }
        names.extend(self.aliases.iter().flat_map(|aliases| aliases.of(devno)).cloned());
        Ok(names)
    }

    fn found(&self, probed: Probed, candidate: Candidate) -> Found {
        let Candidate { devno, node, facts, names } = candidate;
        let admits = |pvid| self.settings.filter.admits(&facts, names.iter().map(String::as_str), pvid);
        match probed {
            Ok((_, Verdict::Pv(pv))) if pv.has_partition_table && facts.may_be_partitioned() => Found::partitioned(),
            Ok((_, Verdict::Pv(pv))) if !admits(&pv.id) => Found::Excluded(Rule::DevicesFile.to_string()),
            Ok((_, Verdict::Pv(pv))) => match pv.vg.as_ref().and_then(|text| text.unreadable.as_ref()) {
                // LVM ends on it.
                Some(problem) => Found::Unreadable(problem.detail.clone()),
                None => Found::Pv(Box::new(Pv::of_scan(&pv, devno, node, self.lvs))),
            },
            Ok((_, Verdict::Member { member, .. })) => Found::of_member(&member),
            Ok((_, Verdict::NotAPv { .. })) => Found::NotAPv,
            Ok((_, Verdict::Unreadable { error, .. })) => Found::Unreadable(error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Found::Unreadable("it did not answer within the deadline".to_owned())
            }
            // It has gone while we looked.
            Err(_) if is_gone(devno) => Found::Gone,
            Err(error) => Found::Unreadable(error.to_string()),
        }
    }
}

/// Whether multipath takes the device for a path, by the environment of udev's rules: its database
/// says so only when they are through. Those of multipath come before LVM's and make a path's type
/// another. So whoever is still LVM's then is none, also where they were not asked at all.
pub fn udev_says() -> Option<bool> {
    let property = |name| std::env::var(name).ok();
    let fs_type = property("ID_FS_TYPE");
    let said = by_udev(property("DM_MULTIPATH_DEVICE_PATH").as_deref(), fs_type.as_deref());
    said.or((fs_type.as_deref() == Some("LVM2_member")).then_some(false))
}

/// Whether the kernel has no such device, or has nothing behind it.
pub fn is_gone(devno: DevNo) -> bool {
    Sysfs::new().facts(devno).is_ok_and(|facts| facts.is_none_or(|facts| is_empty(&facts)))
}

/// Its driver keeps the number, but what was there has been taken away.
fn is_empty(facts: &Facts) -> bool {
    facts.size == 0 || facts.loop_backed == Some(false)
}

fn progress(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    let style = ProgressStyle::with_template("reading devices {bar:40} {pos}/{len}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
