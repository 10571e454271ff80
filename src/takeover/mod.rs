//! Who starts activation on this host, LVM's udev rule or ours, and how that is changed.
//!
//! | file | what it is |
//! |---|---|
//! | `/etc/udev/rules.d/69-pvwatch.rules` | our rule, of one of three variants |
//! | `/etc/udev/rules.d/69-lvm.rules` and its like | a link to `/dev/null`, by which udevd ignores LVM's own |
//! | `pvwatch/saved/NAME` in LVM's system directory | what was there in the place of one of these, unchanged |
//! | `pvwatch/takeover` there | which of the variants, and what is to be undone: [`State`] |
//!
//! Each change is a list of [`Step`]s, each of which is done whole or not at all. While takeover is
//! switched on or off, both rules may be there; then `vgs_online` decides, as between two devices of
//! one VG. After any step [`judge`] tells what is not as it should be, and doing it again, or undoing
//! it, leads to its end.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

mod judge;
mod plan;

use crate::conf::Takeover;
use crate::text::{self, Section, escape_into};
use std::fmt;

pub use judge::{Charge, Circumstances, Judgement, judge};
pub use plan::{Found, Here, Plan, Refusal, Saved, Slot, Step, disable, enable};

/// LVM's own rules: Debian's, upstream's, and 2.02's.
pub const LVM_RULES: [&str; 3] = ["69-lvm.rules", "69-dm-lvm.rules", "69-dm-lvm-metad.rules"];
pub const OWN_RULE: &str = "69-pvwatch.rules";

/// How all that we write to [`OWN_RULE`] begins.
const MARK: &str = "# Written by `pvwatch takeover enable";

/// What is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One process for each PV; the rule activates where no daemon does.
    Rule,
    /// The daemon acts on events alone.
    Events,
    /// As LVM 2.02 does it.
    Lvm202,
    /// LVM's rule is in charge, and the daemon tells where it would have done otherwise.
    Compare,
}

impl Mode {
    const ALL: [Mode; 4] = [Mode::Rule, Mode::Events, Mode::Lvm202, Mode::Compare];

    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Rule => "rule",
            Mode::Events => "events",
            Mode::Lvm202 => "lvm202",
            Mode::Compare => "compare",
        }
    }

    pub fn parse(word: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.as_str() == word)
    }

    /// What the daemon is to do: 2.02 activates by its own `pvscan -aay`.
    pub fn of_daemon(self) -> Takeover {
        match self {
            Mode::Rule | Mode::Events => Takeover::Enabled,
            Mode::Lvm202 => Takeover::Disabled,
            Mode::Compare => Takeover::Compare,
        }
    }

    /// The rule of this variant, as it stands in the source.
    fn template(self) -> Option<&'static str> {
        match self {
            Mode::Rule => Some(include_str!("../../udev-rules/69-pvwatch.rules")),
            Mode::Events => Some(include_str!("../../udev-rules/69-pvwatch-events.rules")),
            Mode::Lvm202 => Some(include_str!("../../udev-rules/69-pvwatch-lvm202.rules")),
            Mode::Compare => None,
        }
    }
}

/// What the rule runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    pub pvwatch: String,
    pub lvm: String,
    pub systemd_run: String,
}

impl Default for Programs {
    /// As the rules in the source have them.
    fn default() -> Programs {
        Programs {
            pvwatch: "/usr/sbin/pvwatch".to_owned(),
            lvm: "/usr/sbin/lvm".to_owned(),
            systemd_run: "/usr/bin/systemd-run".to_owned(),
        }
    }
}

impl Programs {
    /// The first path that would not survive in a rule, where quotes, blanks, `$` and `%` mean something.
    pub fn unusable(&self) -> Option<&str> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
        let all = [&*self.pvwatch, &*self.lvm, &*self.systemd_run];
        all.into_iter().find(|path| !path.starts_with('/') || !path.bytes().all(is_plain))
    }

    /// The rule of a variant; none for [`Mode::Compare`].
    pub fn rule(&self, mode: Mode) -> Option<String> {
        let default = Programs::default();
        let text = mode.template()?;
        let text = text.replace(&default.pvwatch, "\0pvwatch").replace(&default.lvm, "\0lvm");
        let text = text.replace(&default.systemd_run, &self.systemd_run);
        let text = text.replace("\0pvwatch", &self.pvwatch).replace("\0lvm", &self.lvm);
        let variant = mode.as_str();
        Some(format!("{MARK} --variant {variant}`. It is written anew at each upgrade; `disable` removes it.\n{text}"))
    }
}

/// What is written down of it, in LVM's text format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub mode: Mode,
    /// The masks in `/etc/udev/rules.d` that are ours.
    pub masked: Vec<String>,
    /// The directories that were made for it, the outermost first.
    pub made: Vec<String>,
    pub programs: Programs,
}

/// Nothing that was written by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoState(pub String);

impl fmt::Display for NoState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl State {
    pub fn new(mode: Mode, programs: Programs) -> State {
        State { mode, masked: Vec::new(), made: Vec::new(), programs }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = b"# Written by `pvwatch takeover`, which needs it to undo what it has done.\n".to_vec();
        let quote = |out: &mut Vec<u8>, text: &str| {
            out.push(b'"');
            escape_into(text.as_bytes(), out);
            out.push(b'"');
        };
        let Programs { pvwatch, lvm, systemd_run } = &self.programs;
        let single = [("mode", self.mode.as_str()), ("pvwatch", pvwatch), ("lvm", lvm), ("systemd_run", systemd_run)];
        for (key, value) in single {
            out.extend_from_slice(format!("{key}=").as_bytes());
            quote(&mut out, value);
            out.push(b'\n');
        }
        for (key, values) in [("masked", &self.masked), ("made", &self.made)] {
            out.extend_from_slice(format!("{key}=[").as_bytes());
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quote(&mut out, value);
            }
            out.extend_from_slice(b"]\n");
        }
        out
    }

    pub fn parse(bytes: &[u8]) -> Result<State, NoState> {
        let conf = text::parse(bytes).map_err(|error| NoState(error.to_string()))?;
        let string = |key: &str| {
            let value = conf.str(key).and_then(|value| str::from_utf8(value).ok());
            value.map(str::to_owned).ok_or_else(|| NoState(format!("{key} is missing")))
        };
        let mode = string("mode")?;
        Ok(State {
            mode: Mode::parse(&mode).ok_or_else(|| NoState(format!("mode {mode:?} is none")))?,
            masked: strings(&conf, "masked").filter(|name| LVM_RULES.contains(&name.as_str())).collect(),
            made: strings(&conf, "made").collect(),
            programs: Programs {
                pvwatch: string("pvwatch")?,
                lvm: string("lvm")?,
                systemd_run: string("systemd_run")?,
            },
        })
    }
}

fn strings(conf: &Section, key: &str) -> impl Iterator<Item = String> {
    let values = conf.value(key).map(|value| value.strings().map(|text| String::from_utf8_lossy(text).into_owned()));
    values.into_iter().flatten().collect::<Vec<_>>().into_iter()
}

/// Whether a file of rules was written by us.
pub fn is_ours(rules: &[u8]) -> bool {
    rules.starts_with(MARK.as_bytes())
}

/// Whether rules do what LVM's do: tell somebody of PVs.
pub fn runs_pvscan(rules: &[u8]) -> bool {
    let mut lines = rules.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start);
    lines.any(|line| !line.starts_with(b"#") && memchr::memmem::find(line, b"pvscan").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read() {
        let odd = Programs { pvwatch: "/opt/a \"b\\/pvwatch".into(), ..Programs::default() };
        for mode in Mode::ALL {
            let state = State {
                mode,
                masked: vec!["69-lvm.rules".into(), "69-dm-lvm.rules".into()],
                made: vec!["/etc/lvm".into()],
                programs: odd.clone(),
            };
            assert_eq!(State::parse(&state.encode()), Ok(state));
            let bare = State::new(mode, Programs::default());
            assert_eq!(State::parse(&bare.encode()), Ok(bare));
        }
    }

    #[test]
    fn what_is_none_is_named() {
        let whole = State::new(Mode::Rule, Programs::default()).encode();
        let whole = String::from_utf8(whole).unwrap();
        for (from, to, expected) in [
            ("mode=\"rule\"", "mode=\"all\"", "mode \"all\" is none"),
            ("mode=\"rule\"\n", "", "mode is missing"),
            ("lvm=\"/usr/sbin/lvm\"\n", "", "lvm is missing"),
        ] {
            assert_eq!(State::parse(whole.replace(from, to).as_bytes()).unwrap_err().to_string(), expected);
        }
        assert!(State::parse(b"").is_err());
        // Nothing but a rule of LVM's is ever unmasked.
        let masked = whole.replace("masked=[]", "masked=[\"../../passwd\",\"69-lvm.rules\"]");
        assert_eq!(State::parse(masked.as_bytes()).unwrap().masked, ["69-lvm.rules"]);
    }

    #[test]
    fn a_rule_runs_the_programs_of_this_host() {
        let programs = Programs {
            pvwatch: "/opt/usr/sbin/lvm/pvwatch".into(),
            lvm: "/sbin/lvm".into(),
            systemd_run: "/bin/systemd-run".into(),
        };
        for mode in [Mode::Rule, Mode::Events, Mode::Lvm202] {
            let rule = programs.rule(mode).unwrap();
            assert!(is_ours(rule.as_bytes()) && !rule.contains('\0'));
            assert_eq!(rule.contains("=\"/opt/usr/sbin/lvm/pvwatch pvscan --cache"), mode == Mode::Rule);
            assert_eq!(rule.contains("=\"/bin/systemd-run "), mode != Mode::Events);
            assert_eq!(rule.contains(" /sbin/lvm "), mode != Mode::Events);
            assert!(!rule.contains("/usr/sbin/lvm ") && !rule.contains("/usr/bin/systemd-run"));
            assert_eq!(runs_pvscan(rule.as_bytes()), mode != Mode::Events);
        }
        assert_eq!(programs.rule(Mode::Compare), None);
        assert_eq!(programs.unusable(), None);
        for bad in ["/a b", "/a$b", "/a%b", "/a\"b", "a", ""] {
            assert_eq!(Programs { lvm: bad.into(), ..Programs::default() }.unusable(), Some(bad));
        }
    }
}
