//! Rows that wait for the others: in memory, or in a file if they are too many.

use crate::report::print::{Keep, Kept};
use crate::sys::spool::{LIMIT, Sorted, Spool};
use std::io;

pub fn keep() -> Box<dyn Keep> {
    Box::new(Spool::new(LIMIT))
}

impl Keep for Spool {
    fn push(&mut self, key: &[u8], row: &[u8]) -> io::Result<()> {
        Ok(Spool::push(self, key, row)?)
    }

    fn sort(self: Box<Self>) -> Box<dyn Kept> {
        Box::new(self.finish())
    }
}

impl Kept for Sorted {
    fn each(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut rows = self.rows()?;
        while let Some(row) = rows.next_row()? {
            each(row)?;
        }
        Ok(())
    }
}
