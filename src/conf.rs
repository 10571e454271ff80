//! Settings: what of `lvm.conf` concerns us, and our own section `pvwatch`.

mod clients;

use crate::activation::{Mode, Policy};
use crate::filter::{Filter, Patterns, PatternsError};
use crate::multipath::Multipath;
use crate::report;
use crate::text::{Item, Section, Value};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

pub use clients::ClientLimits;

#[derive(Debug)]
pub struct Settings {
    pub filter: Filter,
    /// `devices/devicesfile`, if `devices/use_devicesfile` says to use it; a name without `/`.
    pub devices_file: Option<String>,
    /// What multipath's own files say, and `devices/multipath_component_detection`.
    pub multipath: Multipath,
    /// `devices/multipath_wwids_file`: where multipath lists the WWIDs of its maps; `None` for nowhere.
    pub multipath_wwids: Option<PathBuf>,
    /// `pvwatch/multipath_wait`, seconds: how long a device that a multipath map may be about to take
    /// is not read. 0 is not at all.
    pub multipath_wait: Duration,
    /// What LVM 2.02 commands of this machine will ask for.
    pub token: Vec<u8>,
    /// `pvwatch/read_deadline`, seconds: a device that has not been read by then is quarantined.
    pub read_deadline: Duration,
    /// `pvwatch/retry_max`, seconds: the longest wait between two tries of a quarantined device.
    pub retry_max: Duration,
    /// `pvwatch/reread_interval`, seconds: read all PVs again that often, to see what other hosts
    /// wrote. 0, the default, is never.
    pub reread_interval: Option<Duration>,
    /// `pvwatch/reader`: what devices are read with.
    pub reader: Reader,
    /// `pvwatch/receive_buffer`, bytes: room for uevents that have not been looked at. Read at
    /// start only.
    pub receive_buffer: usize,
    /// `global/event_activation`: whether VGs are activated as their PVs come.
    pub event_activation: bool,
    /// `global/system_id_source`: whose VGs are this host's own.
    pub system_id: SystemIdSource,
    /// `pvwatch/run_dir`: where LVM's run files are; empty for none. `None` if it is not set.
    pub run_dir: Option<PathBuf>,
    /// `pvwatch/activation`: who activates VGs that are whole.
    pub activation: ActivationSetting,
    /// What `pvwatch takeover` has written down, which counts for [`ActivationSetting::Takeover`].
    pub takeover: Takeover,
    /// `pvwatch/activation_parallel`: VGs that are activated at a time.
    pub activation_parallel: usize,
    /// `pvwatch/activation_timeout`, seconds: how long activating a VG may take. 0 is for ever.
    pub activation_timeout: Option<Duration>,
    /// `pvwatch/state_dir`: where it is written down what was offered in this boot.
    pub state_dir: PathBuf,
    /// `pvwatch/socket_group`: who may ask over the socket for reading, besides root; `None` for nobody.
    pub socket_group: Option<String>,
    /// What clients may take.
    pub clients: ClientLimits,
    /// `pvwatch/lvm`: the program that activates; `None` for `lvm` where commands usually are.
    pub lvm: Option<PathBuf>,
    /// Which part of which VG is activated.
    pub policy: Policy,
    /// How reports look.
    pub report: report::settings::Settings,
    /// Settings in our section that mean nothing to us.
    pub unknown: Vec<String>,
}

/// `pvwatch/reader`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// One process with `io_uring`, where that can be had, else the pool.
    #[default]
    Auto,
    /// A process for each device that is read at the moment.
    Pool,
}

/// `pvwatch/activation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActivationSetting {
    /// As `pvwatch takeover` says.
    #[default]
    Takeover,
    On,
    Report,
    Off,
}

/// Who is in charge of activation, by `pvwatch takeover`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// LVM's rule.
    #[default]
    Disabled,
    /// LVM's rule, and the daemon tells what it would have done.
    Compare,
    /// The daemon.
    Enabled,
}

/// Where the local system ID comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemIdSource {
    /// There is none.
    None,
    Uname,
    MachineId,
    AppMachineId,
    /// `local/system_id`.
    Given(Vec<u8>),
    /// `global/system_id_file`.
    File(PathBuf),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    Filter {
        setting: &'static str,
        error: PatternsError,
    },
    /// The value of this setting is of the wrong kind or out of its range.
    Value {
        setting: &'static str,
        expected: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Filter { setting, error } => write!(f, "{setting}: {error}"),
            Error::Value { setting, expected } => write!(f, "{setting}: expected {expected}"),
        }
    }
}

impl std::error::Error for Error {}

const DEFAULT_GLOBAL_FILTER: &[u8] = b"a|.*/|";
const DEFAULT_DEVICES_FILE: &str = "system.devices";
const DEFAULT_PV_MIN_SIZE_KIB: i64 = 2048;
const DEFAULT_READ_DEADLINE: Duration = Duration::from_secs(10);
const DEFAULT_MULTIPATH_WWIDS: &str = "/etc/multipath/wwids";
const DEFAULT_MULTIPATH_WAIT: Duration = Duration::from_secs(10);
const DEFAULT_RETRY_MAX: Duration = Duration::from_secs(60);
const DEFAULT_ACTIVATION_PARALLEL: usize = 4;
const ACTIVATION_PARALLEL_MAX: usize = 64;
const DEFAULT_ACTIVATION_TIMEOUT: Duration = Duration::from_secs(90);
const DEFAULT_STATE_DIR: &str = "/run/pvwatch";
/// Who may read the disks anyway.
const DEFAULT_SOCKET_GROUP: &str = "disk";
/// An hour is longer than anybody waits for a disk, a year is a mistyped number.
const SECONDS_MAX: i64 = 365 * 24 * 3600;

/// Half a million uevents of loop devices; the kernel takes it only as they come.
const RECEIVE_BUFFER: usize = 128 << 20;
const RECEIVE_BUFFER_MAX: usize = 1 << 30;

const OWN_SECTION: &str = "pvwatch";
const OWN_SETTINGS: [&str; 20] = [
    "read_deadline",
    "retry_max",
    "reread_interval",
    "reader",
    "receive_buffer",
    "run_dir",
    "multipath_wait",
    "activation",
    "activation_parallel",
    "activation_timeout",
    "state_dir",
    "socket_group",
    "clients_max",
    "report_clients_max",
    "report_clients_per_user",
    "message_max",
    "buffered_max",
    "unread_max",
    "stalled_max",
    "lvm",
];

impl Settings {
    /// Reads the settings from the merged configuration.
    pub fn read(conf: &Section) -> Result<Settings, Error> {
        let patterns = conf.value("devices/global_filter");
        let min_size = conf.int("devices/pv_min_size").unwrap_or(DEFAULT_PV_MIN_SIZE_KIB);
        let compile = |setting| {
            let compiled = conf.value(setting).map(|patterns| Patterns::compile(patterns.strings())).transpose();
            let compiled = compiled.map_err(|error| Error::Filter { setting, error })?;
            Ok(compiled.filter(|patterns| !patterns.accepts_all()))
        };
        Ok(Settings {
            filter: Filter {
                global: compile("devices/global_filter")?,
                local: compile("devices/filter")?,
                devices_file: None,
                pv_min_size: u64::try_from(min_size).unwrap_or(0).saturating_mul(1024),
                scan_lvs: conf.int("devices/scan_lvs").is_some_and(|value| value != 0),
            },
            devices_file: devices_file(conf)?,
            multipath: Multipath::new(conf.int("devices/multipath_component_detection") != Some(0)),
            multipath_wwids: multipath_wwids(conf),
            multipath_wait: seconds(conf, "pvwatch/multipath_wait", 0)?.unwrap_or(DEFAULT_MULTIPATH_WAIT),
            token: filter_token(patterns),
            read_deadline: seconds(conf, "pvwatch/read_deadline", 1)?.unwrap_or(DEFAULT_READ_DEADLINE),
            retry_max: seconds(conf, "pvwatch/retry_max", 1)?.unwrap_or(DEFAULT_RETRY_MAX),
            reread_interval: seconds(conf, "pvwatch/reread_interval", 0)?.filter(|interval| !interval.is_zero()),
            reader: reader(conf)?,
            receive_buffer: receive_buffer(conf)?,
            event_activation: conf.int("global/event_activation") != Some(0),
            system_id: system_id_source(conf),
            run_dir: run_dir(conf)?,
            activation: activation_setting(conf)?,
            takeover: Takeover::default(),
            activation_parallel: activation_parallel(conf)?,
            activation_timeout: seconds(conf, "pvwatch/activation_timeout", 0)?
                .map_or(Some(DEFAULT_ACTIVATION_TIMEOUT), |limit| Some(limit).filter(|limit| !limit.is_zero())),
            state_dir: path(conf, "pvwatch/state_dir")?.unwrap_or_else(|| DEFAULT_STATE_DIR.into()),
            socket_group: socket_group(conf)?,
            clients: ClientLimits::read(conf)?,
            lvm: path(conf, "pvwatch/lvm")?,
            policy: policy(conf),
            report: report::settings::Settings::read(conf),
            unknown: unknown_settings(conf),
        })
    }

    /// What is done about VGs that are whole.
    pub fn mode(&self) -> Mode {
        match (self.activation, self.takeover) {
            (ActivationSetting::Off, _) | (ActivationSetting::Takeover, Takeover::Disabled) => Mode::Off,
            (ActivationSetting::Takeover, Takeover::Compare) => Mode::Compare,
            (ActivationSetting::Report, _) => Mode::Report,
            (ActivationSetting::On, _) | (ActivationSetting::Takeover, Takeover::Enabled) => Mode::On,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::read(&Section::default()).expect("an empty configuration is right")
    }
}

fn devices_file(conf: &Section) -> Result<Option<String>, Error> {
    let setting = "devices/devicesfile";
    if conf.int("devices/use_devicesfile").unwrap_or(0) == 0 {
        return Ok(None);
    }
    let given = conf.value(setting).and_then(|value| value.strings().next());
    let name = match (conf.item(setting), given.map(str::from_utf8)) {
        (None, _) => Some(DEFAULT_DEVICES_FILE),
        (Some(_), name) => name.and_then(Result::ok),
    };
    match name {
        Some("") => Ok(None),
        Some(name) if !name.contains(['/', '\0']) && ![".", ".."].contains(&name) => Ok(Some(name.to_owned())),
        _ => Err(Error::Value { setting, expected: "the name of a file" }),
    }
}

/// LVM takes none for "", and does not look at what is not an absolute path.
fn multipath_wwids(conf: &Section) -> Option<PathBuf> {
    let setting = "devices/multipath_wwids_file";
    match conf.item(setting) {
        None => Some(DEFAULT_MULTIPATH_WWIDS.into()),
        Some(_) => conf.str(setting).filter(|path| path.starts_with(b"/")).map(|path| OsStr::from_bytes(path).into()),
    }
}

fn seconds(conf: &Section, setting: &'static str, least: i64) -> Result<Option<Duration>, Error> {
    match (conf.item(setting), conf.int(setting)) {
        (None, _) => Ok(None),
        (Some(_), Some(value)) if (least..=SECONDS_MAX).contains(&value) => {
            Ok(Some(Duration::from_secs(value.unsigned_abs())))
        }
        (Some(_), _) => Err(Error::Value { setting, expected: "a number of seconds" }),
    }
}

fn reader(conf: &Section) -> Result<Reader, Error> {
    let setting = "pvwatch/reader";
    match (conf.item(setting), conf.str(setting)) {
        (None, _) | (Some(_), Some(b"auto")) => Ok(Reader::Auto),
        (Some(_), Some(b"pool")) => Ok(Reader::Pool),
        (Some(_), _) => Err(Error::Value { setting, expected: "\"auto\" or \"pool\"" }),
    }
}

fn receive_buffer(conf: &Section) -> Result<usize, Error> {
    let setting = "pvwatch/receive_buffer";
    let value = conf.int(setting).and_then(|value| usize::try_from(value).ok());
    match (conf.item(setting), value) {
        (None, _) => Ok(RECEIVE_BUFFER),
        (Some(_), Some(bytes)) if bytes <= RECEIVE_BUFFER_MAX => Ok(bytes),
        (Some(_), _) => Err(Error::Value { setting, expected: "a number of bytes, at most 1 GiB" }),
    }
}

/// LVM takes a source that it does not know for none.
fn system_id_source(conf: &Section) -> SystemIdSource {
    let source = conf.str("global/system_id_source").unwrap_or_default().to_ascii_lowercase();
    match source.as_slice() {
        b"uname" => SystemIdSource::Uname,
        b"machineid" | b"machine-id" => SystemIdSource::MachineId,
        b"appmachineid" => SystemIdSource::AppMachineId,
        b"lvmlocal" => {
            conf.str("local/system_id").map_or(SystemIdSource::None, |given| SystemIdSource::Given(given.to_vec()))
        }
        b"file" => conf
            .str("global/system_id_file")
            .map_or(SystemIdSource::None, |path| SystemIdSource::File(OsStr::from_bytes(path).into())),
        _ => SystemIdSource::None,
    }
}

/// LVM cuts a longer one.
const SYSTEM_ID_MAX: usize = 128;

/// What of a text can be a system ID: `system_id_from_string` of lvm2. Other characters are
/// dropped, and it begins with a letter or a digit. A host that says it is `localhost` says nothing.
pub fn system_id(text: &[u8]) -> Option<String> {
    let legal = text.iter().copied().filter(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(byte));
    let id = legal.skip_while(|byte| !byte.is_ascii_alphanumeric()).take(SYSTEM_ID_MAX).map(char::from);
    Some(id.collect::<String>()).filter(|id| !id.is_empty() && !id.starts_with("localhost"))
}

fn activation_setting(conf: &Section) -> Result<ActivationSetting, Error> {
    let setting = "pvwatch/activation";
    match (conf.item(setting), conf.str(setting)) {
        (None, _) | (Some(_), Some(b"takeover")) => Ok(ActivationSetting::Takeover),
        (Some(_), Some(b"on")) => Ok(ActivationSetting::On),
        (Some(_), Some(b"report")) => Ok(ActivationSetting::Report),
        (Some(_), Some(b"off")) => Ok(ActivationSetting::Off),
        (Some(_), _) => Err(Error::Value { setting, expected: "\"takeover\", \"on\", \"report\" or \"off\"" }),
    }
}

fn activation_parallel(conf: &Section) -> Result<usize, Error> {
    let setting = "pvwatch/activation_parallel";
    let value = conf.int(setting).and_then(|value| usize::try_from(value).ok());
    match (conf.item(setting), value) {
        (None, _) => Ok(DEFAULT_ACTIVATION_PARALLEL),
        (Some(_), Some(number)) if (1..=ACTIVATION_PARALLEL_MAX).contains(&number) => Ok(number),
        (Some(_), _) => Err(Error::Value { setting, expected: "a number from 1 to 64" }),
    }
}

/// Without the tags of the host, whose name is not written here.
fn policy(conf: &Section) -> Policy {
    Policy {
        auto_activation_volume_list: list(conf, "activation/auto_activation_volume_list"),
        volume_list: list(conf, "activation/volume_list"),
        host_tags: Vec::new(),
        allow_duplicates: conf.int("devices/allow_changes_with_duplicate_pvs").is_some_and(|value| value != 0),
    }
}

/// A string alone is a list of one.
fn list(conf: &Section, setting: &str) -> Option<Vec<Vec<u8>>> {
    Some(conf.value(setting)?.strings().filter(|entry| !entry.is_empty()).map(<[u8]>::to_vec).collect())
}

fn path(conf: &Section, setting: &'static str) -> Result<Option<PathBuf>, Error> {
    match (conf.item(setting), conf.str(setting)) {
        (None, _) => Ok(None),
        (Some(_), Some(path)) if path.starts_with(b"/") => Ok(Some(OsStr::from_bytes(path).into())),
        (Some(_), _) => Err(Error::Value { setting, expected: "an absolute path" }),
    }
}

fn run_dir(conf: &Section) -> Result<Option<PathBuf>, Error> {
    let setting = "pvwatch/run_dir";
    let value = conf.value(setting).and_then(|value| value.strings().next());
    match (conf.item(setting), value.and_then(|path| std::str::from_utf8(path).ok())) {
        (None, _) => Ok(None),
        (Some(_), Some(path)) if path.is_empty() || path.starts_with('/') => Ok(Some(path.into())),
        (Some(_), _) => Err(Error::Value { setting, expected: "an absolute path, or an empty string" }),
    }
}

/// A name or a number; no group, or root's, is root alone.
fn socket_group(conf: &Section) -> Result<Option<String>, Error> {
    let setting = "pvwatch/socket_group";
    let name = conf.value(setting).and_then(|value| value.strings().next());
    let group = match (conf.item(setting), conf.int(setting), name) {
        (None, ..) => DEFAULT_SOCKET_GROUP.to_owned(),
        (Some(_), Some(number), _) if u32::try_from(number).is_ok() => number.to_string(),
        (Some(_), _, Some(name)) => String::from_utf8_lossy(name).into_owned(),
        (Some(_), ..) => return Err(Error::Value { setting, expected: "the name of a group, or an empty string" }),
    };
    Ok(Some(group).filter(|group| !["", "root", "0"].contains(&group.as_str())))
}

fn unknown_settings(conf: &Section) -> Vec<String> {
    let own = conf.section(OWN_SECTION).map_or(&[][..], |section| &section.0);
    let unknown = own.iter().filter(|node| !OWN_SETTINGS.iter().any(|known| known.as_bytes() == &*node.key));
    unknown.map(|node| format!("{OWN_SECTION}/{}", node.key.escape_ascii())).collect()
}

/// `filter:` and a CRC over the strings of `devices/global_filter`, in order and without
/// separators, up to the first element that is none. The register starts with 0 and is not
/// inverted at the end (lvm2, `lib/cache/lvmetad.c`).
fn filter_token(patterns: Option<&Value>) -> Vec<u8> {
    use crate::text::Scalar;
    let mut crc = crc32fast::Hasher::new_with_initial(!0);
    match patterns {
        None => crc.update(DEFAULT_GLOBAL_FILTER),
        Some(patterns) => {
            let strings = patterns.scalars().iter().map_while(|scalar| match scalar {
                Scalar::Str(bytes) => Some(bytes),
                Scalar::Int(_) | Scalar::Float(_) => None,
            });
            strings.for_each(|bytes| crc.update(bytes));
        }
    }
    format!("filter:{}", !crc.finalize()).into_bytes()
}

/// The host's tags, each of which brings a file `lvm_<tag>.conf`: children of `tags`, with or
/// without `@`, that have no `host_list` or one that names the host, and the host's own name if
/// `tags/hosttags` is set.
pub fn host_tags(conf: &Section, hostname: &str) -> Vec<String> {
    let Some(tags) = conf.section("tags") else { return Vec::new() };
    let mut out = Vec::new();
    if tags.int("hosttags").is_some_and(|value| value != 0) {
        out.push(hostname.to_owned());
    }
    for node in &tags.0 {
        let Item::Section(tag) = &node.item else { continue };
        let here = match tag.value("host_list") {
            None => true,
            Some(hosts) => hosts.strings().any(|host| host == hostname.as_bytes()),
        };
        let name = String::from_utf8_lossy(&node.key).trim_start_matches('@').to_owned();
        // No key has a slash in it, so the file is never elsewhere.
        if here {
            out.push(name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse;

    fn settings(text: &str) -> Result<Settings, Error> {
        Settings::read(&parse(text.as_bytes()).unwrap().merged())
    }

    #[test]
    fn token_is_the_one_commands_compute() {
        for (filter, expected) in [
            (r#"["a|^/dev/loop2$|","r|.*|"]"#, "filter:3038606523"),
            (r#"["r|.*|"]"#, "filter:2800760414"),
            (r#""r|.*|""#, "filter:2800760414"),
            (r#"["r|/dev/.*|","a|nothing|"]"#, "filter:1535372016"),
            ("[]", "filter:0"),
        ] {
            let settings = settings(&format!("devices {{ global_filter={filter} }}")).unwrap();
            assert_eq!(String::from_utf8(settings.token).unwrap(), expected);
        }
        assert_eq!(Settings::default().token, b"filter:3239235440");
    }

    #[test]
    fn defaults() {
        let settings = Settings::default();
        assert_eq!(settings.filter.pv_min_size, 2 << 20);
        assert_eq!((settings.read_deadline.as_secs(), settings.reread_interval), (10, None));
        assert!(settings.filter.global.is_none());
        assert_eq!(settings.multipath_wait.as_secs(), 10);
        assert_eq!(settings.multipath_wwids.as_deref(), Some("/etc/multipath/wwids".as_ref()));
        assert!(settings.multipath.has_detection());
    }

    #[test]
    fn what_concerns_multipath() {
        assert!(!settings("devices/multipath_component_detection=0").unwrap().multipath.has_detection());
        assert!(settings("pvwatch/multipath_wait=0").unwrap().multipath_wait.is_zero());
        let file = |path: &str| settings(&format!("devices/multipath_wwids_file={path}")).unwrap().multipath_wwids;
        assert_eq!(file("\"/x/y\""), Some("/x/y".into()));
        for path in ["\"\"", "\"x\"", "1", "[]"] {
            assert_eq!(file(path), None, "{path}");
        }
        let expected = Error::Value { setting: "pvwatch/multipath_wait", expected: "a number of seconds" };
        assert_eq!(settings("pvwatch/multipath_wait=-1").unwrap_err(), expected);
    }

    #[test]
    fn wrong_values_are_named() {
        for text in ["pvwatch/read_deadline=0", "pvwatch/read_deadline=\"5\"", "pvwatch{read_deadline{}}"] {
            let expected = Error::Value { setting: "pvwatch/read_deadline", expected: "a number of seconds" };
            assert_eq!(settings(text).unwrap_err(), expected);
        }
        assert_eq!(settings("pvwatch/run_dir=\"\"").unwrap().run_dir, Some("".into()));
        for text in ["pvwatch/run_dir=1", "pvwatch/run_dir=\"lvm\"", "pvwatch/run_dir=[]"] {
            let expected = "an absolute path, or an empty string";
            assert_eq!(settings(text).unwrap_err(), Error::Value { setting: "pvwatch/run_dir", expected });
        }
        let rejected = settings("devices/filter=[\"x|y|\"]").unwrap_err();
        assert!(rejected.to_string().starts_with("devices/filter: "), "{rejected}");
        assert!(matches!(
            settings("devices/global_filter=[\"x|y|\"]"),
            Err(Error::Filter { setting: "devices/global_filter", .. })
        ));
        assert_eq!(settings("pvwatch { read_deadlin=1 }").unwrap().unknown, ["pvwatch/read_deadlin"]);
    }

    #[test]
    fn whose_group_may_ask() {
        let group = |text: &str| settings(text).map(|settings| settings.socket_group);
        assert_eq!(group("a=1"), Ok(Some("disk".to_owned())));
        assert_eq!(group("pvwatch/socket_group=\"storage\""), Ok(Some("storage".to_owned())));
        assert_eq!(group("pvwatch/socket_group=44"), Ok(Some("44".to_owned())));
        for root in ["\"\"", "\"root\"", "0"] {
            assert_eq!(group(&format!("pvwatch/socket_group={root}")), Ok(None), "{root}");
        }
        assert!(group("pvwatch/socket_group=[]").is_err());
        assert!(group("pvwatch/socket_group=-1").is_err());
    }

    /// What lvm2 2.03.16 makes of them.
    #[test]
    fn a_system_id_is_what_is_legal_of_it() {
        for (text, expected) in [
            ("disklab", Some("disklab")),
            ("a b/c@d.e-f_g+h\u{e9}", Some("abcd.e-f_g+h")),
            ("1abc", Some("1abc")),
            ("- -x", Some("x")),
            ("_x", Some("x")),
            ("LOCALHOST", Some("LOCALHOST")),
            ("my.localhost", Some("my.localhost")),
            ("localhost", None),
            ("localhostx", None),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(system_id(text.as_bytes()).as_deref(), expected, "{text}");
        }
        assert_eq!(system_id(&[b'0'; 200]).unwrap().len(), 128);
    }

    #[test]
    fn the_source_of_the_system_id() {
        let given = |id: &str| SystemIdSource::Given(id.into());
        for (text, expected) in [
            ("a=1", SystemIdSource::None),
            ("global/system_id_source=\"none\"", SystemIdSource::None),
            ("global/system_id_source=\"heard of\"", SystemIdSource::None),
            ("global/system_id_source=\"MachineID\"", SystemIdSource::MachineId),
            ("global/system_id_source=\"appmachineid\"", SystemIdSource::AppMachineId),
            ("global/system_id_source=\"uname\" local/system_id=\"x\"", SystemIdSource::Uname),
            ("global/system_id_source=\"lvmlocal\" local/system_id=\"x\"", given("x")),
            ("global/system_id_source=\"lvmlocal\"", SystemIdSource::None),
            ("global { system_id_source=\"file\" system_id_file=\"/x\" }", SystemIdSource::File("/x".into())),
        ] {
            assert_eq!(settings(text).unwrap().system_id, expected, "{text}");
        }
        assert!(settings("a=1").unwrap().event_activation);
        assert!(!settings("global/event_activation=0").unwrap().event_activation);
    }

    #[test]
    fn the_devices_file() {
        let name = |text: &str| settings(text).map(|settings| settings.devices_file);
        let some = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(name("devices { devicesfile=\"mine\" }"), Ok(None));
        assert_eq!(name("devices { use_devicesfile=1 }"), some("system.devices"));
        assert_eq!(name("devices { use_devicesfile=1 devicesfile=\"mine\" }"), some("mine"));
        assert_eq!(name("devices { use_devicesfile=1 devicesfile=\"\" }"), Ok(None));
        for bad in ["\"../x\"", "\"..\"", "7", "[]"] {
            let error = name(&format!("devices {{ use_devicesfile=1 devicesfile={bad} }}")).unwrap_err();
            assert!(matches!(error, Error::Value { setting: "devices/devicesfile", .. }));
        }
        // Commands compute theirs of global_filter all the same.
        let with = settings("devices { use_devicesfile=1 global_filter=[\"r|.*|\"] }").unwrap();
        assert_eq!(with.token, b"filter:2800760414");
    }

    #[test]
    fn what_of_which_vg_is_activated() {
        let list = |value: &str| {
            let policy = settings(&format!("activation/volume_list={value}")).unwrap().policy;
            policy.volume_list.map(|list| list.iter().map(|entry| String::from_utf8(entry.clone()).unwrap()).collect())
        };
        let expected = |entries: &[&str]| Some(entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>());
        for (value, entries) in [
            ("[\"vg\", \"vg/lv\", \"@tag\"]", &["vg", "vg/lv", "@tag"][..]),
            ("\"vg\"", &["vg"]),
            ("[]", &[]),
            ("\"\"", &[]),
            ("7", &[]),
            ("[7, \"\", \"vg\"]", &["vg"]),
        ] {
            assert_eq!(list(value), expected(entries), "{value}");
        }
        assert_eq!(settings("a=1").unwrap().policy, Policy::default());
        let policy = settings(
            "activation/auto_activation_volume_list=[\"@*\"] \
             devices/allow_changes_with_duplicate_pvs=1",
        );
        let expected = Policy {
            auto_activation_volume_list: Some(vec![b"@*".to_vec()]),
            allow_duplicates: true,
            ..Policy::default()
        };
        assert_eq!(policy.unwrap().policy, expected);
    }

    #[test]
    fn tags_of_this_host() {
        let conf = parse(b"tags { hosttags=1 @a{} b{host_list=[\"h1\",\"h2\"]} c{host_list=\"h3\"} }").unwrap();
        assert_eq!(host_tags(&conf, "h2"), ["h2", "a", "b"]);
    }
}
