//! Reading the configuration files.

use crate::conf::{self, Settings, Takeover};
use crate::filter::DevicesFile;
use crate::multipath::Multipath;
use crate::takeover::State;
use crate::text::{self, Section};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Of one file.
const SIZE_MAX: u64 = 16 << 20;

#[derive(Debug)]
pub enum Error {
    Read { path: PathBuf, error: io::Error },
    Parse { path: PathBuf, error: text::Error },
    Settings(conf::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Read { path, error } => write!(f, "{}: {error}", path.display()),
            Error::Parse { path, error } => write!(f, "{}: {error}", path.display()),
            Error::Settings(error) => write!(f, "configuration: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// What is laid over the files.
#[derive(Clone, Copy, Debug)]
pub enum Over<'o> {
    Nothing,
    /// It has to exist.
    File(&'o Path),
    /// Settings as they are given on LVM's command lines.
    Text(&'o str),
}

const DEFAULT_SYSTEM_DIR: &str = "/etc/lvm";

/// Where a command of LVM's looks for its configuration.
pub fn system_dir() -> PathBuf {
    let given = std::env::var_os("LVM_SYSTEM_DIR").filter(|directory| !directory.is_empty());
    given.map_or_else(|| DEFAULT_SYSTEM_DIR.into(), PathBuf::from)
}

/// `lvm.conf`, the files of the host's tags and `lvmlocal.conf` of the directory, and what is laid
/// over them, each over those before it.
pub fn load(directory: &Path, over: Over) -> Result<Settings, Error> {
    let mut conf = Section::default();
    let main = read(&directory.join("lvm.conf"))?;
    lay_over(&mut conf, main.as_deref(), &directory.join("lvm.conf"))?;
    let mut files = Vec::new();
    for tag in conf::host_tags(&conf, &hostname()) {
        files.push(directory.join(format!("lvm_{tag}.conf")));
    }
    files.push(directory.join("lvmlocal.conf"));
    let mut texts = Vec::new();
    for path in files {
        texts.push((read(&path)?, path));
    }
    match over {
        Over::Nothing => {}
        Over::File(path) => {
            let text = read(path)?.ok_or_else(|| Error::Read {
                path: path.to_owned(),
                error: io::Error::from_raw_os_error(nix::libc::ENOENT),
            })?;
            texts.push((Some(text), path.to_owned()));
        }
        Over::Text(text) => texts.push((Some(text.into()), "--config".into())),
    }
    for (text, path) in &texts {
        lay_over(&mut conf, text.as_deref(), path)?;
    }
    let mut settings = Settings::read(&conf).map_err(Error::Settings)?;
    settings.policy.host_tags = conf::host_tags(&conf, &hostname()).into_iter().map(String::into_bytes).collect();
    settings.takeover = takeover(directory);
    for setting in &settings.unknown {
        log::warn!("configuration: {setting} is not a setting");
    }
    Ok(settings)
}

/// Who is in charge, by `pvwatch takeover`. What cannot be understood leaves LVM in charge, and is no
/// reason to end.
fn takeover(directory: &Path) -> Takeover {
    let path = directory.join("pvwatch/takeover");
    let state = match read(&path) {
        Ok(None) => return Takeover::Disabled,
        Ok(Some(bytes)) => State::parse(&bytes).map_err(|error| format!("{}: {error}", path.display())),
        Err(error) => Err(error.to_string()),
    };
    match state {
        Ok(state) => state.mode.of_daemon(),
        Err(error) => {
            log::error!("{error}; takeover counts for disabled");
            Takeover::Disabled
        }
    }
}

/// Where the devices file is, if there is to be one.
pub fn devices_file(directory: &Path, settings: &Settings) -> Option<PathBuf> {
    settings.devices_file.as_ref().map(|name| directory.join("devices").join(name))
}

/// Reads it, if it is there.
pub fn load_devices_file(directory: &Path, settings: &mut Settings) -> Result<(), Error> {
    if let Some(path) = devices_file(directory, settings) {
        settings.filter.devices_file = read(&path)?.as_deref().map(DevicesFile::parse);
    }
    Ok(())
}

/// Multipath's own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipathFiles {
    conf: PathBuf,
    /// Its files ending in `.conf`, in the order of their names.
    conf_dir: PathBuf,
    wwids: Option<PathBuf>,
}

/// More are no configuration.
const CONF_FILES_MAX: usize = 1000;

impl MultipathFiles {
    /// Where multipath has them, if they are to be read.
    pub fn of(settings: &Settings) -> Option<MultipathFiles> {
        settings.multipath.has_detection().then(|| MultipathFiles {
            conf: "/etc/multipath.conf".into(),
            conf_dir: "/etc/multipath/conf.d".into(),
            wwids: settings.multipath_wwids.clone(),
        })
    }

    /// What cannot be read or understood is warned of, and counts for nothing: how other programs are
    /// configured is no reason to end.
    pub fn load(&self, multipath: &mut Multipath) {
        let warn = |path: &Path, problem: &dyn fmt::Display| log::warn!("{}: {problem}", path.display());
        for path in std::iter::once(self.conf.clone()).chain(self.conf_files()) {
            let bytes = match read(&path) {
                Ok(None) => continue,
                Ok(Some(bytes)) => bytes,
                Err(error) => {
                    log::warn!("{error}");
                    // There is one all the same.
                    Vec::new()
                }
            };
            multipath.add_conf(&bytes).iter().for_each(|problem| warn(&path, problem));
        }
        let Some(path) = &self.wwids else { return };
        match read(path) {
            Ok(bytes) => {
                if let Err(problem) = multipath.add_wwids(&bytes.unwrap_or_default()) {
                    warn(path, &problem);
                }
            }
            Err(error) => log::warn!("{error}"),
        }
    }

    /// The directories that they are in.
    pub fn directories(&self) -> Vec<&Path> {
        let files = [Some(&self.conf), self.wwids.as_ref()];
        files.into_iter().flatten().filter_map(|path| path.parent()).chain([&*self.conf_dir]).collect()
    }

    /// Whether this is one of them.
    pub fn contains(&self, path: &Path) -> bool {
        path == self.conf || self.wwids.as_deref() == Some(path) || self.is_conf_file(path)
    }

    fn is_conf_file(&self, path: &Path) -> bool {
        let is_named_so = path.extension().is_some_and(|end| end == "conf");
        path.parent() == Some(&self.conf_dir) && is_named_so
    }

    fn conf_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.conf_dir).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| self.is_conf_file(path));
        let mut files = files.take(CONF_FILES_MAX).collect::<Vec<_>>();
        files.sort();
        files
    }
}

/// Reads multipath's files, if there are any.
pub fn load_multipath(settings: &mut Settings) {
    if let Some(files) = MultipathFiles::of(settings) {
        files.load(&mut settings.multipath);
    }
}

fn lay_over<'a>(conf: &mut Section<'a>, text: Option<&'a [u8]>, path: &Path) -> Result<(), Error> {
    match text.map(text::parse) {
        None => Ok(()),
        // An empty file, or one of comments only, says nothing.
        Some(Err(text::Error { kind: text::ErrorKind::Empty, .. })) => Ok(()),
        Some(Err(error)) => Err(Error::Parse { path: path.to_owned(), error }),
        Some(Ok(section)) => {
            conf.merge(section);
            Ok(())
        }
    }
}

/// `None` if there is no such file. It is read by the loop, so it must be one that ends and does
/// not wait for anybody.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let read = || {
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        let kind = file.metadata()?.file_type();
        if kind.is_fifo() || kind.is_block_device() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > SIZE_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too large"));
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read { path: path.to_owned(), error }),
    }
}

fn hostname() -> String {
    nix::sys::utsname::uname().map_or_else(|_| String::new(), |name| name.nodename().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn takeover_says_who_is_in_charge() {
        use crate::takeover::{Mode, Programs};
        let directory = tempfile::tempdir().unwrap();
        let takeover = || load(directory.path(), Over::Nothing).unwrap().takeover;
        assert_eq!(takeover(), Takeover::Disabled);
        fs::create_dir(directory.path().join("pvwatch")).unwrap();
        for (mode, expected) in [
            (Mode::Rule, Takeover::Enabled),
            (Mode::Events, Takeover::Enabled),
            (Mode::Compare, Takeover::Compare),
            (Mode::Lvm202, Takeover::Disabled),
        ] {
            let state = State::new(mode, Programs::default());
            fs::write(directory.path().join("pvwatch/takeover"), state.encode()).unwrap();
            assert_eq!(takeover(), expected, "{mode:?}");
        }
        fs::write(directory.path().join("pvwatch/takeover"), "mode=").unwrap();
        assert_eq!(takeover(), Takeover::Disabled);
    }

    #[test]
    fn multipaths_files_are_read_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let files =
            MultipathFiles { conf: path("multipath.conf"), conf_dir: path("conf.d"), wwids: Some(path("wwids")) };
        let load = || {
            let mut multipath = Multipath::default();
            files.load(&mut multipath);
            multipath
        };
        assert_eq!(load(), Multipath::default());
        assert!(!load().is_configured());
        fs::write(path("wwids"), "/3600/\n").unwrap();
        assert!(load().is_configured());
        fs::remove_file(path("wwids")).unwrap();
        fs::create_dir(path("conf.d")).unwrap();
        let defaults = |value: &str| format!("defaults {{\nfind_multipaths {value}\n}}\n");
        let expected = |value: &str| {
            let mut multipath = Multipath::default();
            multipath.add_conf(defaults(value).as_bytes());
            multipath
        };
        fs::write(path("multipath.conf"), defaults("strict")).unwrap();
        assert_eq!(load(), expected("strict"));
        fs::write(path("conf.d/20.conf"), defaults("yes")).unwrap();
        fs::write(path("conf.d/10.conf"), defaults("strict")).unwrap();
        fs::write(path("conf.d/30.other"), defaults("strict")).unwrap();
        assert_eq!(load(), expected("yes"));
        for (name, expected) in [
            ("multipath.conf", true),
            ("wwids", true),
            ("conf.d/20.conf", true),
            ("conf.d/30.other", false),
            ("x.conf", false),
        ] {
            assert_eq!(files.contains(&path(name)), expected, "{name}");
        }
        assert_eq!(files.directories(), [directory.path(), directory.path(), &path("conf.d")]);
        // What cannot be read is there all the same.
        fs::remove_dir_all(path("conf.d")).unwrap();
        fs::remove_file(path("multipath.conf")).unwrap();
        nix::unistd::mkfifo(&path("multipath.conf"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(load().is_configured());
    }
}
