//! What dmeventd watches, asked over its two FIFOs as `dmeventd -R` asks. It is not started for that.
//!
//! A message is a command or, in an answer, errno (32 bits), a length (32 bits), both big-endian, and
//! text that begins with who asks and a number (daemons/dmeventd/libdevmapper-event.c).

use crate::report::live::Monitored;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

const CLIENT: &str = "/run/dmeventd-client";
const SERVER: &str = "/run/dmeventd-server";

const HELLO: u32 = 8;
const GET_STATUS: u32 = 10;
/// Among the events that a device is watched for.
const PENDING: u32 = 1 << 24;

const DEADLINE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);
/// What it says of a million devices.
const ANSWER_MAX: usize = 256 << 20;

/// With their uuids; nothing if it does not run.
///
/// # Errors
/// It runs, and does not answer.
pub fn monitored() -> io::Result<Vec<(String, Monitored)>> {
    let Some((client, server)) = open(Path::new(CLIENT), Path::new(SERVER))? else { return Ok(Vec::new()) };
    let mut talk = Talk { client, server: lock(server)?, until: Instant::now() + DEADLINE };
    talk.ask(HELLO, 0, "HELLO")?;
    Ok(parse(&talk.ask(GET_STATUS, 1, "- - 0 0")?))
}

/// `None`: nobody listens. FIFOs that anybody but root might write to are none of dmeventd's.
fn open(client: &Path, server: &Path) -> io::Result<Option<(File, File)>> {
    let open = |path: &Path, writable: bool| {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.file_type().is_fifo() || metadata.uid() != 0 || metadata.mode() & 0o077 != 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW;
        OpenOptions::new().read(!writable).write(true).custom_flags(flags).open(path)
    };
    match (open(client, true), open(server, false)) {
        (Ok(client), Ok(server)) => Ok(Some((client, server))),
        (Err(error), _) | (_, Err(error)) => match error.raw_os_error() {
            Some(nix::libc::ENXIO | nix::libc::ENOENT) => Ok(None),
            None if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Err(error),
        },
    }
}

/// Whoever holds it talks.
fn lock(mut server: File) -> io::Result<Flock<File>> {
    let until = Instant::now() + DEADLINE;
    loop {
        match Flock::lock(server, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((_, errno)) if Instant::now() >= until => return Err(errno.into()),
            Err((file, _)) => server = file,
        }
        std::thread::sleep(AGAIN);
    }
}

struct Talk {
    client: File,
    server: Flock<File>,
    until: Instant,
}

impl Talk {
    fn ask(&mut self, command: u32, number: u32, words: &str) -> io::Result<Vec<u8>> {
        let id = format!("{}:{number}", std::process::id());
        self.drain()?;
        let text = format!("{id} {words}");
        let length = u32::try_from(text.len()).expect("it is short");
        let message = [&command.to_be_bytes()[..], &length.to_be_bytes(), text.as_bytes()].concat();
        // So short a message is written whole or not at all.
        self.client.write_all(&message)?;
        loop {
            let header = self.read(8)?;
            let number = |at: usize| u32::from_be_bytes(*header[at..].first_chunk().expect("it has eight bytes"));
            let length = usize::try_from(number(4)).ok().filter(|length| *length <= ANSWER_MAX);
            let text = self.read(length.ok_or(io::ErrorKind::InvalidData)?)?;
            let Some(rest) = text.strip_prefix(id.as_bytes()) else { continue };
            return match number(0) {
                0 => Ok(rest.to_vec()),
                error => Err(io::Error::from_raw_os_error(error.cast_signed().saturating_neg())),
            };
        }
    }

    /// What was meant for somebody who has not waited for it.
    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.server.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while bytes.len() < length {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            poll(&mut [PollFd::new(self.server.as_fd(), PollFlags::POLLIN)], timeout)?;
            let wanted = (length - bytes.len()).min(buffer.len());
            match self.server.read(&mut buffer[..wanted]) {
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

/// Of each device ` 0:NUMBER LIBRARY UUID EVENTS TIMEOUT;`.
pub fn parse(answer: &[u8]) -> Vec<(String, Monitored)> {
    let text = String::from_utf8_lossy(answer);
    let devices = text.split(';').filter_map(|device| {
        let mut words = device.split_ascii_whitespace().skip(2);
        let (uuid, events) = (words.next()?, words.next()?.parse::<u32>().ok()?);
        let how = match (events & PENDING, events & !PENDING) {
            (0, 0) => return None,
            (0, _) => Monitored::Yes,
            _ => Monitored::Pending,
        };
        Some((uuid.to_owned(), how))
    });
    devices.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_it_watches() {
        let answer = b" 0:0 libdevmapper-event-lvm2thin.so LVM-a-tpool 17760256 10;0:1 x.so LVM-b 16777216 0;\
            0:2 x.so LVM-c 0 0;0:3 x.so LVM-d 1048576 0;0:4 x.so LVM-e many 0;0:5";
        let expected = [("LVM-a-tpool", Monitored::Pending), ("LVM-b", Monitored::Pending), ("LVM-d", Monitored::Yes)];
        assert_eq!(parse(answer), expected.map(|(uuid, how)| (uuid.to_owned(), how)));
        assert_eq!(parse(b""), []);
        assert_eq!(parse(b" "), []);
        assert_eq!(parse(&[0xff; 9]), []);
    }

    fn fifos() -> (tempfile::TempDir, [std::path::PathBuf; 2]) {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["client", "server"].map(|name| directory.path().join(name));
        for path in &paths {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        }
        (directory, paths)
    }

    #[test]
    fn nobody_is_started() {
        let (_directory, [client, server]) = fifos();
        assert!(open(&client, &server).unwrap().is_none());
        assert!(open(Path::new("/nowhere/client"), &server).unwrap().is_none());
        let _daemon = OpenOptions::new().read(true).write(true).open(&client).unwrap();
        assert_eq!(open(&client, &server).unwrap().is_some(), nix::unistd::geteuid().is_root());
        fs::set_permissions(&client, std::os::unix::fs::PermissionsExt::from_mode(0o622)).unwrap();
        assert!(open(&client, &server).unwrap().is_none());
    }

    #[test]
    fn it_is_talked_to() {
        let (_directory, [client, server]) = fifos();
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (mut theirs, mut answers) = (open(&client), open(&server));
        let id = std::process::id();
        // An answer that nobody waited for, and one to somebody else.
        answers.write_all(b"rest").unwrap();
        let daemon = thread::spawn(move || {
            for (command, text) in [(HELLO, format!("{id}:0 HELLO")), (GET_STATUS, format!("{id}:1 - - 0 0"))] {
                let mut message = vec![0; 8 + text.len()];
                theirs.read_exact(&mut message).unwrap();
                assert_eq!(message[..4], command.to_be_bytes());
                assert_eq!(&message[8..], text.as_bytes());
                let said = if command == HELLO { " HELLO HELLO 2" } else { " 0:0 a.so LVM-a 1048576 0;" };
                for answer in ["1:7 what".to_owned(), format!("{}{said}", text.split(' ').next().unwrap())] {
                    let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
                    answers.write_all(&[&[0; 4][..], &length, answer.as_bytes()].concat()).unwrap();
                }
            }
        });
        let nonblocking = |path: &Path| {
            OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(path).unwrap()
        };
        let until = Instant::now() + Duration::from_secs(60);
        let mut talk = Talk { client: open(&client), server: lock(nonblocking(&server)).unwrap(), until };
        assert_eq!(talk.ask(HELLO, 0, "HELLO").unwrap(), b" HELLO HELLO 2");
        let answer = talk.ask(GET_STATUS, 1, "- - 0 0").unwrap();
        assert_eq!(parse(&answer), [("LVM-a".to_owned(), Monitored::Yes)]);
        daemon.join().unwrap();
        talk.until = Instant::now();
        assert_eq!(talk.ask(HELLO, 2, "HELLO").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
