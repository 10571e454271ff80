//! The socket for who may only read, besides that of lvmetad.

use super::clients::Admission;
use crate::sys::peer;
use crate::sys::run_files::make_open_directory;
use crate::sys::socket::{Audience, Listener};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub(super) struct ReportSocket {
    pub listener: Listener,
    group: Option<u32>,
}

impl ReportSocket {
    /// The one that systemd listens at for us, or a new one.
    pub fn open(path: &Path, handed_over: Option<Listener>, group: Option<&str>) -> io::Result<ReportSocket> {
        if let Some(directory) = path.parent() {
            make_open_directory(directory).map_err(io::Error::other)?;
            warn_if_closed(directory)?;
        }
        let listener = match handed_over {
            Some(listener) => listener,
            None => Listener::bind(path, Audience::Group)?,
        };
        let mut socket = ReportSocket { listener, group: None };
        socket.let_in(group);
        Ok(socket)
    }

    /// Members of this group may ask from here on, and nobody else but root.
    pub fn let_in(&mut self, group: Option<&str>) {
        let number = group.and_then(|name| {
            let number = peer::group_number(name);
            if number.is_none() {
                log::warn!("pvwatch/socket_group: there is no group \"{name}\", so that only root may ask");
            }
            number
        });
        self.group = number;
        if let Err(error) = self.listener.let_in(number) {
            let name = group.unwrap_or("root");
            log::warn!("the socket for reports cannot be given to group {name}, so that only root may ask: {error}");
            self.group = None;
        }
    }

    pub fn admission(&self) -> Admission {
        Admission::Reading { group: self.group }
    }
}

fn warn_if_closed(directory: &Path) -> io::Result<()> {
    let mode = fs::metadata(directory)?.permissions().mode();
    if mode & 0o011 == 0 {
        let directory = directory.display();
        log::warn!("{directory} has mode {:o}, so that only root reaches the socket in it", mode & 0o777);
    }
    Ok(())
}
