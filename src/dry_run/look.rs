//! A look at devices as a daemon takes it that has just started: the same watcher, and nobody else.

use crate::conf::Settings;
use crate::daemon::event_of;
use crate::daemon::scope::{Scope, is_image};
use crate::devno::DevNo;
use crate::sys::reader::{Expect, Open, Pool};
use crate::sys::{clock, system_id, usage};
use crate::watcher::{Effect, Event, Watcher};
use mio::{Events, Poll};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Whoever waits for the look to be over.
const SELF: u64 = 1;

struct Look {
    poll: Poll,
    pool: Pool,
    scope: Scope,
    watcher: Watcher,
    is_settled: bool,
}

/// Everything that there is on these devices and images, or on all of the machine's if there are none.
/// One that does not answer within `pvwatch/read_deadline` is quarantined.
pub fn look(settings: Settings, devices: &[PathBuf]) -> io::Result<(Watcher, Scope)> {
    let now = clock::now();
    let scope = Scope::new(devices, &settings);
    let system_id = system_id::local(&settings.system_id);
    let mut watcher = Watcher::new(settings, i64::from(std::process::id()), now);
    watcher.set_system_id(system_id);
    watcher.take_images_for_disks();
    watcher.handle(now, Event::Settle(SELF));
    let mut look = Look { poll: Poll::new()?, pool: Pool::new(0), scope, watcher, is_settled: false };
    let mut events = Events::with_capacity(16);
    loop {
        let now = clock::now();
        while let Some(effect) = look.watcher.poll_effect(now) {
            look.carry_out(now, effect)?;
        }
        if look.is_settled && look.watcher.is_ready() {
            return Ok((look.watcher, look.scope));
        }
        let timeout = look.watcher.poll_timeout().map(|at| at.saturating_sub(now));
        match look.poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let now = clock::now();
        let mut happenings = Vec::new();
        for event in &events {
            look.pool.handle_ready(look.poll.registry(), event.token(), &mut happenings);
        }
        happenings.into_iter().for_each(|happening| look.watcher.handle(now, event_of(happening)));
        if look.watcher.poll_timeout().is_some_and(|at| at <= now) {
            look.watcher.handle_timeout(now);
        }
    }
}

impl Look {
    fn carry_out(&mut self, now: Duration, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Enumerate => self.watcher.handle(now, Event::Resync(self.scope.enumerate()?)),
            Effect::Examine(devno) => {
                let event = match self.scope.examine(devno) {
                    Ok(found) => Event::Facts { devno, found },
                    Err(error) => Event::NoFacts { devno, errno: error.raw_os_error().unwrap_or(0) },
                };
                self.watcher.handle(now, event);
            }
            Effect::Open { job, devno, path, length } => self.open(now, job, devno, path.into(), length),
            Effect::Read { job, ranges } => {
                if self.pool.read(self.poll.registry(), job, &ranges).is_err() {
                    self.pool.abandon(self.poll.registry(), job);
                    self.watcher.handle(now, Event::ReaderDied(job));
                }
            }
            Effect::Close(job) => self.pool.close(self.poll.registry(), job),
            Effect::Abandon(job) => self.pool.abandon(self.poll.registry(), job),
            Effect::ReadUsage => self.watcher.handle(now, Event::Usage(usage::read_mounts())),
            Effect::Settled { .. } => self.is_settled = true,
            // Nothing is watched, written, told or started.
            Effect::Watch { .. }
            | Effect::Unwatch(_)
            | Effect::Awaited(_)
            | Effect::Publish(_)
            | Effect::ListRunFiles
            | Effect::InvalidateHints
            | Effect::AskUdev(_)
            | Effect::Offer(_)
            | Effect::ForgetOffer(_)
            | Effect::WithdrawOffer { .. }
            | Effect::Activate(_)
            | Effect::EndActivation(_)
            | Effect::Pause
            | Effect::Ready
            | Effect::Report(_) => {}
        }
        Ok(())
    }

    fn open(&mut self, now: Duration, job: u64, devno: DevNo, path: PathBuf, length: usize) {
        let expect = if is_image(devno) { Expect::File } else { Expect::Device(devno) };
        let is_dm = self.watcher.devices().get(&devno).is_some_and(|device| device.facts.is_dm());
        let open = Open { path, expect, first: length, is_dm };
        if let Err(error) = self.pool.open(self.poll.registry(), job, open) {
            self.watcher.no_reader(now, job, error.raw_os_error().unwrap_or(0));
        }
    }
}
