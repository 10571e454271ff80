//! What clients keep in memory, all of them together: halves of messages, and replies not taken.

use crate::protocol::Reply;
use std::collections::BTreeMap;

/// The sums. What several clients are sent of one text is counted once.
#[derive(Default)]
pub(super) struct Memory {
    pub buffered: usize,
    pub unread: usize,
    shared: BTreeMap<usize, usize>,
}

/// What of the sums is one client's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    buffered: usize,
    unread: Unread,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Unread {
    #[default]
    Nothing,
    Own(usize),
    Shared {
        address: usize,
        length: usize,
    },
}

impl Held {
    pub fn new(buffered: usize, reply: Option<&Reply>) -> Held {
        let unread = match reply {
            None => Unread::Nothing,
            Some(Reply::Own(bytes)) => Unread::Own(bytes.capacity()),
            Some(Reply::Shared(bytes)) => Unread::Shared { address: bytes.as_ptr().addr(), length: bytes.len() },
        };
        Held { buffered, unread }
    }
}

impl Memory {
    /// Puts what a client holds now in the place of what it held.
    pub fn change(&mut self, held: &mut Held, now: Held) {
        if *held == now {
            return;
        }
        self.buffered = self.buffered - held.buffered + now.buffered;
        // One text may have been freed, and another be at its address: the old one goes first.
        match held.unread {
            Unread::Nothing => {}
            Unread::Own(length) => self.unread -= length,
            Unread::Shared { address, length } => self.release(address, length),
        }
        match now.unread {
            Unread::Nothing => {}
            Unread::Own(length) => self.unread += length,
            Unread::Shared { address, length } => {
                let holders = self.shared.entry(address).or_default();
                *holders += 1;
                if *holders == 1 {
                    self.unread += length;
                }
            }
        }
        *held = now;
    }

    fn release(&mut self, address: usize, length: usize) {
        let Some(holders) = self.shared.get_mut(&address) else { return };
        *holders -= 1;
        if *holders == 0 {
            self.shared.remove(&address);
            self.unread -= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_text_is_counted_once_and_until_its_last_reader_has_it() {
        let mut memory = Memory::default();
        let text: Rc<[u8]> = vec![b'x'; 1000].into();
        let shared = Reply::Shared(Rc::clone(&text));
        let (mut one, mut two) = (Held::default(), Held::default());
        memory.change(&mut one, Held::new(10, Some(&shared)));
        memory.change(&mut two, Held::new(5, Some(&shared)));
        assert_eq!((memory.buffered, memory.unread), (15, 1000));
        let own = Reply::Own(Vec::with_capacity(70));
        memory.change(&mut one, Held::new(0, Some(&own)));
        assert_eq!((memory.buffered, memory.unread), (5, 1070));
        memory.change(&mut two, Held::default());
        assert_eq!((memory.buffered, memory.unread), (0, 70));
        memory.change(&mut one, Held::default());
        assert_eq!((memory.buffered, memory.unread, memory.shared.len()), (0, 0, 0));
    }
}
