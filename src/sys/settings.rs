//! Reading the configuration files.

use crate::conf::{self, Settings};
use crate::filter::DevicesFile;
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
    let settings = Settings::read(&conf).map_err(Error::Settings)?;
    for setting in &settings.unknown {
        log::warn!("configuration: {setting} is not a setting");
    }
    Ok(settings)
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
