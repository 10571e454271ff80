//! Rows that are sorted, or only kept, in bounded memory: what is more goes to a temporary file, a
//! sorted run at a time, and the runs are merged when they are read.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Of memory, in bytes.
pub const LIMIT: usize = 64 << 20;
/// Of a run's buffer, when runs are merged.
const BUFFER: usize = 64 << 10;
/// A length of the key, one of the rest.
const HEADER: usize = 8;

/// No room, or no place for the file.
#[derive(Debug)]
pub struct SpoolError {
    pub directory: PathBuf,
    pub error: io::Error,
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "temporary file in {}: {}", self.directory.display(), self.error)
    }
}

impl std::error::Error for SpoolError {}

impl From<SpoolError> for io::Error {
    fn from(error: SpoolError) -> io::Error {
        io::Error::new(error.error.kind(), error)
    }
}

pub struct Spool {
    limit: usize,
    directories: Vec<PathBuf>,
    records: Vec<u8>,
    /// Where each of the records begins.
    starts: Vec<usize>,
    spilled: Option<Spilled>,
}

struct Spilled {
    file: File,
    directory: PathBuf,
    /// From where to where.
    runs: Vec<(u64, u64)>,
}

impl Spool {
    /// With a limit of memory. A file, if one is needed, is made in `$TMPDIR`, /var/tmp or /tmp.
    pub fn new(limit: usize) -> Spool {
        let named = std::env::var_os("TMPDIR").filter(|name| !name.is_empty()).map(PathBuf::from);
        let directories = match named {
            Some(directory) => vec![directory],
            None => vec![PathBuf::from("/var/tmp"), PathBuf::from("/tmp")],
        };
        Spool::new_in(directories, limit)
    }

    pub fn new_in(directories: Vec<PathBuf>, limit: usize) -> Spool {
        Spool { limit, directories, records: Vec::new(), starts: Vec::new(), spilled: None }
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.spilled.is_none()
    }

    /// Rows with the same key stay in the order in which they came.
    pub fn push(&mut self, key: &[u8], row: &[u8]) -> Result<(), SpoolError> {
        let (Ok(key_length), Ok(row_length)) = (u32::try_from(key.len()), u32::try_from(row.len())) else {
            let directory = self.directories.first().cloned().unwrap_or_default();
            return Err(SpoolError { directory, error: ErrorKind::FileTooLarge.into() });
        };
        let more = HEADER + key.len() + row.len() + size_of::<usize>();
        let used = self.records.len() + self.starts.len() * size_of::<usize>();
        if used + more > self.limit && !self.starts.is_empty() {
            self.spill()?;
        }
        self.starts.push(self.records.len());
        self.records.extend_from_slice(&key_length.to_le_bytes());
        self.records.extend_from_slice(&row_length.to_le_bytes());
        self.records.extend_from_slice(key);
        self.records.extend_from_slice(row);
        Ok(())
    }

    fn sort(&mut self) {
        let records = &self.records;
        self.starts.sort_by(|a, b| key_at(records, *a).cmp(key_at(records, *b)));
    }

    fn spill(&mut self) -> Result<(), SpoolError> {
        self.sort();
        if self.spilled.is_none() {
            self.spilled = Some(open(&self.directories)?);
        }
        let Some(spilled) = &mut self.spilled else { return Ok(()) };
        let start = spilled.runs.last().map_or(0, |(_, end)| *end);
        let written = write_run(&spilled.file, &self.records, &self.starts);
        let length = written.map_err(|error| SpoolError { directory: spilled.directory.clone(), error })?;
        spilled.runs.push((start, start + length));
        self.records.clear();
        self.starts.clear();
        Ok(())
    }

    /// All rows in their order.
    pub fn finish(mut self) -> Sorted {
        self.sort();
        Sorted { records: self.records, starts: self.starts, spilled: self.spilled }
    }
}

/// At the file's position, which is behind the run before.
fn write_run(file: &File, records: &[u8], starts: &[usize]) -> io::Result<u64> {
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let mut length = 0;
    for &start in starts {
        let record = &records[start..];
        let record = &record[..record_length(record)];
        out.write_all(record)?;
        length += record.len() as u64;
    }
    out.flush()?;
    Ok(length)
}

fn open(directories: &[PathBuf]) -> Result<Spilled, SpoolError> {
    let mut failed = None;
    for directory in directories {
        match open_in(directory) {
            Ok(file) => return Ok(Spilled { file, directory: directory.clone(), runs: Vec::new() }),
            Err(error) => failed = failed.or(Some(SpoolError { directory: directory.clone(), error })),
        }
    }
    let nowhere = || SpoolError { directory: PathBuf::new(), error: ErrorKind::NotFound.into() };
    Err(failed.unwrap_or_else(nowhere))
}

/// A file without a name, of which nothing is left whatever becomes of us.
fn open_in(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.custom_flags(nix::libc::O_TMPFILE).open(directory) {
        // Not each file system can do it.
        Err(error) if matches!(error.raw_os_error(), Some(nix::libc::EOPNOTSUPP | nix::libc::EISDIR)) => {}
        opened => return opened,
    }
    let path = directory.join(format!(".pvwatch-rows-{}", std::process::id()));
    let file = options.custom_flags(nix::libc::O_NOFOLLOW).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn lengths(record: &[u8]) -> Option<(usize, usize)> {
    let (key, rest) = record.split_first_chunk()?;
    let (row, _) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*key) as usize, u32::from_le_bytes(*row) as usize))
}

fn record_length(record: &[u8]) -> usize {
    lengths(record).map_or(0, |(key, row)| HEADER + key + row)
}

fn key_at(records: &[u8], start: usize) -> &[u8] {
    parts(&records[start..]).0
}

/// The key and the row of what begins with a record.
fn parts(record: &[u8]) -> (&[u8], &[u8]) {
    let Some((key, row)) = lengths(record) else { return (&[], &[]) };
    let rest = &record[HEADER..];
    (&rest[..key], &rest[key..key + row])
}

/// Rows in their order, which may be read more than once.
pub struct Sorted {
    records: Vec<u8>,
    starts: Vec<usize>,
    spilled: Option<Spilled>,
}

impl Sorted {
    pub fn rows(&self) -> Result<Rows<'_>, SpoolError> {
        let mut runs = Vec::new();
        if let Some(spilled) = &self.spilled {
            runs.extend(
                spilled
                    .runs
                    .iter()
                    .map(|&(at, end)| Run::File(FileRun { spilled, at, end, bytes: Vec::new(), used: 0 })),
            );
        }
        runs.push(Run::Memory { records: &self.records, starts: &self.starts });
        let mut heap = BinaryHeap::with_capacity(runs.len());
        for (at, run) in runs.iter_mut().enumerate() {
            if run.fill()? {
                heap.push(Next { key: run.parts().0.to_vec(), run: at });
            }
        }
        Ok(Rows { runs, heap, is_started: false })
    }
}

enum Run<'s> {
    File(FileRun<'s>),
    Memory { records: &'s [u8], starts: &'s [usize] },
}

struct FileRun<'s> {
    spilled: &'s Spilled,
    /// What is still to be read.
    at: u64,
    end: u64,
    bytes: Vec<u8>,
    used: usize,
}

impl Run<'_> {
    /// Whether there is a record, which then can be looked at.
    fn fill(&mut self) -> Result<bool, SpoolError> {
        match self {
            Run::Memory { starts, .. } => Ok(!starts.is_empty()),
            Run::File(run) => {
                let read = run.fill();
                read.map_err(|error| SpoolError { directory: run.spilled.directory.clone(), error })
            }
        }
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        match self {
            Run::File(run) => parts(&run.bytes[run.used..]),
            Run::Memory { records, starts } => starts.first().map_or((&[], &[]), |start| parts(&records[*start..])),
        }
    }

    fn advance(&mut self) {
        match self {
            Run::File(run) => run.used += record_length(&run.bytes[run.used..]),
            Run::Memory { starts, .. } => *starts = &starts[1..],
        }
    }
}

impl FileRun<'_> {
    fn fill(&mut self) -> io::Result<bool> {
        if self.used == self.bytes.len() && self.at == self.end {
            return Ok(false);
        }
        self.need(HEADER)?;
        self.need(record_length(&self.bytes[self.used..]))?;
        Ok(true)
    }

    /// Reads on until there are so many bytes.
    fn need(&mut self, length: usize) -> io::Result<()> {
        let have = self.bytes.len() - self.used;
        if have >= length {
            return Ok(());
        }
        self.bytes.drain(..self.used);
        self.used = 0;
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let more = (length - have).max(BUFFER).min(left);
        self.bytes.resize(have + more, 0);
        self.spilled.file.read_exact_at(&mut self.bytes[have..], self.at)?;
        self.at += more as u64;
        if have + more < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// The next record of a run. The least is the greatest, as the heap has it.
struct Next {
    key: Vec<u8>,
    run: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Next) -> Ordering {
        other.key.cmp(&self.key).then(other.run.cmp(&self.run))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Next) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Next) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}

pub struct Rows<'s> {
    runs: Vec<Run<'s>>,
    heap: BinaryHeap<Next>,
    /// Whether the first of the heap has been handed out.
    is_started: bool,
}

impl Rows<'_> {
    /// `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<&[u8]>, SpoolError> {
        if self.is_started
            && let Some(mut next) = self.heap.peek_mut()
        {
            let run = &mut self.runs[next.run];
            run.advance();
            if run.fill()? {
                next.key.clear();
                next.key.extend_from_slice(run.parts().0);
            } else {
                PeekMut::pop(next);
            }
        }
        self.is_started = true;
        Ok(self.heap.peek().map(|next| self.runs[next.run].parts().1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % bound).unwrap()
        }

        fn bytes(&mut self, most: u64, letters: u64) -> Vec<u8> {
            let length = self.below(most);
            (0..length).map(|_| u8::try_from(self.below(letters)).unwrap()).collect()
        }
    }

    fn read(sorted: &Sorted) -> Vec<Vec<u8>> {
        let mut rows = sorted.rows().unwrap();
        let mut read = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            read.push(row.to_vec());
        }
        read
    }

    fn check(limit: usize, count: usize, row_most: u64, seed: u64) {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut records = (0..count).map(|_| (random.bytes(4, 3), random.bytes(row_most, 256))).collect::<Vec<_>>();
        let mut spool = Spool::new_in(vec![directory.path().to_owned()], limit);
        for (key, row) in &records {
            spool.push(key, row).unwrap();
        }
        assert_eq!(spool.spilled.is_some(), count > 1 && limit < 1 << 20, "{limit} {count}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let sorted = spool.finish();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        let wanted = records.into_iter().map(|(_, row)| row).collect::<Vec<_>>();
        assert_eq!(read(&sorted), wanted);
        assert_eq!(read(&sorted), wanted);
    }

    #[test]
    fn rows_come_in_the_order_of_their_keys() {
        for seed in 1..30 {
            check(0, 40, 20, seed);
            check(200, 300, 30, seed);
            check(10_000, 2000, 100, seed);
            check(1 << 20, 500, 100, seed);
            check(100_000, 5, 300_000, seed + 3);
        }
        check(100, 0, 10, 1);
        check(100, 1, 10, 1);
    }

    #[test]
    fn without_keys_rows_stay_in_their_order() {
        let mut spool = Spool::new_in(vec![std::env::temp_dir()], 1000);
        let wanted = (0..5000_u32).map(|row| row.to_string().into_bytes()).collect::<Vec<_>>();
        wanted.iter().for_each(|row| spool.push(b"", row).unwrap());
        assert_eq!(read(&spool.finish()), wanted);
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let mut spool = Spool::new_in(vec![PathBuf::from("/nowhere")], 1);
        spool.push(b"a", b"a").unwrap();
        let error = spool.push(b"b", b"b").unwrap_err();
        assert_eq!(error.to_string(), "temporary file in /nowhere: No such file or directory (os error 2)");
        let second = tempfile::tempdir().unwrap();
        let mut spool = Spool::new_in(vec![PathBuf::from("/nowhere"), second.path().to_owned()], 1);
        spool.push(b"b", b"2").unwrap();
        spool.push(b"a", b"1").unwrap();
        assert_eq!(read(&spool.finish()), [b"1", b"2"]);
    }
}
