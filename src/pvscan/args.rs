//! The command line of `lvm pvscan`, 2.03's and what 2.02's udev rules and units say.

use crate::devno::DevNo;
use crate::text;
use std::ffi::OsString;
use std::fmt;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// No device was named.
    pub all: bool,
    pub operands: Vec<Operand>,
    /// About words that LVM goes on without.
    pub warnings: Vec<String>,
    /// Whether PVs are recorded as online.
    pub cache: bool,
    pub list: Option<List>,
    pub check_complete: bool,
    pub vg_online: bool,
    /// Who is told that a VG is complete is to start its activation, unless the daemon does: as which
    /// unit. Ours alone.
    pub activation_unit: bool,
    pub udev_output: bool,
    pub autoactivation: Option<String>,
    pub journal: Journal,
    pub background: bool,
    /// Settings laid over those of the files, as text.
    pub config: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Begins with a slash.
    Name(String),
    Number(DevNo),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Vg,
    Lvs,
}

/// What goes to the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// Messages and errors.
    pub output: bool,
    /// That the command has run.
    pub command: bool,
}

/// What the words ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    Run(Box<Request>),
    Help,
    Version,
}

/// A word that cannot be taken, and why. LVM's exit status for these is 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub word: String,
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word.as_str() {
            "" => f.write_str(&self.reason),
            word => write!(f, "{word}: {}", self.reason),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Name(name) => f.write_str(name),
            Operand::Number(devno) => write!(f, "{devno}"),
        }
    }
}

/// The options that mean something, or must not be taken for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Cache,
    ListVg,
    ListLvs,
    CheckComplete,
    VgOnline,
    ActivationUnit,
    UdevOutput,
    Autoactivation,
    Major,
    Minor,
    Activate,
    Background,
    Journal,
    Config,
    Help,
    Version,
    /// Of the form that lists all PVs.
    Display,
    Devices,
    DevicesFile,
    ReportFormat,
    DriverLoaded,
    /// It ties the command to one form: LVM takes it nowhere else.
    OnlyCache,
    /// May be given as often as one likes.
    Level,
    Nothing,
}

struct Spec {
    long: &'static str,
    short: Option<char>,
    has_value: bool,
    meaning: Meaning,
}

const fn flag(long: &'static str, short: Option<char>, meaning: Meaning) -> Spec {
    Spec { long, short, has_value: false, meaning }
}

const fn valued(long: &'static str, short: Option<char>, meaning: Meaning) -> Spec {
    Spec { long, short, has_value: true, meaning }
}

const OPTIONS: &[Spec] = &[
    flag("cache", None, Meaning::Cache),
    flag("listvg", None, Meaning::ListVg),
    flag("listlvs", None, Meaning::ListLvs),
    flag("checkcomplete", None, Meaning::CheckComplete),
    flag("vgonline", None, Meaning::VgOnline),
    flag("activation-unit", None, Meaning::ActivationUnit),
    flag("udevoutput", None, Meaning::UdevOutput),
    valued("autoactivation", None, Meaning::Autoactivation),
    valued("major", Some('j'), Meaning::Major),
    valued("minor", None, Meaning::Minor),
    valued("activate", Some('a'), Meaning::Activate),
    flag("background", Some('b'), Meaning::Background),
    valued("journal", None, Meaning::Journal),
    valued("config", None, Meaning::Config),
    flag("help", Some('h'), Meaning::Help),
    flag("longhelp", None, Meaning::Help),
    flag("version", None, Meaning::Version),
    flag("exported", Some('e'), Meaning::Display),
    flag("novolumegroup", Some('n'), Meaning::Display),
    flag("short", Some('s'), Meaning::Display),
    flag("uuid", Some('u'), Meaning::Display),
    valued("devices", None, Meaning::Devices),
    valued("devicesfile", None, Meaning::DevicesFile),
    valued("reportformat", None, Meaning::ReportFormat),
    valued("driverloaded", None, Meaning::DriverLoaded),
    flag("noudevsync", None, Meaning::OnlyCache),
    flag("debug", Some('d'), Meaning::Level),
    flag("quiet", Some('q'), Meaning::Level),
    flag("verbose", Some('v'), Meaning::Level),
    flag("yes", Some('y'), Meaning::Nothing),
    flag("test", Some('t'), Meaning::Nothing),
    valued("commandprofile", None, Meaning::Nothing),
    valued("profile", None, Meaning::Nothing),
    flag("nolocking", None, Meaning::Nothing),
    valued("lockopt", None, Meaning::Nothing),
    flag("nohints", None, Meaning::Nothing),
    flag("ignorelockingfailure", None, Meaning::Nothing),
];

/// Reads the words behind `pvscan`.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Parsed, Refusal> {
    let mut reader = Reader::default();
    let mut words = words.into_iter().map(|word| {
        word.into_string().map_err(|word| Refusal {
            word: word.to_string_lossy().into_owned(),
            reason: "it is not UTF-8, and no name of a device is so".to_owned(),
        })
    });
    while let Some(word) = words.next() {
        let word = word?;
        let mut value = || words.next().transpose();
        if word == "--" {
            for word in words {
                reader.operand(word?);
            }
            break;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, inline) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let spec = find(name, &word)?;
            match (spec.has_value, inline) {
                (true, Some(inline)) => reader.option(spec, &word, inline)?,
                (true, None) => {
                    let value = value()?.ok_or_else(|| refuse(&word, "a value is needed"))?;
                    reader.option(spec, &format!("{word} {value}"), &value)?;
                }
                (false, None) => reader.option(spec, &word, "")?,
                (false, Some(_)) => return Err(refuse(&word, "it takes no value")),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                let letters = rest.as_str();
                let spec = OPTIONS.iter().find(|spec| spec.short == Some(letter));
                let spec = spec.ok_or_else(|| refuse(&word, "no such option"))?;
                if !spec.has_value {
                    reader.option(spec, &word, "")?;
                } else if letters.is_empty() {
                    let value = value()?.ok_or_else(|| refuse(&word, "a value is needed"))?;
                    reader.option(spec, &format!("{word} {value}"), &value)?;
                } else {
                    reader.option(spec, &word, letters)?;
                    break;
                }
            }
        } else {
            reader.operand(word);
        }
    }
    reader.finish()
}

fn refuse(word: &str, reason: &str) -> Refusal {
    Refusal { word: word.to_owned(), reason: reason.to_owned() }
}

/// By its name, or the beginning of it that only one option has.
fn find(name: &str, word: &str) -> Result<&'static Spec, Refusal> {
    if let Some(spec) = OPTIONS.iter().find(|spec| spec.long == name) {
        return Ok(spec);
    }
    // What begins so is LVM's, also where an option of ours does.
    let is_lvms = |spec: &&Spec| spec.meaning != Meaning::ActivationUnit;
    let mut matching = OPTIONS.iter().filter(is_lvms).filter(|spec| spec.long.starts_with(name));
    match (matching.next(), matching.next()) {
        (Some(spec), None) => Ok(spec),
        (None, _) => Err(refuse(word, "no such option")),
        (Some(_), Some(_)) => Err(refuse(word, "more than one option begins so")),
    }
}

/// As LVM reads them: blanks before a number, and what follows the second, count for nothing.
fn numbers(word: &str) -> Option<DevNo> {
    let (major, minor) = word.split_once(':')?;
    let minor = minor.trim_start();
    let minor = minor.split(|c: char| !c.is_ascii_digit()).next()?;
    DevNo::parse(&format!("{}:{minor}", major.trim_start()))
}

#[derive(Default)]
struct Reader {
    request: Request,
    /// What was given, each with its word.
    given: Vec<(Meaning, &'static str, String)>,
    majors_and_minors: Vec<(Option<u32>, Option<u32>)>,
    positional: Vec<String>,
}

impl Reader {
    fn operand(&mut self, word: String) {
        self.positional.push(word);
    }

    fn option(&mut self, spec: &'static Spec, word: &str, value: &str) -> Result<(), Refusal> {
        let repeats = matches!(spec.meaning, Meaning::Level | Meaning::Major | Meaning::Minor | Meaning::Journal);
        if !repeats && self.given.iter().any(|(_, long, _)| *long == spec.long) {
            return Err(refuse(word, "it may not be repeated"));
        }
        self.given.push((spec.meaning, spec.long, word.to_owned()));
        let request = &mut self.request;
        match spec.meaning {
            Meaning::Cache => request.cache = true,
            Meaning::ListVg => request.list = Some(List::Vg),
            Meaning::ListLvs => request.list = Some(List::Lvs),
            Meaning::CheckComplete => request.check_complete = true,
            Meaning::VgOnline => request.vg_online = true,
            Meaning::ActivationUnit => request.activation_unit = true,
            Meaning::UdevOutput => request.udev_output = true,
            Meaning::Autoactivation => request.autoactivation = Some(value.to_owned()),
            Meaning::Background => request.background = true,
            Meaning::Config => {
                text::parse(value.as_bytes()).map_err(|error| refuse(word, &error.to_string()))?;
                request.config = Some(value.to_owned());
            }
            Meaning::Journal => self.journal(value),
            Meaning::Major | Meaning::Minor => self.number(spec.meaning, word, value)?,
            Meaning::ReportFormat if !matches!(value, "basic" | "json") => {
                return Err(refuse(word, "it is basic or json"));
            }
            Meaning::DriverLoaded if !matches!(value, "y" | "n") => return Err(refuse(word, "it is y or n")),
            Meaning::DevicesFile if !value.is_empty() => {
                return Err(refuse(word, "only devices/devicesfile of lvm.conf is, or of --config"));
            }
            _ => {}
        }
        Ok(())
    }

    /// LVM takes a value that it does not know for none.
    fn journal(&mut self, value: &str) {
        match value {
            "output" => self.request.journal.output = true,
            "command" => self.request.journal.command = true,
            "debug" => self.request.journal = Journal { output: true, command: true },
            _ => self.request.warnings.push("Ignoring unrecognized journal value.".to_owned()),
        }
    }

    /// Each group has one of both; one that is given again begins the next group.
    fn number(&mut self, meaning: Meaning, word: &str, value: &str) -> Result<(), Refusal> {
        let number = value.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok());
        let number = number.ok_or_else(|| refuse(word, "it is not a number of a device"))?;
        let groups = &mut self.majors_and_minors;
        let part = |group: &mut (Option<u32>, Option<u32>)| match meaning {
            Meaning::Major => group.0.replace(number),
            _ => group.1.replace(number),
        };
        let is_open = |group: &(Option<u32>, Option<u32>)| match meaning {
            Meaning::Major => group.0.is_none(),
            _ => group.1.is_none(),
        };
        match groups.last_mut().filter(|group| is_open(group)) {
            Some(group) => part(group),
            None => {
                let mut group = (None, None);
                part(&mut group);
                groups.push(group);
                None
            }
        };
        Ok(())
    }

    fn word_of(&self, meaning: Meaning) -> Option<&str> {
        self.given.iter().find(|(given, _, _)| *given == meaning).map(|(_, _, word)| word.as_str())
    }

    fn finish(mut self) -> Result<Parsed, Refusal> {
        if self.word_of(Meaning::Help).is_some() {
            return Ok(Parsed::Help);
        }
        if self.word_of(Meaning::Version).is_some() {
            return Ok(Parsed::Version);
        }
        self.check_form()?;
        self.take_operands()?;
        Ok(Parsed::Run(Box::new(self.request)))
    }

    /// LVM's command is one of several, each with options of its own.
    fn check_form(&self) -> Result<(), Refusal> {
        let refuse_if = |meaning, reason| match self.word_of(meaning) {
            Some(word) => Err(refuse(word, reason)),
            None => Ok(()),
        };
        refuse_if(Meaning::Activate, "VGs are not activated here; run: lvm vgchange -aay --autoactivation event VG")?;
        refuse_if(
            Meaning::Devices,
            "it takes no option to name one; global_filter and the devices file say which count",
        )?;
        let request = &self.request;
        if request.list.is_none() && !request.cache {
            let reason = "only with --cache, --listvg or --listlvs; all PVs are shown by: pvwatch dump, or lvm pvscan";
            return Err(refuse("", reason));
        }
        refuse_if(Meaning::Display, "it is not for --cache")?;
        if !(request.check_complete && request.vg_online && request.udev_output) {
            refuse_if(Meaning::ActivationUnit, "it needs --checkcomplete, --vgonline and --udevoutput")?;
        }
        match request.list {
            None => {
                for meaning in [Meaning::CheckComplete, Meaning::VgOnline, Meaning::UdevOutput, Meaning::Autoactivation]
                {
                    refuse_if(meaning, "it needs --listvg or --listlvs")?;
                }
                Ok(())
            }
            Some(list) => {
                if self.word_of(Meaning::ListVg).is_some() {
                    refuse_if(Meaning::ListLvs, "it and --listvg are two requests")?;
                }
                for meaning in
                    [Meaning::Major, Meaning::Minor, Meaning::Background, Meaning::ReportFormat, Meaning::OnlyCache]
                {
                    refuse_if(meaning, "it is for --cache alone")?;
                }
                if list == List::Lvs {
                    refuse_if(Meaning::UdevOutput, "it is for --listvg alone")?;
                    refuse_if(Meaning::Autoactivation, "it is for --listvg alone")?;
                }
                if !request.cache {
                    for meaning in
                        [Meaning::CheckComplete, Meaning::VgOnline, Meaning::UdevOutput, Meaning::Autoactivation]
                    {
                        refuse_if(meaning, "it needs --cache")?;
                    }
                }
                Ok(())
            }
        }
    }

    fn take_operands(&mut self) -> Result<(), Refusal> {
        if self.request.list.is_some() {
            match &self.positional[..] {
                [_] => {}
                [] => return Err(refuse("", "--listvg and --listlvs need a device")),
                [_, more, ..] => return Err(refuse(more, "one device at a time")),
            }
        }
        self.request.all = self.positional.is_empty() && self.majors_and_minors.is_empty();
        for word in std::mem::take(&mut self.positional) {
            match numbers(&word) {
                _ if word.starts_with('/') => self.request.operands.push(Operand::Name(word)),
                Some(devno) => self.request.operands.push(Operand::Number(devno)),
                None => self.request.warnings.push(format!("Failed to parse major:minor from {word}, skipping.")),
            }
        }
        let (mut major, mut minor) = (None, None);
        for group in &self.majors_and_minors {
            (major, minor) = (group.0.or(major), group.1.or(minor));
            let (Some(major), Some(minor)) = (major, minor) else {
                let given = self.word_of(Meaning::Major).or(self.word_of(Meaning::Minor)).unwrap_or_default();
                return Err(refuse(given, "both --major and --minor are needed"));
            };
            self.request.operands.push(Operand::Number(DevNo::new(major, minor)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &str) -> Result<Request, Refusal> {
        match parse(words.split_whitespace().map(OsString::from))? {
            Parsed::Run(request) => Ok(*request),
            other => panic!("{words}: {other:?}"),
        }
    }

    fn number(minor: u32) -> Operand {
        Operand::Number(DevNo::new(7, minor))
    }

    #[test]
    fn the_rule_of_udev() {
        let words = "--cache --listvg --checkcomplete --vgonline --autoactivation event --udevoutput \
                     --journal=output /dev/loop1";
        let expected = Request {
            operands: vec![Operand::Name("/dev/loop1".into())],
            cache: true,
            list: Some(List::Vg),
            check_complete: true,
            vg_online: true,
            udev_output: true,
            autoactivation: Some("event".into()),
            journal: Journal { output: true, command: false },
            ..Request::default()
        };
        assert_eq!(request(words), Ok(expected.clone()));
        let abbreviated = "--listv --cac --checkc --vgo --autoa=event --udev --journal output -- /dev/loop1";
        assert_eq!(request(abbreviated), Ok(expected));
    }

    #[test]
    fn an_option_of_ours() {
        let whole = "--cache --listvg --checkcomplete --vgonline --udevoutput /dev/loop1 --activation-unit";
        assert!(request(whole).unwrap().activation_unit);
        for left_out in [" --checkcomplete", " --vgonline", " --udevoutput"] {
            let refusal = request(&whole.replace(left_out, "")).unwrap_err();
            assert_eq!(refusal.word, "--activation-unit", "{left_out}");
        }
        // What is short for an option of LVM's stays so.
        let short = request("--cache --listvg /dev/loop1 --activa ay").unwrap_err();
        assert!(short.reason.starts_with("VGs are not activated here"), "{short}");
    }

    #[test]
    fn the_forms_of_2_02() {
        let base = Request { cache: true, ..Request::default() };
        for words in ["--cache --major 7 --minor 1", "--cache -j 7 --minor=1", "-j7 --cache --minor 1", "--cache 7:1"] {
            assert_eq!(request(words), Ok(Request { operands: vec![number(1)], ..base.clone() }), "{words}");
        }
        let background = Request { background: true, operands: vec![number(1)], ..base.clone() };
        assert_eq!(request("--background --cache --major 7 --minor 1"), Ok(background.clone()));
        assert_eq!(request("-b --cache 7:1"), Ok(background));
        // The names first, as LVM does; a major number holds until there is another.
        let words = "--cache --major 7 --minor 2 --major 7 --minor 3 --minor 4 7:1 /dev/x";
        assert_eq!(request("--cache 7:1x").unwrap().operands, [number(1)]);
        assert_eq!(numbers(" 7: 1"), Some(DevNo::new(7, 1)));
        let operands = vec![number(1), Operand::Name("/dev/x".into()), number(2), number(3), number(4)];
        assert_eq!(request(words), Ok(Request { operands, ..base.clone() }));
        assert_eq!(request("--cache"), Ok(Request { all: true, ..base }));
    }

    #[test]
    fn words_that_mean_nothing_here() {
        let words = "--cache -qq -dvvvv -y -t --nolocking --nohints --driverloaded n --lockopt x --profile p \
                     --commandprofile q --noudevsync --ignorelockingfailure --reportformat json --devicesfile= 7:1";
        assert_eq!(request(words), Ok(Request { cache: true, operands: vec![number(1)], ..Request::default() }));
        for (words, warning) in [
            ("--cache loop1", "Failed to parse major:minor from loop1, skipping."),
            ("--cache 7:", "Failed to parse major:minor from 7:, skipping."),
            ("--cache -- -7:1", "Failed to parse major:minor from -7:1, skipping."),
            ("--cache --journal=all /dev/x", "Ignoring unrecognized journal value."),
        ] {
            let request = request(words).unwrap();
            assert_eq!((request.warnings, request.all), (vec![warning.to_owned()], false), "{words}");
        }
        assert!(request("--cache --journal debug").unwrap().journal.command);
        assert_eq!(parse(["--help".into()]), Ok(Parsed::Help));
        assert_eq!(parse(["--frob".into()]), Err(refuse("--frob", "no such option")));
    }

    #[test]
    fn what_is_refused_is_named() {
        for (words, word, reason) in [
            ("", "", "pvwatch dump"),
            ("-u", "", "lvm pvscan"),
            ("--cache -aay 7:1", "-aay", "vgchange -aay"),
            ("--cache -a ay 7:1", "-a ay", "vgchange -aay"),
            ("--cache --activate ay", "--activate ay", "vgchange -aay"),
            ("--cache --activate=ay", "--activate=ay", "vgchange -aay"),
            ("--cache --list /dev/x", "--list", "more than one"),
            ("--cache --frob", "--frob", "no such option"),
            ("--cache -x", "-x", "no such option"),
            ("--cache --cache", "--cache", "repeated"),
            ("--cache=yes", "--cache=yes", "no value"),
            ("--cache --journal", "--journal", "a value"),
            ("--cache -j", "-j", "a value"),
            ("--cache --major x --minor 1", "--major x", "number"),
            ("--cache --major 7 --minor -1", "--minor -1", "number"),
            ("--cache --major 7", "--major 7", "both"),
            ("--cache --minor 7", "--minor 7", "both"),
            ("--cache --listvg", "", "need a device"),
            ("--cache --listvg /dev/x /dev/y", "/dev/y", "one device"),
            ("--cache --listvg --listlvs /dev/x", "--listlvs", "two requests"),
            ("--cache --listvg --major 7 --minor 1", "--major 7", "--cache alone"),
            ("--cache --listvg -b /dev/x", "-b", "--cache alone"),
            ("--cache --listvg --noudevsync /dev/x", "--noudevsync", "--cache alone"),
            ("--cache --listlvs --udevoutput /dev/x", "--udevoutput", "--listvg"),
            ("--cache --listlvs --autoactivation event /dev/x", "--autoactivation event", "--listvg"),
            ("--cache --checkcomplete /dev/x", "--checkcomplete", "needs"),
            ("--cache --vgonline /dev/x", "--vgonline", "needs"),
            ("--cache --udevoutput /dev/x", "--udevoutput", "needs"),
            ("--cache --autoactivation event /dev/x", "--autoactivation event", "needs"),
            ("--listvg --checkcomplete /dev/x", "--checkcomplete", "needs --cache"),
            ("--cache -e /dev/x", "-e", "not for --cache"),
            ("--cache --reportformat xml", "--reportformat xml", "basic or json"),
            ("--cache --driverloaded maybe", "--driverloaded maybe", "y or n"),
            ("--cache --devices /dev/x", "--devices /dev/x", "global_filter"),
            ("--cache --config x{", "--config x{", "line 1"),
            ("--cache --devicesfile f", "--devicesfile f", "devices/devicesfile"),
        ] {
            let refusal = request(words).expect_err(words);
            assert_eq!(refusal.word, word, "{words}: {refusal}");
            assert!(refusal.reason.contains(reason), "{words}: {refusal}");
        }
    }
}
