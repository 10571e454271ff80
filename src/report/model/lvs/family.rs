//! What snapshots come from, and what comes from them.

use super::{Lv, LvIndex, Lvs};
use std::collections::HashSet;

impl Lvs {
    /// Names, the nearest first; `full` by way of what is gone, too.
    pub fn ancestors(&self, lv: &Lv, full: bool) -> Vec<Vec<u8>> {
        let mut names = Names::default();
        let mut seen = HashSet::new();
        let mut next = origin(lv, full);
        while let Some((index, lv)) = next.and_then(|index| Some((index, self.lv(index)?))) {
            // A text may have them run in a circle.
            if !seen.insert(index) {
                break;
            }
            self.name(lv, &mut names);
            next = origin(lv, full);
        }
        names.list
    }

    /// Names, each before those of its own descendants.
    pub fn descendants(&self, lv: &Lv, full: bool) -> Vec<Vec<u8>> {
        let mut names = Names::default();
        let mut seen = HashSet::new();
        let mut stack = self.children(lv, full);
        while let Some((index, lv)) = stack.pop().and_then(|index| Some((index, self.lv(index)?))) {
            if seen.insert(index) {
                self.name(lv, &mut names);
                stack.extend(self.children(lv, full));
            }
        }
        names.list
    }

    /// The last first.
    fn children(&self, lv: &Lv, full: bool) -> Vec<LvIndex> {
        let mut children = Vec::new();
        if lv.is_historical {
            if full {
                children.extend(&lv.indirect_descendants);
            }
        } else if lv.is_origin() {
            children.extend(&lv.snapshots);
        } else {
            if lv.thin_snapshots > 0 || lv.external_count > 0 {
                let thin = lv.users.iter().filter(|user| {
                    let first = self.lv(user.lv).and_then(Lv::first);
                    let of = first.and_then(|first| first.origin.or(first.external_origin));
                    of.and_then(|of| self.lv(of)).is_some_and(|of| std::ptr::eq(of, lv))
                });
                children.extend(thin.map(|user| user.lv));
            }
            if full {
                children.extend(&lv.indirect_descendants);
            }
        }
        children.reverse();
        children
    }

    fn name(&self, lv: &Lv, names: &mut Names) {
        if !lv.is_historical {
            names.add(lv.name.clone());
        } else if self.shows_historical {
            names.add([b"-", &lv.name[..]].concat());
        }
    }
}

fn origin(lv: &Lv, full: bool) -> Option<LvIndex> {
    if lv.is_historical {
        return lv.indirect_origin.filter(|_| full);
    }
    if let Some(cow) = lv.cow {
        return Some(cow.origin);
    }
    let first = lv.first()?;
    first.pool?;
    let indirect = lv.indirect_origin.filter(|_| full);
    let is_thin = first.kind == super::Kind::Thin;
    first.origin.or(first.external_origin).or(indirect).filter(|_| is_thin)
}

/// Each once.
#[derive(Default)]
struct Names {
    list: Vec<Vec<u8>>,
    known: HashSet<Vec<u8>>,
}

impl Names {
    fn add(&mut self, name: Vec<u8>) {
        if self.known.insert(name.clone()) {
            self.list.push(name);
        }
    }
}
