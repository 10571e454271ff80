//! What reports are made of, from the daemon: one reply after the other, as they come.

use super::{Error, connect_first, report_sockets};
use crate::bytes::Bytes;
use crate::metadata::Body;
use crate::protocol::frame::{CALL_END, MESSAGE_MAX};
use crate::report::inventory::{
    Broken, Device, Host, Item, Mapped, Mda, Named, Needs, Present, Source, Unreadable, VgItem, Warning,
};
use crate::report::model::Vg;
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A reply is as long as the largest VG without its text.
const REPLY_MAX: usize = 256 << 20;
/// So long the daemon may be silent.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The kernel numbers no more of them.
const MAPPED_MAX: usize = 1 << 20;
/// Of one read.
const CHUNK: usize = 64 << 10;
/// Room kept for the next reply after a large one.
const KEPT_CAPACITY: usize = 256 << 10;

/// A stream of items. It takes no more from the daemon than it is asked for.
pub struct Inventory {
    socket: PathBuf,
    timeout: Duration,
    replies: Replies,
    decoder: Decoder,
}

impl Inventory {
    /// Asks at this socket, or where reports are to be had. Nobody is waited for longer than that.
    pub fn open(socket: Option<&Path>, needs: &Needs, timeout: Option<Duration>) -> Result<Inventory, Error> {
        let sockets = socket.map_or_else(report_sockets, |socket| vec![socket.to_owned()]);
        let sockets = sockets.iter().map(PathBuf::as_path).collect::<Vec<_>>();
        Inventory::ask(&sockets, needs, timeout.unwrap_or(TIMEOUT))
    }

    /// Asks at the first of these sockets that lets us in.
    pub fn ask(sockets: &[&Path], needs: &Needs, timeout: Duration) -> Result<Inventory, Error> {
        let (socket, mut stream) = connect_first(sockets, Some(timeout))?;
        let call = json!({ "method": "io.pvwatch.Inventory", "parameters": needs, "more": true });
        let mut message = call.to_string().into_bytes();
        message.push(CALL_END);
        let set = stream.set_read_timeout(Some(timeout));
        match set.and_then(|()| stream.write_all(&message)) {
            // Why it hangs up it has said before.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::of(&socket, timeout, error)),
            Ok(()) | Err(_) => {
                let replies = Replies { stream, received: Vec::new(), begin: 0 };
                Ok(Inventory { socket, timeout, replies, decoder: Decoder::default() })
            }
        }
    }

    /// The next item; `None` at the end.
    pub fn next_item(&mut self) -> Result<Option<Item>, Error> {
        // A daemon that says a little now and then, and nothing with it, is no better than a silent one.
        let mut begin = Instant::now();
        loop {
            if let Some(item) = self.decoder.next_item().map_err(|what| self.nonsense(what))? {
                return Ok(Some(item));
            }
            if self.decoder.is_over {
                return Ok(None);
            }
            let reply = match self.replies.next(begin, self.timeout) {
                Ok(reply) => reply,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(self.nonsense(&error.to_string()));
                }
                Err(error) => return Err(Error::of(&self.socket, self.timeout, error)),
            };
            match self.decoder.take(reply) {
                Ok(()) if self.decoder.pieces.is_empty() => {}
                Ok(()) => begin = Instant::now(),
                Err(Wrong::Refusal(error)) => {
                    self.decoder = Decoder { is_over: true, ..Decoder::default() };
                    return Err(Error::of_name(&error.name, &self.socket, error.because));
                }
                Err(Wrong::Nonsense(what)) => return Err(self.nonsense(&what)),
            }
        }
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::Refused(format!("{}: not a pvwatchd, or another version: {what}", self.socket.display()))
    }
}

impl Source for Inventory {
    fn next(&mut self) -> Result<Option<Item>, Broken> {
        self.next_item().map_err(|error| Broken { reason: error.to_string(), is_gone: error.is_gone() })
    }
}

/// What has been received, a reply at a time.
struct Replies {
    stream: UnixStream,
    received: Vec<u8>,
    /// Where the next one begins.
    begin: usize,
}

impl Replies {
    /// Nobody is waited for longer than that.
    fn next(&mut self, begin: Instant, timeout: Duration) -> io::Result<&[u8]> {
        let mut searched = self.begin;
        loop {
            if begin.elapsed() > timeout {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if let Some(at) = memchr::memchr(CALL_END, &self.received[searched..]) {
                let reply = self.begin..searched + at;
                self.begin = reply.end + 1;
                return Ok(&self.received[reply]);
            }
            self.received.drain(..self.begin);
            self.begin = 0;
            if self.received.is_empty() {
                self.received.shrink_to(KEPT_CAPACITY);
            }
            searched = self.received.len();
            if searched > REPLY_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its reply has no end"));
            }
            self.received.resize(searched + CHUNK, 0);
            let read = self.stream.read(&mut self.received[searched..]);
            self.received.truncate(searched + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => return Err(hung_up()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(hung_up()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    parameters: Option<Parameters>,
    #[serde(default)]
    continues: bool,
}

#[derive(Deserialize)]
struct Parameters {
    items: Option<VecDeque<Piece>>,
    /// Of an error.
    reason: Option<String>,
}

/// As `api::inventory` sends them.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Piece {
    Host(Host),
    Mapped(Vec<Mapped>),
    Named(Named),
    Vg(VolumeGroup),
    Text(Bytes),
    Unreadable(Box<Unreadable>),
    Orphan(Box<Present>),
    Label(Box<Present>),
    Device(Device),
}

#[derive(Deserialize)]
struct VolumeGroup {
    metadata: Box<Vg>,
    present: Vec<Present>,
    stray: Vec<Mda>,
    warnings: Vec<Warning>,
    text_size: Option<usize>,
}

/// The items of a whole stream of replies, for who has one without a daemon.
#[doc(hidden)]
pub fn items(stream: &[u8]) -> Result<Vec<Item>, String> {
    let (mut decoder, mut items) = (Decoder::default(), Vec::new());
    for reply in stream.split(|byte| *byte == CALL_END) {
        decoder.take(reply).map_err(|wrong| match wrong {
            Wrong::Refusal(refusal) => refusal.name,
            Wrong::Nonsense(what) => what,
        })?;
        while let Some(item) = decoder.next_item()? {
            items.push(item);
        }
        if decoder.is_over {
            return Ok(items);
        }
    }
    Err(hung_up().to_string())
}

/// An item of which more may follow.
enum Begun {
    Host(Host),
    Vg(Box<VgItem>, Vec<u8>, usize),
}

/// Pieces to items.
#[derive(Default)]
struct Decoder {
    pieces: VecDeque<Piece>,
    begun: Option<Begun>,
    is_over: bool,
}

enum Wrong {
    Refusal(Refusal),
    Nonsense(String),
}

struct Refusal {
    name: String,
    because: Option<String>,
}

impl Decoder {
    fn take(&mut self, reply: &[u8]) -> Result<(), Wrong> {
        let reply: Reply = serde_json::from_slice(reply).map_err(|error| Wrong::Nonsense(error.to_string()))?;
        let Parameters { items, reason } = reply.parameters.unwrap_or(Parameters { items: None, reason: None });
        if let Some(name) = reply.error {
            return Err(Wrong::Refusal(Refusal { name, because: reason }));
        }
        self.pieces = items.ok_or_else(|| Wrong::Nonsense("a reply has no items".to_owned()))?;
        self.is_over = !reply.continues;
        Ok(())
    }

    /// `None` if the next reply is needed, or nothing is left.
    fn next_item(&mut self) -> Result<Option<Item>, &'static str> {
        loop {
            if let Some(Begun::Vg(_, text, size)) = &self.begun
                && text.len() >= *size
            {
                return self.end_begun();
            }
            let Some(piece) = self.pieces.pop_front() else {
                return if self.is_over { self.end_begun() } else { Ok(None) };
            };
            let item = match (&mut self.begun, piece) {
                (Some(Begun::Host(host)), Piece::Mapped(part)) => {
                    let mapped = host.mapped.get_or_insert_default();
                    mapped.extend(part);
                    if mapped.len() > MAPPED_MAX {
                        return Err("there are too many devices of device-mapper");
                    }
                    continue;
                }
                (Some(Begun::Vg(_, text, size)), Piece::Text(part)) => {
                    if part.len() > *size - text.len() {
                        return Err("the text of a VG is longer than it is");
                    }
                    text.extend_from_slice(&part);
                    continue;
                }
                (Some(Begun::Host(_)), piece) => {
                    self.pieces.push_front(piece);
                    return self.end_begun();
                }
                (Some(Begun::Vg(..)), _) => return Err("the text of a VG has no end"),
                (None, Piece::Mapped(_) | Piece::Text(_)) => return Err("something goes on that has not begun"),
                (None, Piece::Host(host)) => {
                    self.begun = Some(Begun::Host(host));
                    continue;
                }
                (None, Piece::Vg(VolumeGroup { metadata, present, stray, warnings, text_size })) => {
                    let vg = Box::new(VgItem { vg: Rc::from(metadata), present, stray, warnings, text: None });
                    let Some(size) = text_size else { return Ok(Some(Item::Vg(vg))) };
                    if size > MESSAGE_MAX {
                        return Err("the text of a VG is too long");
                    }
                    self.begun = Some(Begun::Vg(vg, Vec::with_capacity(size), size));
                    continue;
                }
                (None, Piece::Named(named)) => Item::Named(named),
                (None, Piece::Unreadable(vg)) => Item::Unreadable(vg),
                (None, Piece::Orphan(present)) => Item::Orphan(present),
                (None, Piece::Label(present)) => Item::Label(present),
                (None, Piece::Device(device)) => Item::Device(device),
            };
            return Ok(Some(item));
        }
    }

    fn end_begun(&mut self) -> Result<Option<Item>, &'static str> {
        match self.begun.take() {
            None => Ok(None),
            Some(Begun::Host(host)) => Ok(Some(Item::Host(host))),
            Some(Begun::Vg(mut vg, text, size)) if text.len() == size => {
                vg.text = Some(Body::from(&text[..]));
                Ok(Some(Item::Vg(vg)))
            }
            Some(Begun::Vg(..)) => Err("the text of a VG has no end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::inventory::tests::{device, host, present, replies, vg};

    fn decode(replies: &[Vec<u8>]) -> Result<Vec<Item>, String> {
        items(&replies.join(&CALL_END))
    }

    #[test]
    fn what_was_sent_arrives() {
        let text = "lv\u{fc} {\n\t\"\\\"\u{10ff90}}".as_bytes().iter().chain(b"\x80\xff\0").copied();
        let text = text.collect::<Vec<_>>().repeat(20_000);
        let unreadable = Unreadable { name: "odd".into(), id: None, devices: vec![device(3)], warnings: Vec::new() };
        let items = vec![
            host(Some(1000)),
            Item::Named(Named { at: 3, devno: crate::devno::DevNo::new(8, 1), reason: Some("device is an LV".into()) }),
            vg("none", None),
            vg("large", Some(&text)),
            vg("small", Some(b"x")),
            vg("empty", Some(b"")),
            Item::Unreadable(Box::new(unreadable)),
            Item::Orphan(Box::new(present(2))),
            Item::Device(device(4)),
        ];
        let arrived = decode(&replies(items.clone())).unwrap();
        // Nobody asks for the text of a VG that has none.
        let expected = items.iter().map(|item| match item {
            Item::Vg(vg) if vg.text.as_ref().is_some_and(|text| text.is_empty()) => {
                Item::Vg(Box::new(VgItem { text: None, ..(**vg).clone() }))
            }
            item => item.clone(),
        });
        assert_eq!(arrived.len(), items.len());
        for (arrived, expected) in arrived.iter().zip(expected) {
            assert_eq!(format!("{arrived:?}"), format!("{expected:?}"));
            if let (Item::Vg(arrived), Item::Vg(expected)) = (arrived, &expected) {
                assert_eq!(arrived.text, expected.text);
            }
        }
        for mapped in [None, Some(0)] {
            let arrived = decode(&replies(vec![host(mapped)])).unwrap();
            assert_eq!(format!("{arrived:?}"), format!("{:?}", [host(mapped)]));
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let wrong =
            |items: &str| decode(&[format!(r#"{{"parameters":{{"items":[{items}]}}}}"#).into_bytes()]).unwrap_err();
        let vg = |size: usize| {
            let empty = serde_json::to_string(&Vg::default()).unwrap();
            format!(r#"{{"vg":{{"metadata":{empty},"present":[],"stray":[],"warnings":[],"text_size":{size}}}}}"#)
        };
        for (items, expected) in [
            (r#"{"text":"a"}"#.to_owned(), "not begun"),
            (r#"{"mapped":[]}"#.to_owned(), "not begun"),
            (vg(2), "no end"),
            (format!(r#"{},{{"text":"a"}}"#, vg(2)), "no end"),
            (format!(r#"{},{{"text":"abc"}}"#, vg(2)), "longer"),
            (format!("{},{}", vg(2), vg(2)), "no end"),
            (vg(usize::MAX), "too long"),
            (r#"{"moon":1}"#.to_owned(), "unknown variant"),
            ("7".to_owned(), "expected"),
        ] {
            let said = wrong(&items);
            assert!(said.contains(expected), "{items}: {said}");
        }
        for reply in [&b""[..], b"[]", b"{}", b"\xff", br#"{"parameters":{}}"#, br#"{"parameters":null}"#] {
            assert!(decode(&[reply.to_vec()]).is_err(), "{}", reply.escape_ascii());
        }
        let refused = br#"{"error":"io.pvwatch.Failed","parameters":{"reason":"because"}}"#;
        assert_eq!(decode(&[refused.to_vec()]).unwrap_err(), "io.pvwatch.Failed");
    }
}
