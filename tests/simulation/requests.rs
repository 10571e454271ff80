//! What clients send: honest, mistaken, and noise.

use crate::kinds::Kind;
use crate::rng::Rng;
use crate::sim::{Pending, Sim};
use crate::world::{Vg, hyphenated, name, pvid, vgid};
use pvwatch::devno::DevNo;
use pvwatch::protocol::frame::Frames;
use pvwatch::text;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// A client of its own filter; ours is another.
const OTHER_TOKEN: &str = "filter:1";

/// Connections, of which some end in the middle of a message.
#[derive(Default)]
pub struct Clients {
    last: u64,
    connected: BTreeMap<u64, Client>,
}

#[derive(Default)]
struct Client {
    frames: Frames,
    /// What was sent and not answered yet.
    owed: VecDeque<Vec<u8>>,
    /// When the last piece of it arrives.
    until: Duration,
}

/// So many are connected at a time.
const CLIENTS_MAX: usize = 3;

impl Sim {
    /// Sends requests over one connection, cut anywhere, while the world and other clients go on.
    fn send_at(&mut self, at: Duration, requests: &[String]) {
        let known = self.clients.connected.keys().copied().collect::<Vec<_>>();
        let id = if known.is_empty() || (known.len() < CLIENTS_MAX && self.rng.one_in(2)) {
            self.clients.last += 1;
            self.clients.last
        } else {
            *self.rng.pick(&known)
        };
        let stream = requests.iter().map(|request| format!("{request}\n##\n")).collect::<String>();
        let client = self.clients.connected.entry(id).or_default();
        client.owed.extend(requests.iter().map(|request| request.clone().into_bytes()));
        let mut at = at.max(client.until);
        let mut rest = stream.as_bytes();
        while !rest.is_empty() {
            let cut = 1 + self.rng.index(rest.len());
            self.schedule(at, Pending::Piece(id, rest[..cut].to_vec()));
            rest = &rest[cut..];
            if self.rng.one_in(40) {
                // It dies here.
                self.schedule(at, Pending::Piece(id, Vec::new()));
            }
            if !rest.is_empty() && self.rng.one_in(2) {
                let slowly = if self.allowed(Kind::Slow) && self.rng.one_in(3) { 3000 } else { 30 };
                at += Duration::from_micros(self.rng.below(slowly * 1000));
            }
        }
        if let Some(client) = self.clients.connected.get_mut(&id) {
            client.until = at;
        }
    }

    /// A piece arrives; each request that it completes gets one reply.
    pub fn receive(&mut self, id: u64, piece: &[u8]) {
        let Some(mut client) = self.clients.connected.remove(&id) else { return };
        if piece.is_empty() {
            return self.log(format_args!("client {id} dies"));
        }
        client.frames.push(piece);
        while let Some(message) = client.frames.next_request().expect("it is small") {
            let request = client.owed.pop_front().expect("no more is answered than was asked");
            assert!(message == request, "{} is answered for {}", message.escape_ascii(), request.escape_ascii());
            self.log(format_args!("client {id}: {}", request.escape_ascii()));
            let reply = self.watcher.handle_request(self.now, &request);
            check_reply(&request, reply.bytes());
            // What a command says is taken as it is, if it says it late as well: the commands of this
            // world wait for no lock. It is from there that nothing goes back.
            self.note_seqnos();
        }
        self.clients.connected.insert(id, client);
        self.pump();
    }

    /// Nobody waits for a reply any more.
    pub fn check_replied(&self) {
        for (id, client) in &self.clients.connected {
            assert!(client.owed.is_empty(), "client {id} has no reply to {} requests", client.owed.len());
        }
    }

    /// Who writes a VG says so.
    pub fn tell_of(&mut self, at: Duration, vg: &Vg) {
        self.reasons += 20;
        let request = skip("vg_update", &format!("vgname=\"{}\"\nmetadata {{{}}}", name(vg.name), vg.body()));
        self.send_at(at, &[request]);
    }

    pub fn client(&mut self) {
        let mut requests = Vec::new();
        for _ in 0..=self.rng.below(3) {
            let kinds = [Kind::Ask, Kind::Say, Kind::Push, Kind::Refill, Kind::Noise];
            let kinds = kinds.into_iter().filter(|kind| self.allowed(*kind)).collect::<Vec<_>>();
            if kinds.is_empty() {
                return;
            }
            match self.rng.pick(&kinds) {
                Kind::Ask => requests.push(self.question()),
                Kind::Say => requests.push(self.hint()),
                Kind::Push => requests.push(self.metadata_push()),
                Kind::Refill => requests.extend(self.refill()),
                _ => requests.push(noise(&mut self.rng)),
            }
        }
        // Any of these can make us look at everything we know.
        self.reasons += 20 * requests.len() as u64;
        self.send_at(self.now, &requests);
    }

    fn question(&mut self) -> String {
        let pv = hyphenated(pvid(self.rng.small(6)));
        let vg = hyphenated(vgid(self.rng.small(4)));
        let name = name(self.rng.small(4));
        let device = self.some_devno().to_dev_t();
        match self.rng.below(9) {
            0 => skip("pv_list", ""),
            1 => skip("vg_list", ""),
            2 => skip("pv_lookup", &format!("uuid=\"{pv}\"")),
            3 => skip("pv_lookup", &format!("device={device}")),
            4 => skip("vg_lookup", &format!("uuid=\"{vg}\"")),
            5 => skip("vg_lookup", &format!("name=\"{name}\"")),
            6 => skip("vg_lookup", &format!("uuid=\"{vg}\"\nname=\"{name}\"")),
            7 => skip("get_global_info", ""),
            _ => skip("dump", ""),
        }
    }

    /// Something without metadata that need not be true.
    fn hint(&mut self) -> String {
        let device = self.some_devno().to_dev_t();
        let pv = hyphenated(pvid(self.rng.small(6)));
        let vg = hyphenated(vgid(self.rng.small(4)));
        match self.rng.below(7) {
            0 => skip("pv_gone", &format!("device={device}")),
            1 => skip("pv_gone", &format!("uuid=\"{pv}\"")),
            2 => skip("pv_found", &format!("pvmeta {{\nid=\"{pv}\"\ndevice={device}\n}}")),
            3 => skip("set_vg_info", &format!("uuid=\"{vg}\"\nversion={}", self.rng.below(5))),
            4 => skip("vg_remove", &format!("uuid=\"{vg}\"")),
            5 => {
                self.cleared_outdated = true;
                skip("vg_clear_outdated_pvs", &format!("vgid=\"{vg}\""))
            }
            _ => skip("set_global_info", "global_invalid=1"),
        }
    }

    /// What is on disk, or a little off, or something that never was.
    fn metadata_push(&mut self) -> String {
        let known = self.vgs.values().cloned().collect::<Vec<_>>();
        let mut vg = match known.is_empty() {
            true => Vg { id: 3, name: 3, seqno: 1, pvs: vec![0], variant: 0, on: vec![0] },
            false => {
                let vg: &Rc<Vg> = self.rng.pick(&known);
                Vg { pvs: vg.pvs.clone(), on: vg.on.clone(), ..**vg }
            }
        };
        match self.rng.below(6) {
            0 => vg.seqno += 1,
            1 => vg.seqno = (vg.seqno - 1).max(1),
            2 => vg.variant = self.rng.small(4),
            3 => vg.id = 9,
            4 => vg.name = self.rng.small(4),
            _ => {}
        }
        let (device, pv) = (self.some_devno().to_dev_t(), hyphenated(pvid(self.rng.small(6))));
        let metadata = format!("vgname=\"{}\"\nmetadata {{{}}}", name(vg.name), vg.body());
        match self.rng.below(3) {
            0 => {
                let pvmeta = format!("pvmeta {{\nid=\"{pv}\"\ndevice={device}\nmda0 {{\nignore=0\n}}\n}}");
                skip("pv_found", &format!("{pvmeta}\n{metadata}"))
            }
            _ => skip("vg_update", &metadata),
        }
    }

    /// The first half now, the second now, later or never.
    fn refill(&mut self) -> Vec<String> {
        let pid = 100 + self.rng.below(3);
        let timeout = 1 + self.rng.below(20);
        let begin = format!(
            "request=\"token_update\"\ntoken=\"update in progress\"\npid={pid}\nupdate_timeout={timeout}\ncmd=\"pvscan\""
        );
        let end = format!("request=\"token_update\"\ntoken=\"{OTHER_TOKEN}\"\npid={pid}\ncmd=\"pvscan\"");
        let mut requests = vec![begin];
        if !self.rng.one_in(4) {
            requests.push(skip("pv_clear_all", ""));
        }
        for _ in 0..self.rng.below(3) {
            requests.push(if self.allowed(Kind::Push) { self.metadata_push() } else { self.hint() });
        }
        match self.rng.below(3) {
            0 => requests.push(end),
            1 => self.send_later(end),
            _ => {}
        }
        requests
    }

    pub fn some_devno(&mut self) -> DevNo {
        DevNo::new(8, self.rng.small(7).into())
    }
}

fn skip(request: &str, fields: &str) -> String {
    format!("request=\"{request}\"\ntoken=\"skip\"\n{fields}\n")
}

fn noise(rng: &mut Rng) -> String {
    let pieces =
        ["request", "=", "\"pv_list\"", "{", "}", "[", "]", "token=\"skip\"", "1", "\n", "# ", "metadata/id", "'"];
    (0..rng.below(12)).map(|_| *rng.pick(&pieces)).collect()
}

fn check_reply(request: &[u8], reply: &[u8]) {
    let what = || format!("{} -> {}", request.escape_ascii(), reply.escape_ascii());
    let text = reply.strip_suffix(b"\n##\n").unwrap_or_else(|| panic!("unterminated: {}", what()));
    assert!(!text.windows(4).any(|part| part == b"\n##\n"), "two replies: {}", what());
    let parsed = text::parse(text).unwrap_or_else(|error| panic!("{error}: {}", what()));
    let is_dump = request.starts_with(b"request=\"dump\"");
    assert!(is_dump || parsed.str("response").is_some(), "no response: {}", what());
    // What was asked for by its id is what is told of.
    let Ok(asked) = text::parse(request) else { return };
    let told = match asked.str("request") {
        Some(b"pv_lookup") => parsed.str("physical_volume/id"),
        Some(b"vg_lookup") => parsed.str("metadata/id"),
        _ => None,
    };
    if let (Some(uuid), Some(told)) = (asked.str("uuid"), told) {
        assert!(uuid == told, "another was asked for: {}", what());
    }
}

impl Sim {
    fn send_later(&mut self, request: String) {
        let at = self.now + Duration::from_millis(self.rng.below(30_000));
        self.send_at(at, &[request]);
    }
}
