//! The plain reader: one job after the other, each with the system calls of old.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

use memmap2::MmapMut;
use nix::errno::Errno;
use nix::sys::uio::pread;

use super::source::{Fill, Flags, PAGE, Source, check_node};
use super::{KEEP_BUFFER, errno, unusable};
use crate::ondisk::ByteRange;
use crate::sys::reader::messages::{Answer, MAX_REQUEST, Request, frame_length};
use crate::sys::reader::{Open, Opened, Reply};

pub fn serve(mut socket: UnixStream) -> io::Result<()> {
    let mut buffer = Buffer(MmapMut::map_anon(PAGE)?);
    let mut source: Option<Source> = None;
    while let Some(request) = receive(&mut socket)? {
        let answer = match request {
            Request::Open(job, open) => {
                // Before the new one: a plain reader never has two devices open.
                drop(source.take());
                let reply = match unusable(&open) {
                    Some(why) => Reply::Unusable(why),
                    None => match open_source(&open) {
                        Ok(mut opened) => match buffer.read(&mut opened, ByteRange { offset: 0, length: open.first }) {
                            Ok(head) => {
                                let (size, diskseq, head) = (opened.size, opened.diskseq(), head.to_vec());
                                source = Some(opened);
                                Reply::Opened(Ok(Opened { size, diskseq, head }))
                            }
                            Err(error) => Reply::Unread(errno(&error)),
                        },
                        Err(error) => Reply::Opened(Err(errno(&error))),
                    },
                };
                Answer::Reply(job, reply)
            }
            Request::Read(job, ranges) => {
                let mut pieces = Vec::new();
                for range in ranges {
                    pieces.push(match &mut source {
                        Some(open) => buffer.read(open, range).map(<[u8]>::to_vec).map_err(|error| errno(&error)),
                        None => Err(Errno::EBADF as i32),
                    });
                    // Each takes its time on a sick disk, and the daemon may not want the next any more.
                    if pieces.last().is_some_and(Result::is_err) {
                        break;
                    }
                }
                let diskseq = source.as_ref().and_then(Source::diskseq);
                Answer::Reply(job, Reply::Data { diskseq, pieces })
            }
            Request::Close(job) | Request::Cancel(job) => {
                drop(source.take());
                Answer::Closed(job)
            }
            Request::Ping => Answer::Pong,
        };
        let mut out = Vec::new();
        answer.put(&mut out);
        socket.write_all(&out)?;
        buffer.shrink()?;
    }
    Ok(())
}

/// `None` when the daemon has closed its end.
fn receive(socket: &mut UnixStream) -> io::Result<Option<Request>> {
    let mut length = [0; 4];
    match socket.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut message = vec![0; frame_length(&length, MAX_REQUEST)?.unwrap_or(0)];
    socket.read_exact(&mut message)?;
    Ok(Some(Request::decode(&message)?))
}

fn open_source(open: &Open) -> io::Result<Source> {
    check_node(open)?;
    let (file, flags) = open_file(open)?;
    let mut source = Source::new(file);
    source.check(open.expect, flags)?;
    Ok(source)
}

fn open_file(open: &Open) -> io::Result<(File, Flags)> {
    let mut flags = Flags::of(open.expect);
    loop {
        let error = match OpenOptions::new().read(true).custom_flags(flags.get().bits()).open(&open.path) {
            Ok(file) => return Ok((file, flags)),
            Err(error) => error,
        };
        flags = flags.after(Errno::from_raw(errno(&error))).ok_or(error)?;
    }
}

/// Page-aligned memory, as O_DIRECT wants it.
struct Buffer(MmapMut);

impl Buffer {
    fn read(&mut self, source: &mut Source, range: ByteRange) -> io::Result<&[u8]> {
        let mut fill = Fill::new(source, range);
        if self.0.len() < fill.space() {
            self.0 = MmapMut::map_anon(fill.space())?;
        }
        while let Some((space, at)) = fill.next(source)? {
            let result = pread(&source.file, &mut self.0[space], at);
            if !fill.took(source, result)? {
                break;
            }
        }
        Ok(&self.0[fill.wanted()])
    }

    fn shrink(&mut self) -> io::Result<()> {
        if self.0.len() > KEEP_BUFFER {
            self.0 = MmapMut::map_anon(PAGE)?;
        }
        Ok(())
    }
}
