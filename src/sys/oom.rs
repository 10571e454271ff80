//! What the kernel is told of whom to kill when memory runs out.

use std::fs;
use std::io;

const ADJUSTMENT: &str = "/proc/self/oom_score_adj";

/// A process that can be given up is no more to be spared than any other, though the daemon may be, who
/// started it. Making oneself more likely to be killed takes no privilege.
pub fn be_expendable() -> io::Result<()> {
    if fs::read_to_string(ADJUSTMENT)?.trim_end().starts_with('-') {
        fs::write(ADJUSTMENT, "0")?;
    }
    Ok(())
}
