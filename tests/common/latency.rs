//! How long clients wait for answers while something goes on.

use super::LONG;
use pvwatch::text;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// From one answer to the next question.
const PAUSE: Duration = Duration::from_millis(2);

/// Clients that ask one thing after the other, each on a connection of its own, until they are told to end.
pub struct Asking {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Duration>>>,
}

/// What they waited, from the shortest on.
pub struct Waits(Vec<Duration>);

impl Asking {
    pub fn begin(socket: &Path, clients: usize) -> Asking {
        let over = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|_| {
            let (socket, over) = (socket.to_owned(), Arc::clone(&over));
            std::thread::spawn(move || ask_until(&socket, &over))
        });
        Asking { clients: clients.collect(), over }
    }

    pub fn end(self) -> Waits {
        self.over.store(true, Ordering::Relaxed);
        let mut waits = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>();
        waits.sort_unstable();
        Waits(waits)
    }
}

fn ask_until(socket: &PathBuf, over: &AtomicBool) -> Vec<Duration> {
    const REQUEST: &[u8] = b"request=\"pv_list\"\ntoken=\"skip\"\n\n##\n";
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let (mut waits, mut answer) = (Vec::new(), vec![0; 64 << 10]);
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        stream.write_all(REQUEST).unwrap();
        let mut tail = Vec::new();
        while !tail.ends_with(text::TERMINATOR) {
            let length = match stream.read(&mut answer) {
                // A child of a test beside this one has exited.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                length => length.unwrap(),
            };
            assert_ne!(length, 0, "the daemon has closed the connection");
            tail.extend_from_slice(&answer[length.saturating_sub(text::TERMINATOR.len())..length]);
        }
        waits.push(start.elapsed());
        std::thread::sleep(PAUSE);
    }
    waits
}

impl Waits {
    pub fn p99(&self) -> Duration {
        self.0[(self.0.len() * 99 / 100).min(self.0.len() - 1)]
    }

    pub fn longest(&self) -> Duration {
        self.0[self.0.len() - 1]
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [half, p99, longest] =
            [self.0[self.0.len() / 2], self.p99(), self.longest()].map(|wait| wait.as_secs_f64() * 1e3);
        write!(f, "{} answers, half within {half:.1} ms, p99 {p99:.1} ms, the longest {longest:.1} ms", self.0.len())
    }
}
