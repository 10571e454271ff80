//! Each VG's five reports.

use super::{Engine, Error, kind, names};
use crate::report::inventory::{Item, Present, Source, VgItem};
use crate::report::kind::Kind;
use crate::report::log::Entry;
use crate::report::rows::Common;
use crate::report::value::Object;
use std::io;

impl Engine<'_> {
    pub fn full(&mut self, source: &mut dyn Source) -> Result<(), Error> {
        let mut named: Vec<(usize, Box<VgItem>)> = Vec::new();
        let mut orphans = Vec::new();
        while let Some(item) = source.next().map_err(Error::Source)? {
            match item {
                Item::Host(host) => self.take_host(host, Kind::Vgs),
                Item::Vg(vg) => match self.place(&vg) {
                    Some(at) => named.push((at, vg)),
                    None => self.full_vg(&vg)?,
                },
                Item::Unreadable(vg) => self.unreadable(&vg),
                Item::Orphan(present) => orphans.push(present),
                Item::Device(_) | Item::Label(_) | Item::Named(_) => {}
            }
        }
        self.each_named(named, Self::full_vg)?;
        if self.names.is_empty() {
            for orphan in &orphans {
                self.warn_of_orphan(&orphan.warnings);
            }
            if !orphans.is_empty() {
                self.full_orphans(&orphans)?;
            }
            self.done_orphans();
        }
        Ok(())
    }

    fn begin_vg(&mut self) -> io::Result<()> {
        self.count += 1;
        if self.is_quiet() {
            Ok(())
        } else if self.is_json() {
            self.json.begin_object(self.out)
        } else if self.has_titles() && self.count > 1 {
            self.out.write_all(b"  \n")
        } else {
            Ok(())
        }
    }

    fn end_vg(&mut self) -> io::Result<()> {
        if self.is_json() && !self.is_quiet() { self.json.end_object(self.out) } else { Ok(()) }
    }

    fn full_vg(&mut self, vg: &VgItem) -> Result<(), Error> {
        if !self.admit(vg, false) {
            return Ok(());
        }
        if !self.names.tags.is_empty() && !self.names.has_tag(&vg.vg.tags) && self.named(vg).is_none() {
            return Ok(());
        }
        let plan = self.plan;
        let lvs = self.lvs(vg);
        self.begin_vg()?;
        let name = names::show(&vg.vg.name);
        for (at, section) in plan.sections.iter().enumerate() {
            let own = kind::own(section.start);
            match kind::kind(section.start, section.columns.objects, Some(&name)) {
                Ok(kind) if kind == own => {}
                Ok(_) => {
                    let part = kind::name(section.start);
                    let message = format!(
                        "Subreport of type \"{part}\" for VG {name} contains columns which lead to change of report \
                         type. Add these columns to proper subreport type."
                    );
                    self.fail(Entry { object: "vg", message, ..Entry::default() });
                    break;
                }
                Err(message) => {
                    self.fail(Entry { object: "vg", message, ..Entry::default() });
                    break;
                }
            }
            let mut report = self.report(section, at > 0);
            self.rows(vg, lvs.as_ref(), own, &mut report)?;
            if !self.is_quiet() {
                self.print(section, report)?;
            }
        }
        self.end_vg()?;
        self.done_vg(vg);
        Ok(())
    }

    fn full_orphans(&mut self, orphans: &[Box<Present>]) -> Result<(), Error> {
        let plan = self.plan;
        self.begin_vg()?;
        let of_pvs = plan.sections.iter().filter(|section| matches!(section.start, Object::Pv | Object::PvSeg));
        for (at, section) in of_pvs.enumerate() {
            let mut report = self.report(section, at > 0);
            for present in orphans {
                let kind = kind::own(section.start);
                let common = Common { host: &self.host, marks: plan.marks, live: plan.live };
                common.orphan(present, kind, |row| report.add_row(row, self.out))?;
                self.done_pv(present);
            }
            if !self.is_quiet() {
                self.print(section, report)?;
            }
        }
        Ok(self.end_vg()?)
    }
}
