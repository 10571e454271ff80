//! The loop: readiness becomes an event, an effect becomes a system call. It knows every part and
//! decides nothing.

mod activation;
mod calls;
mod clients;
mod inventory;
mod news;
mod report_socket;
mod run_files;
pub(crate) mod scope;

use crate::api::{self, Uevents};
use crate::conf::{ClientLimits, Settings};
use crate::devno::DevNo;
use crate::protocol;
use crate::report::inventory::Needs;
use crate::sys::daemonize;
use crate::sys::inotify::Watches;
use crate::sys::monitor::Monitor;
use crate::sys::notify;
use crate::sys::panic;
use crate::sys::pid_file::PidFile;
use crate::sys::reader::{self, Happening, Pool};
use crate::sys::settings::MultipathFiles;
use crate::sys::signal::{Signal, Signals};
use crate::sys::{clock, descriptors, pid_file, settings, socket, system_id, usage};
use crate::watcher::{self, Effect, Level, Repeats, Report, Watcher};
use activation::Activation;
use calls::OnlineCall;
use clients::{Admission, Clients};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use report_socket::ReportSocket;
use run_files::Keeper;
use scope::Scope;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the command line and the environment say.
#[derive(Debug)]
pub struct Options {
    pub foreground: bool,
    pub pid_file: PathBuf,
    pub socket: PathBuf,
    /// The one for who may only read, if there is to be one.
    pub report_socket: Option<PathBuf>,
    /// Leave after that long without a client.
    pub idle_exit: Option<Duration>,
    /// False for a pure cache server.
    pub scan: bool,
    /// Watch only these, block devices or image files; empty for everything.
    pub devices: Vec<PathBuf>,
    /// `lvm.conf` and its like are here.
    pub system_dir: PathBuf,
    /// Laid over them.
    pub config: Option<PathBuf>,
}

/// Why the daemon cannot do its job.
#[derive(Debug)]
pub enum Error {
    PidFile(pid_file::Error),
    Settings(settings::Error),
    Socket(io::Error),
    System { doing: &'static str, error: io::Error },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::PidFile(error) => write!(f, "{error}"),
            Error::Settings(error) => write!(f, "{error}"),
            Error::Socket(error) => write!(f, "{error}"),
            Error::System { doing, error } => write!(f, "cannot {doing}: {error}"),
        }
    }
}

impl std::error::Error for Error {}

fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::System { doing, error }
}

const SIGNALS: Token = Token(0);
const LISTENER: Token = Token(1);
const UEVENTS: Token = Token(2);
const NOTICES: Token = Token(3);
const UDEVD: Token = Token(4);
const SYSTEMD: Token = Token(5);
const REPORTS: Token = Token(6);
/// Clients from here, and readers from far beyond; neither uses a token twice.
const FIRST_CLIENT: usize = 16;
const FIRST_READER: usize = 1 << 48;

/// Everything that can wake the program, besides time.
enum Event {
    Signal,
    Connection,
    Uevent,
    Notice,
    Udevd,
    Systemd,
    Client {
        token: Token,
        /// It has shut down its sending half, or both.
        read_closed: bool,
    },
    Reader(Token),
}

impl From<&mio::event::Event> for Event {
    fn from(event: &mio::event::Event) -> Event {
        match event.token() {
            SIGNALS => Event::Signal,
            LISTENER | REPORTS => Event::Connection,
            UEVENTS => Event::Uevent,
            NOTICES => Event::Notice,
            UDEVD => Event::Udevd,
            SYSTEMD => Event::Systemd,
            token @ Token(FIRST_CLIENT..FIRST_READER) => Event::Client { token, read_closed: event.is_read_closed() },
            reader => Event::Reader(reader),
        }
    }
}

/// Effects carried out before the sockets are served again.
const EFFECTS_PER_TURN: usize = 64;
/// Uevents, and inotify's notices, taken before the sockets are served again.
const EVENTS_PER_TURN: usize = 4096;
/// A running shutdown waits that long for replies to be taken.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// How soon after a change systemd is told what we are at.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

fn load_settings(options: &Options) -> Result<Settings, settings::Error> {
    let over = options.config.as_deref().map_or(settings::Over::Nothing, settings::Over::File);
    let mut settings = settings::load(&options.system_dir, over)?;
    // Devices that were named are not looked up in it.
    settings.devices_file = settings.devices_file.filter(|_| options.devices.is_empty());
    settings::load_devices_file(&options.system_dir, &mut settings)?;
    settings::load_multipath(&mut settings);
    Ok(settings)
}

/// Runs until a signal, or idleness, ends it.
pub fn run(options: &Options) -> Result<(), Error> {
    descriptors::set_close_on_exec().map_err(system("mark inherited descriptors close-on-exec"))?;
    // No path is empty.
    let report_socket = options.report_socket.as_deref().unwrap_or(Path::new(""));
    let handed_over = socket::adopt_systemd([&options.socket, report_socket]);
    let settings = load_settings(options).map_err(Error::Settings)?;
    let ready = if options.foreground {
        None
    } else {
        Some(daemonize::background().map_err(system("start in the background"))?)
    };
    let pid_file = PidFile::create(&options.pid_file).map_err(Error::PidFile)?;
    let mut daemon = match Daemon::new(options, settings, handed_over) {
        Ok(daemon) => daemon,
        Err(error) => {
            warn_if_left("pid file", pid_file.remove());
            return Err(error);
        }
    };
    daemon.pid_file = Some(pid_file);
    if let Some(ready) = ready {
        ready.announce().map_err(system("tell the starting process"))?;
    }
    log::info!("listening on {}", options.socket.display());
    daemon.main_loop()
}

fn warn_if_left(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        log::warn!("the {what} could not be removed: {error}");
    }
}

struct Daemon<'o> {
    options: &'o Options,
    poll: Poll,
    signals: Signals,
    /// `None` once we are stopping.
    listener: Option<socket::Listener>,
    report_socket: Option<ReportSocket>,
    pid_file: Option<PidFile>,
    monitor: Option<Monitor>,
    watches: Option<Watches>,
    clients: Clients,
    pool: Pool,
    scope: Scope,
    /// Where it is, if there is to be one.
    devices_file: Option<PathBuf>,
    multipath_files: Option<MultipathFiles>,
    /// When they are read again, because one has been written.
    reload_due: Option<Duration>,
    run_files: Keeper,
    activation: Activation,
    watcher: Watcher,
    /// What those asked who wait for some devices.
    online_calls: BTreeMap<watcher::SettleId, OnlineCall>,
    /// Of those who asked before everything was read once.
    inventory_calls: BTreeMap<watcher::SettleId, Needs>,
    started: Duration,
    uevents: Uevents,
    /// Nodes of devices that are not known, and when these are looked at if no uevent comes.
    appeared: BTreeMap<DevNo, Duration>,
    /// Devices whose nodes cannot be watched; the first is logged.
    unwatched: BTreeSet<DevNo>,
    /// More is waiting in these than one turn takes.
    uevents_pending: bool,
    notices_pending: bool,
    repeats: Repeats,
    /// When systemd is told what has changed.
    status_due: Option<Duration>,
    watchdog: Option<Duration>,
    next_watchdog: Option<Duration>,
    stopping: Option<Duration>,
    idle_since: Option<Duration>,
}

impl<'o> Daemon<'o> {
    fn new(
        options: &'o Options,
        settings: Settings,
        [handed_over, reports_handed_over]: [Option<socket::Listener>; 2],
    ) -> Result<Daemon<'o>, Error> {
        let poll = Poll::new().map_err(system("create an epoll descriptor"))?;
        let registry = poll.registry();
        let now = clock::now();
        let signals = Signals::open().map_err(system("receive signals"))?;
        register(registry, &signals, SIGNALS).map_err(system("watch for signals"))?;
        // Subscribe first, then enumerate: nothing falls between the two.
        let mut monitor = None;
        let mut watches = None;
        let mut has_no_watches = false;
        let scope = Scope::new(&options.devices, &settings);
        let devices_file = settings::devices_file(&options.system_dir, &settings);
        let multipath_files = MultipathFiles::of(&settings);
        if options.scan {
            monitor = if scope.only_images() {
                None
            } else {
                open_monitor(registry, UEVENTS, || Monitor::open(settings.receive_buffer))
            };
            watches = open_watches(registry);
            has_no_watches = watches.is_none();
        }
        let mut listener = match handed_over {
            Some(listener) => listener,
            None => socket::Listener::bind(&options.socket, socket::Audience::Nobody).map_err(Error::Socket)?,
        };
        registry
            .register(&mut listener.listener, LISTENER, Interest::READABLE)
            .map_err(system("watch the listening socket"))?;
        let report_socket = open_reports(options, &settings, reports_handed_over, registry);
        let limits = settings.clients;
        let clients = Clients::new(FIRST_CLIENT, limits, descriptors_for(&limits));
        let pid = i64::from(std::process::id());
        let run_files = Keeper::new(options, &settings);
        let system_id = system_id::local(&settings.system_id);
        let mut watcher = if options.scan { Watcher::new(settings, pid, now) } else { Watcher::server(pid) };
        watcher.set_system_id(system_id);
        watcher.set_blind(now, has_no_watches);
        watcher.set_publish(run_files.publish());
        let watchdog = notify::watchdog();
        notify::status("starting");
        Ok(Daemon {
            options,
            uevents: Uevents {
                receive_buffer: monitor.as_ref().map_or(0, Monitor::receive_buffer),
                ..Uevents::default()
            },
            poll,
            signals,
            listener: Some(listener),
            report_socket,
            pid_file: None,
            monitor,
            watches,
            clients,
            pool: Pool::new(FIRST_READER),
            scope,
            devices_file,
            multipath_files,
            reload_due: None,
            run_files,
            activation: Activation::new(),
            watcher,
            online_calls: BTreeMap::new(),
            inventory_calls: BTreeMap::new(),
            started: now,
            appeared: BTreeMap::new(),
            unwatched: BTreeSet::new(),
            uevents_pending: false,
            notices_pending: false,
            repeats: Repeats::default(),
            status_due: None,
            watchdog,
            next_watchdog: watchdog.map(|interval| now + interval),
            stopping: None,
            idle_since: Some(now),
        })
    }

    fn main_loop(&mut self) -> Result<(), Error> {
        self.watch_directories();
        self.watch_files();
        self.begin_activation(clock::now());
        self.choose_reader();
        let mut events = Events::with_capacity(1024);
        loop {
            let now = clock::now();
            let effects_left = self.run_effects(now);
            let more = self.send_to_readers(now)
                || effects_left
                || self.clients.have_more()
                || self.uevents_pending
                || self.notices_pending
                || self.activation.udevd_pending;
            if self.is_over(now) {
                if self.stopping.is_none() {
                    self.stop(now);
                }
                return Ok(());
            }
            self.tell_systemd(now);
            let timeout = if more { Some(Duration::ZERO) } else { self.timeout(now) };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(system("wait for events")(error));
                }
                Ok(()) | Err(_) => {}
            }
            let now = clock::now();
            for event in &events {
                self.handle(now, Event::from(event));
            }
            self.continue_turn(now);
            if self.watcher.poll_timeout().is_some_and(|at| at <= now) {
                self.watcher.handle_timeout(now);
            }
            if self.pool.poll_timeout().is_some_and(|at| at <= now) {
                let mut happenings = Vec::new();
                self.pool.handle_timeout(self.poll.registry(), now, &mut happenings);
                self.pass_on(now, happenings);
            }
            self.handle_activation_timeout(now);
            for (count, report) in self.repeats.sum_up(now) {
                log_report(&report, count);
            }
        }
    }

    fn choose_reader(&mut self) {
        if self.watcher.is_scanning() {
            let settings = self.watcher.settings();
            self.pool.choose(self.poll.registry(), settings.reader, settings.read_deadline);
        }
    }

    /// What effects asked for, together. True if something came of it at once.
    fn send_to_readers(&mut self, now: Duration) -> bool {
        let mut happenings = Vec::new();
        self.pool.flush(self.poll.registry(), &mut happenings);
        let more = !happenings.is_empty();
        self.pass_on(now, happenings);
        more
    }

    fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Signal => self.handle_signals(now),
            Event::Connection => self.accept(now),
            Event::Uevent => self.uevents_pending = true,
            Event::Notice => self.notices_pending = true,
            Event::Udevd => self.activation.udevd_pending = true,
            Event::Systemd => self.hear_systemd(now),
            Event::Client { token, read_closed } => self.clients.ready(token, read_closed),
            Event::Reader(token) => {
                let mut happenings = Vec::new();
                self.pool.handle_ready(self.poll.registry(), token, &mut happenings);
                self.pass_on(now, happenings);
            }
        }
    }

    fn serve_clients(&mut self, now: Duration) -> Option<(Token, Vec<u8>)> {
        let watcher = &mut self.watcher;
        let mut answer =
            |message: &[u8], sender: &mut dyn protocol::Sender| watcher.handle_request_of(now, message, sender);
        self.clients.serve(now, self.poll.registry(), &mut answer)
    }

    fn accept(&mut self, now: Duration) {
        if let Some(listener) = &self.listener {
            self.clients.accept(now, &listener.listener, Admission::Full, self.poll.registry());
        }
        if let Some(socket) = &self.report_socket {
            self.clients.accept(now, &socket.listener.listener, socket.admission(), self.poll.registry());
        }
    }

    /// The part of each turn that is bounded, so that no flood starves anybody.
    fn continue_turn(&mut self, now: Duration) {
        if self.uevents_pending {
            self.drain_uevents(now, EVENTS_PER_TURN);
        }
        if self.notices_pending {
            self.drain_notices(now, EVENTS_PER_TURN);
        }
        if self.activation.udevd_pending {
            self.drain_udevd(now, EVENTS_PER_TURN);
        }
        self.look_at_appeared(now, now);
        if self.reload_due.is_some_and(|due| due <= now) {
            let _ = self.reload(now, false);
        }
        if self.clients.wants_accept(now) {
            self.accept(now);
        }
        while let Some((token, call)) = self.serve_clients(now) {
            self.handle_call(now, token, &call);
        }
        self.continue_inventory();
        for settle in self.clients.take_given_up() {
            self.online_calls.remove(&settle);
            self.inventory_calls.remove(&settle);
            self.watcher.handle(now, watcher::Event::Unsettle(settle));
        }
    }

    fn handle_signals(&mut self, now: Duration) {
        while let Some(signal) = self.signals.receive() {
            match signal {
                Signal::Child => {
                    let mut happenings = Vec::new();
                    self.pool.reap(&mut happenings);
                    self.pass_on(now, happenings);
                    self.reap_activations(now);
                }
                Signal::HangUp => drop(self.reload(now, true)),
                Signal::Terminate | Signal::Interrupt | Signal::Quit | Signal::Alarm => {
                    if self.stopping.is_none() {
                        self.stop(now);
                    }
                }
            }
        }
    }

    /// SIGHUP: the configuration again, and every device again. If only the devices file or multipath's
    /// were written, only if they say something else.
    fn reload(&mut self, now: Duration, always: bool) -> Result<(), settings::Error> {
        panic::if_asked_for("reload");
        self.reload_due = None;
        let is_same = |new: &Settings, old: &Settings| {
            new.filter.devices_file == old.filter.devices_file && new.multipath == old.multipath
        };
        match load_settings(self.options) {
            Ok(settings) if !always && is_same(&settings, self.watcher.settings()) => Ok(()),
            Ok(settings) => {
                log::info!("configuration read, looking at all devices again");
                self.devices_file = settings::devices_file(&self.options.system_dir, &settings);
                self.scope.configure(&settings);
                self.multipath_files = MultipathFiles::of(&settings);
                self.watch_directories();
                self.watch_files();
                let run_files = Keeper::new(self.options, &settings);
                if run_files.path() != self.run_files.path() {
                    self.watcher.set_publish(run_files.publish());
                    self.run_files = run_files;
                }
                let mode = (self.watcher.settings().mode(), settings.mode());
                let state_dir = settings.state_dir.clone();
                if let Some(socket) = self.report_socket.as_mut().filter(|_| always) {
                    socket.let_in(settings.socket_group.as_deref());
                }
                self.clients.configure(settings.clients, descriptors_for(&settings.clients));
                self.watcher.set_system_id(system_id::local(&settings.system_id));
                if mode.0 != mode.1 || self.activation.is_elsewhere(&state_dir) {
                    self.set_activation_mode(now, mode.1, &state_dir);
                }
                self.watcher.reconfigure(settings, now);
                self.choose_reader();
                self.look_at_activation(now);
                Ok(())
            }
            Err(error) => {
                log::error!("{error}; the configuration stays as it was");
                Err(error)
            }
        }
    }

    fn stop(&mut self, now: Duration) {
        for (count, report) in self.repeats.finish() {
            log_report(&report, count);
        }
        log::info!("shutting down");
        // First what a supervisor and the next instance look at: the process itself may be killed
        // a moment later.
        let reports = self.report_socket.take().map(|socket| socket.listener);
        for mut listener in self.listener.take().into_iter().chain(reports) {
            let _ = self.poll.registry().deregister(&mut listener.listener);
            warn_if_left("socket", listener.remove());
        }
        if let Some(pid_file) = self.pid_file.take() {
            warn_if_left("pid file", pid_file.remove());
        }
        notify::stopping();
        self.clients.finish(self.poll.registry());
        self.stopping = Some(now + SHUTDOWN_GRACE);
    }

    fn is_over(&mut self, now: Duration) -> bool {
        if let Some(until) = self.stopping {
            return self.clients.is_empty() || now >= until;
        }
        self.idle_since = if self.clients.is_empty() { self.idle_since.or(Some(now)) } else { None };
        let limit = self.options.idle_exit.zip(self.idle_since);
        limit.is_some_and(|(limit, since)| now >= since + limit)
    }

    fn timeout(&self, now: Duration) -> Option<Duration> {
        let idle = self.options.idle_exit.zip(self.idle_since).map(|(limit, since)| since + limit);
        let due = [
            self.watcher.poll_timeout(),
            self.repeats.poll_timeout(),
            self.pool.poll_timeout(),
            self.clients.poll_timeout(),
            self.next_watchdog,
            self.status_due,
            self.reload_due,
            self.activation.poll_timeout(),
            self.stopping,
            idle,
        ];
        due.into_iter().flatten().min().map(|at| at.saturating_sub(now))
    }

    fn run_effects(&mut self, now: Duration) -> bool {
        for _ in 0..EFFECTS_PER_TURN {
            match self.watcher.poll_effect(now) {
                Some(Effect::Pause) => return true,
                Some(effect) => self.run_effect(now, effect),
                None => return false,
            }
        }
        true
    }

    fn run_effect(&mut self, now: Duration, effect: Effect) {
        match effect {
            Effect::Enumerate => {
                let event = match self.scope.enumerate() {
                    Ok(present) => watcher::Event::Resync(present),
                    Err(error) => {
                        log::error!("the devices present cannot be listed: {error}");
                        watcher::Event::NoResync
                    }
                };
                self.watcher.handle(now, event);
            }
            Effect::Examine(devno) => {
                // Before the look: of an image only its writers tell, also when it is too small.
                if let Some(path) = self.scope.image(devno) {
                    self.watch(devno, &path);
                }
                let event = match self.scope.examine(devno) {
                    Ok(found) => watcher::Event::Facts { devno, found },
                    Err(error) => watcher::Event::NoFacts { devno, errno: error.raw_os_error().unwrap_or(0) },
                };
                self.watcher.handle(now, event);
            }
            Effect::Watch { devno, path } => self.watch(devno, Path::new(&path)),
            Effect::Unwatch(devno) => {
                self.unwatched.remove(&devno);
                if !scope::is_image(devno)
                    && let Some(watches) = &mut self.watches
                {
                    watches.unwatch(devno);
                }
            }
            Effect::Open { job, devno, path, length } => {
                let expect = if scope::is_image(devno) { reader::Expect::File } else { reader::Expect::Device(devno) };
                let is_dm = self.watcher.devices().get(&devno).is_some_and(|device| device.facts.is_dm());
                let open = reader::Open { path: path.into(), expect, first: length, is_dm };
                match self.pool.open(self.poll.registry(), job, open) {
                    Ok(()) => {}
                    // It was there, and is not any more.
                    Err(error)
                        if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
                    {
                        self.watcher.handle(now, watcher::Event::ReaderDied(job));
                    }
                    Err(error) => self.watcher.no_reader(now, job, error.raw_os_error().unwrap_or(0)),
                }
            }
            Effect::Read { job, ranges } => {
                if self.pool.read(self.poll.registry(), job, &ranges).is_err() {
                    self.pool.abandon(self.poll.registry(), job);
                    self.watcher.handle(now, watcher::Event::ReaderDied(job));
                }
            }
            Effect::Close(job) => self.pool.close(self.poll.registry(), job),
            Effect::Abandon(job) => self.pool.abandon(self.poll.registry(), job),
            Effect::Settled { id, .. } if self.online_calls.contains_key(&id) => self.answer_online(id),
            Effect::Settled { id, .. } if self.inventory_may_begin(id) => {}
            Effect::Settled { id, quarantined } => {
                let names = quarantined.iter().map(|devno| self.device_name(*devno)).collect::<Vec<_>>();
                self.clients.settled(id, api::reply(serde_json::json!({ "quarantined": names })));
            }
            Effect::Awaited(id) => self.answer_online(id),
            Effect::ReadUsage => self.watcher.handle(now, watcher::Event::Usage(usage::read_mounts())),
            Effect::Publish(change) => {
                let result = self.run_files.change(&change);
                self.watcher.handle(now, watcher::Event::Published(result));
            }
            Effect::ListRunFiles => {
                let result = self.run_files.list();
                self.watcher.handle(now, watcher::Event::RunFiles(result));
            }
            Effect::InvalidateHints => {
                let result = self.run_files.invalidate_hints();
                self.watcher.handle(now, watcher::Event::HintsInvalidated(result));
            }
            Effect::AskUdev(devno) => {
                let event = watcher::Event::UdevSays { devno, standing: self.standing(devno) };
                self.watcher.handle(now, event);
            }
            Effect::Offer(offered) => {
                let result = self.offer(&offered);
                self.watcher.handle(now, watcher::Event::Offered { vgid: offered.vgid, result });
            }
            Effect::ForgetOffer(vgid) => self.forget_offer(vgid),
            Effect::WithdrawOffer { vgid, name } => self.withdraw_offer(vgid, &name),
            Effect::Activate(order) => self.activate(now, order),
            Effect::EndActivation(vgid) => self.end_activation(now, vgid),
            // The turn ends with it.
            Effect::Pause => {}
            Effect::Ready => {
                self.status_due = Some(now);
                notify::ready();
                log::info!("ready");
            }
            Effect::Report(report) => {
                self.status_due.get_or_insert(now + STATUS_INTERVAL);
                if let Some(report) = self.repeats.admit(now, report) {
                    log_report(&report, 0);
                }
            }
        }
    }

    fn pass_on(&mut self, now: Duration, happenings: Vec<Happening>) {
        for happening in happenings {
            self.watcher.handle(now, event_of(happening));
        }
    }

    fn device_name(&self, devno: DevNo) -> String {
        self.watcher.devices().get(&devno).map_or_else(|| devno.to_string(), watcher::Device::path)
    }

    fn tell_systemd(&mut self, now: Duration) {
        if let Some(interval) = self.watchdog.filter(|_| self.next_watchdog.is_some_and(|at| at <= now)) {
            if self.watcher.is_ready() {
                notify::alive()
            } else {
                notify::starting(2 * interval)
            }
            self.next_watchdog = Some(now + interval);
        }
        if self.stopping.is_some() {
            // The last word was that we are stopping.
            self.status_due = None;
        } else if self.status_due.is_some_and(|at| at <= now) {
            self.status_due = None;
            let cache = self.watcher.cache();
            let quarantined = self.watcher.devices().values().filter(|device| device.quarantine.is_some()).count();
            let status = format!(
                "{}: {} devices, {} PVs, {} VGs, {quarantined} quarantined",
                self.watcher.state().as_str(),
                self.watcher.devices().len(),
                cache.pv_count(),
                cache.vg_count(),
            );
            notify::status(&status);
        }
    }
}

/// What a reader has to say, as the watcher is told it.
pub(crate) fn event_of(happening: Happening) -> watcher::Event {
    match happening {
        Happening::Reply(job, reader::Reply::Opened(result)) => {
            let opened = |opened: reader::Opened| watcher::Opened {
                size: opened.size,
                diskseq: opened.diskseq,
                head: opened.head,
            };
            watcher::Event::Opened { job, result: result.map(opened) }
        }
        Happening::Reply(job, reader::Reply::Unread(errno)) => watcher::Event::Unread { job, errno },
        Happening::Reply(job, reader::Reply::Unusable(why)) => watcher::Event::Unusable { job, why },
        Happening::Reply(job, reader::Reply::Data { diskseq, pieces }) => watcher::Event::Data { job, diskseq, pieces },
        Happening::Died(job) => watcher::Event::ReaderDied(job),
        Happening::Lost(job) => watcher::Event::ReaderLost(job),
        Happening::NoReader(job, errno) => watcher::Event::NoReader { job, errno },
        Happening::Released(job) => watcher::Event::ReaderReleased(job),
        Happening::Capacity(jobs) => watcher::Event::Capacity(jobs),
    }
}

/// The last of its kind, and how many more there were of these.
fn log_report(report: &Report, repeated: u64) {
    let level = match report.level() {
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
    };
    match repeated {
        0 => log::log!(level, "{report}"),
        count => log::log!(level, "{report} ({count} of this kind in the last minute, of which this is the last)"),
    }
}

/// Whatever is wrong with it: what the boot waits for does not depend on it.
fn open_reports(
    options: &Options,
    settings: &Settings,
    handed_over: Option<socket::Listener>,
    registry: &mio::Registry,
) -> Option<ReportSocket> {
    let path = options.report_socket.as_deref()?;
    let open = || {
        let mut socket = ReportSocket::open(path, handed_over, settings.socket_group.as_deref())?;
        registry.register(&mut socket.listener.listener, REPORTS, Interest::READABLE)?;
        Ok(socket)
    };
    let failed = |error: &io::Error| log::warn!("nobody can ask for reports at {}: {error}", path.display());
    open().inspect_err(failed).ok()
}

/// How many this process may have open, as many as clients may need if that can be had.
fn descriptors_for(limits: &ClientLimits) -> u64 {
    let needed = limits.descriptors();
    let granted = descriptors::raise_limit(needed).unwrap_or_else(|error| {
        log::warn!("the limit of open descriptors cannot be raised: {error}");
        descriptors::MIN
    });
    let within = limits.within(granted);
    if within != *limits {
        log::warn!(
            "{granted} descriptors may be open, not {needed}: {} clients are let in, not {}, and {} for reports, not {}",
            within.clients,
            limits.clients,
            within.report_clients,
            limits.report_clients
        );
    }
    granted
}

fn register(registry: &mio::Registry, source: &impl AsRawFd, token: Token) -> io::Result<()> {
    registry.register(&mut SourceFd(&source.as_raw_fd()), token, Interest::READABLE)
}

/// Without uevents, as in some containers, images and inotify still work.
fn open_monitor(registry: &mio::Registry, token: Token, open: impl FnOnce() -> io::Result<Monitor>) -> Option<Monitor> {
    let opened = open().and_then(|monitor| register(registry, &monitor, token).map(|()| monitor));
    let whose = if token == UEVENTS { "kernel uevents" } else { "udevd's events" };
    opened.inspect_err(|error| log::warn!("{whose} cannot be received: {error}")).ok()
}

fn open_watches(registry: &mio::Registry) -> Option<Watches> {
    let open = || {
        let watches = Watches::open()?;
        register(registry, &watches, NOTICES)?;
        Ok(watches)
    };
    open().inspect_err(|error: &io::Error| log::warn!("inotify is not to be had: {error}")).ok()
}
