//! What clients send: honest, mistaken, and noise.

use crate::rng::Rng;
use crate::sim::{Kind, Sim};
use crate::world::{Vg, hyphenated, name, pvid, vgid};
use pvwatch::devno::DevNo;
use pvwatch::protocol::frame::Frames;
use pvwatch::text;
use std::rc::Rc;
use std::time::Duration;

/// A client of its own filter; ours is another.
const OTHER_TOKEN: &str = "filter:1";

impl Sim {
    /// Sends requests in one stream, cut anywhere, and takes one reply for each.
    pub fn send(&mut self, requests: &[String]) {
        let stream = requests.iter().map(|request| format!("{request}\n##\n")).collect::<String>();
        let mut frames = Frames::default();
        let mut rest = stream.as_bytes();
        let mut replies = 0;
        while !rest.is_empty() {
            let cut = 1 + self.rng.index(rest.len());
            frames.push(&rest[..cut]);
            rest = &rest[cut..];
            while let Some(message) = frames.next_request().expect("it is small") {
                let message = message.to_vec();
                let reply = self.watcher.handle_request(self.now, &message);
                check_reply(&message, reply.bytes());
                replies += 1;
            }
        }
        assert_eq!(replies, requests.len(), "each request has one reply");
        self.pump();
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
        self.log(&format!("client: {}", requests.join(" ; ").replace('\n', " ")));
        self.send(&requests);
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
}

impl Sim {
    fn send_later(&mut self, request: String) {
        let at = self.now + Duration::from_millis(self.rng.below(30_000));
        self.schedule(at, crate::sim::Pending::Request(request));
    }
}
