//! What the tests of the formats have in common.

use super::{Found, Known, Medium, Member, Signature, When, search};
use crate::ondisk::ByteRange;

/// What is at these places; all else is zero.
pub(super) type Pieces<'a> = &'a [(u64, &'a [u8])];

pub(super) fn look(signature: &Signature, size: u64, pieces: Pieces) -> Found {
    look_at(signature, Medium { size, is_partition: false }, pieces)
}

pub(super) fn look_at(signature: &Signature, medium: Medium, pieces: Pieces) -> Found {
    look_for(signature, When::Asked, Known::new(medium), pieces)
}

/// Answers what is asked for, for as long as somebody asks.
pub(super) fn look_for(signature: &Signature, when: When, mut known: Known, pieces: Pieces) -> Found {
    for _ in 0..50 {
        match search(&[signature], when, &known) {
            Ok(found) => return found,
            Err(range) => known.put(range, Ok(&part(range, pieces))),
        }
    }
    panic!("{} does not end", signature.format)
}

fn part(range: ByteRange, pieces: Pieces) -> Vec<u8> {
    let mut bytes = vec![0; range.length];
    for (place, piece) in pieces {
        for (at, byte) in (*place..).zip(*piece) {
            if let Some(at) = at.checked_sub(range.offset).and_then(|at| bytes.get_mut(usize::try_from(at).ok()?)) {
                *at = *byte;
            }
        }
    }
    bytes
}

pub(super) fn member(signature: &Signature, size: u64, pieces: Pieces) -> Option<Member> {
    look(signature, size, pieces).members.pop()
}

/// A structure at its place, and what makes its checksum right.
pub(super) struct Sample<'a> {
    pub signature: &'a Signature,
    pub size: u64,
    pub place: u64,
    pub block: &'a [u8],
    pub put_sum: fn(&mut [u8]),
}

impl Sample<'_> {
    fn found(&self, block: &[u8]) -> Option<Member> {
        // What is around it has been read as well.
        let mut known = Known::new(Medium { size: self.size, is_partition: false });
        let length = usize::try_from((self.size - self.place).min(4096)).unwrap();
        let range = ByteRange { offset: self.place, length };
        known.put(range, Ok(&part(range, &[(self.place, block)])));
        let member = look_for(self.signature, When::Asked, known, &[(self.place, block)]).members.pop();
        if let Some(member) = &member {
            assert!(member.offset < self.size && !member.to_string().is_empty());
        }
        member
    }

    /// The bytes without which there is no member.
    pub(super) fn flips_that_matter(&self) -> Vec<usize> {
        let flipped = |at: usize| {
            let mut block = self.block.to_vec();
            block[at] ^= 0x55;
            self.found(&block).is_none()
        };
        (0..self.block.len()).filter(|at| flipped(*at)).collect()
    }

    /// Each of these bytes may have any value, also together with the next three, and the device may
    /// end anywhere.
    pub(super) fn survives(&self, fields: impl Iterator<Item = usize>) {
        assert!(self.found(self.block).is_some(), "{}", self.signature.format);
        for at in fields {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                for width in [1, 4] {
                    let mut block = self.block.to_vec();
                    block.iter_mut().skip(at).take(width).for_each(|byte| *byte = value);
                    self.found(&block);
                    (self.put_sum)(&mut block);
                    self.found(&block);
                }
            }
        }
        let end = self.place + u64::try_from(self.block.len()).unwrap();
        let edges = [self.place, self.place + 1, end - 1, end, end + 1, self.place + 4095, self.place + 4096];
        for size in edges.into_iter().chain((0..600).step_by(7)).chain((self.place..end + 5000).step_by(37)) {
            if let Some(member) = member(self.signature, size, &[(self.place, self.block)]) {
                assert!(member.offset < size);
            }
        }
    }
}

/// A generator of numbers that look random: splitmix64.
pub(super) struct Noise(pub u64);

impl Noise {
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ mixed >> 31).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// How many of so many random blocks at this place, which begin as `start` says, make a member.
pub(super) fn members_in_noise(signature: &Signature, size: u64, place: u64, start: &[(usize, &[u8])]) -> usize {
    let mut noise = Noise(1);
    let mut block = [0; 512];
    let hit = |_: &u32| {
        noise.fill(&mut block);
        for (at, bytes) in start {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        let mut known = Known::new(Medium { size, is_partition: false });
        known.put(ByteRange { offset: place, length: 512 }, Ok(&block));
        !look_for(signature, When::Asked, known, &[]).members.is_empty()
    };
    (0..50_000).filter(hit).count()
}
