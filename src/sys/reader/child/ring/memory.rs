//! Where the ring reads into: page-aligned, and known to the kernel beforehand as far as it lets us.

use std::io;
use std::ops::Range;

use memmap2::MmapMut;

use crate::scan::HEAD;
use crate::sys::reader::RING_JOBS;

/// The first read of a device, and what most have at their ends, fit.
const SLICE: usize = 2 * HEAD;
/// Of spare maps, each has as much, which is enough for most metadata; and so many are kept.
const SPARE: usize = 64 << 10;
const SPARES_MAX: usize = 32;

/// Slices for as many jobs as are worked on at a time. Whoever needs more has memory of its own.
pub struct Memory {
    map: MmapMut,
    free: Vec<usize>,
    /// Maps of one read, kept for the next: to make and to clear them anew is dear.
    spare: Vec<MmapMut>,
    pub is_registered: bool,
}

/// For one read. It must not be dropped, but given back, while the kernel may write to it.
#[derive(Debug)]
pub enum Space {
    Slice(usize),
    Own(MmapMut),
}

impl Memory {
    pub fn new() -> io::Result<Memory> {
        let map = MmapMut::map_anon(RING_JOBS * SLICE)?;
        Ok(Memory { map, free: (0..RING_JOBS).rev().collect(), spare: Vec::new(), is_registered: false })
    }

    /// All of it, to be registered.
    pub fn whole(&mut self) -> (*mut u8, usize) {
        (self.map.as_mut_ptr(), self.map.len())
    }

    pub fn take(&mut self, length: usize) -> io::Result<Space> {
        if let Some(slice) = self.free.pop_if(|_| length <= SLICE) {
            return Ok(Space::Slice(slice));
        }
        match self.spare.pop_if(|_| length <= SPARE) {
            Some(map) => Ok(Space::Own(map)),
            None => Ok(Space::Own(MmapMut::map_anon(length.max(SPARE))?)),
        }
    }

    pub fn give_back(&mut self, space: Space) {
        match space {
            Space::Slice(slice) => self.free.push(slice),
            Space::Own(map) if map.len() == SPARE && self.spare.len() < SPARES_MAX => self.spare.push(map),
            Space::Own(map) => drop(map),
        }
    }

    /// The part of the space, and whether the kernel knows it.
    pub fn part<'a>(&'a mut self, space: &'a mut Space, range: Range<usize>) -> (&'a mut [u8], bool) {
        match space {
            Space::Slice(slice) => (&mut self.map[*slice * SLICE..][..SLICE][range], self.is_registered),
            Space::Own(map) => (&mut map[range], false),
        }
    }
}
