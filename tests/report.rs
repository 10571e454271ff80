//! Reports beside those of Debian's LVM, byte for byte: VGs that it makes on loop devices, and those
//! of the folder of images, if there is one.

mod common;

use common::daemon::World;
use common::loops::Loop;
use common::lvm::{self, Lvm};
use common::testing::needs;
use flate2::read::GzDecoder;
use pvwatch::devno;
use pvwatch::report::columns;
use pvwatch::report::value::{Field, Kind, Object};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

const FIRST: u32 = 760;
const LAST: u32 = 776;
const IMAGE_SIZE: u64 = 64 << 20;

/// Those whose output differs on purpose, by what their command lines have, and why. Nothing here is
/// sorted by a list, since LVM compares their addresses in memory, which are others each time; nor by a
/// percentage and something else, since of those that are unknown LVM compares the memory behind them.
const DIFFERENCES: &[(&str, &str)] = &[(
    "log_type=error",
    "LVM's JSON of a log has a comma behind the last row if there are rows that are not selected",
)];

/// Those of which LVM says something else on standard error, by what their command lines have or by what
/// LVM says, and why.
const SAID_OTHERWISE: &[(&str, &str)] = &[
    (" -v", "what is done is not told step by step"),
    (" -t", "nothing is ever changed, so there is no test mode"),
    ("Unrecognised ", "bad input is told in other words, without pages of help, and pointed at"),
    ("Failed to parse ", "likewise"),
    ("Invalid units specification", "likewise"),
    ("Invalid argument for --", "likewise"),
    ("syntax error", "likewise"),
    ("incompatible comparison type", "likewise"),
    ("Invalid devices file name", "likewise"),
    ("Ignoring unrecognized journal value", "LVM says it twice"),
    ("Failed to set overridden configuration", "likewise"),
];

/// It is of how LVM is run here.
const OF_THIS_RUN: &str = "  WARNING: Activation disabled. No device-mapper interaction will be attempted.\n";

/// What the folder has of all kinds of LVs.
const IMAGES: [&str; 5] = ["lvt-1.img", "lvt-2.img", "lvt-3.img", "lvt-4.img", "lvt-5.img"];

struct Host<'w> {
    world: &'w World,
    devices: String,
}

impl Host<'_> {
    fn lvm(&self, words: &[String]) -> Output {
        let mut words = words.to_vec();
        let locks = format!("global/locking_dir=\"{}\"", self.world.path("lock").display());
        match words.iter().position(|word| word == "--config") {
            Some(at) => words[at + 1] = format!("{} {locks}", words[at + 1]),
            None => words.extend(["--config".to_owned(), locks]),
        }
        let mut run = Command::new("lvm");
        run.args(words).args(["--driverloaded", "n"]).env("LVM_SYSTEM_DIR", self.world.system_dir());
        run.env("LVM_SUPPRESS_FD_WARNINGS", "1").env("LC_ALL", "C").output().unwrap()
    }

    fn pvwatch(&self, words: &[String]) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_pvwatch"));
        run.args(words).env("LVM_SYSTEM_DIR", self.world.system_dir()).env("LC_ALL", "C");
        run
    }

    fn by_devices(&self, words: &[String]) -> Output {
        self.pvwatch(words).args(["--devices", &self.devices]).output().unwrap()
    }

    fn by_daemon(&self, words: &[String]) -> Output {
        self.pvwatch(words).env("PVWATCH_SOCKET", self.world.report_socket()).output().unwrap()
    }

    /// Why they differ.
    fn compare(&self, line: &str) -> Vec<String> {
        let words = words(line);
        let theirs = self.lvm(&words);
        let ours = [("devices", self.by_devices(&words)), ("daemon", self.by_daemon(&words))];
        ours.iter().filter_map(|(how, ours)| differ(&format!("{how}: {line}"), &theirs, ours)).collect()
    }
}
/// Why they differ.
fn differ(line: &str, theirs: &Output, ours: &Output) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (theirs_said, ours_said) = (text(&theirs.stderr).replace(OF_THIS_RUN, ""), text(&ours.stderr));
    let is_listed = SAID_OTHERWISE.iter().any(|(part, _)| line.contains(part) || theirs_said.contains(part));
    let is_same_status = theirs.status.code() == ours.status.code();
    if theirs.stdout == ours.stdout && is_same_status && (is_listed || theirs_said == ours_said) {
        return None;
    }
    let (theirs_out, ours_out) = (text(&theirs.stdout), text(&ours.stdout));
    let mut lines = theirs_out.lines().zip(ours_out.lines()).filter(|(theirs, ours)| theirs != ours);
    let first = lines.next().map_or_else(String::new, |(theirs, ours)| {
        let at = theirs.bytes().zip(ours.bytes()).take_while(|(a, b)| a == b).count().saturating_sub(40);
        let part = |line: &str| line.get(at..).unwrap_or(line).chars().take(150).collect::<String>();
        format!("\n  lvm:     {}\n  pvwatch: {}", part(theirs), part(ours))
    });
    let counts = format!("{} lines, {} lines", theirs_out.lines().count(), ours_out.lines().count());
    let codes = format!("{:?}, {:?}", theirs.status.code(), ours.status.code());
    Some(format!("{line}\n  {codes}; {counts}{first}\n LVM says:\n{theirs_said} pvwatch says:\n{ours_said}"))
}

impl Host<'_> {
    fn check(&self, lines: &[String]) {
        let next = Mutex::new(lines.iter());
        let wrong = Mutex::new(Vec::new());
        let work = || {
            while let Some(line) = { next.lock().unwrap().next() } {
                if DIFFERENCES.iter().any(|(part, _)| line.contains(part)) {
                    continue;
                }
                wrong.lock().unwrap().extend(self.compare(line));
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
    }
}

/// Words as a shell has them, with single quotes only.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for char in line.chars() {
        match char {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/disks");
    folder.join("MANIFEST.json").is_file().then_some(folder)
}

/// With holes.
fn unpack(from: &Path, to: &Path) -> io::Result<()> {
    let mut packed = GzDecoder::new(File::open(from)?);
    let file = File::create(to)?;
    let mut block = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        let length = packed.read(&mut block)?;
        if length == 0 {
            return file.set_len(at);
        }
        if block[..length].iter().any(|byte| *byte != 0) {
            file.write_all_at(&block[..length], at)?;
        }
        at += length as u64;
    }
}

fn attach(world: &World) -> io::Result<Vec<Loop>> {
    let mut loops = Vec::new();
    for number in FIRST..FIRST + 12 {
        let path = world.path(&format!("{number}.img"));
        File::create(&path)?.set_len(IMAGE_SIZE)?;
        loops.push(Loop::attach(number, &path)?);
    }
    for (number, name) in (FIRST + 12..).zip(IMAGES) {
        if let Some(folder) = folder() {
            let path = world.path(name);
            unpack(&folder.join(format!("{name}.gz")), &path)?;
            loops.push(Loop::attach(number, &path)?);
        }
    }
    Ok(loops)
}

fn make(lvm: &Lvm) {
    let node = |number: u32| format!("/dev/loop{}", FIRST + number);
    let nodes = |numbers: std::ops::RangeInclusive<u32>| numbers.map(node).collect::<Vec<_>>().join(" ");
    lvm.run(&format!("pvcreate {}", nodes(0..=9)));
    lvm.run(&format!("vgcreate va {} --addtag t1 --addtag t2 -s 1M", nodes(0..=4)));
    lvm.run(&format!("vgcreate vb {}", nodes(5..=6)));
    lvm.run(&format!("vgcreate vc {}", node(7)));
    lvm.run(&format!("vgcreate vf {} --systemid other", node(8)));
    for lv in [
        "-l5 -n lin va".to_owned(),
        format!("-l7 -n lin2 va {}:20-30", node(0)),
        "-i2 -l8 -n str va".to_owned(),
        "-l2 -n l1 vb --addtag lt".to_owned(),
        "-l1 -n l2 vb -p r".to_owned(),
        "-l1 -n xx vc".to_owned(),
    ] {
        lvm.run(&format!("lvcreate -an -Zn -Wn {lv}"));
    }
    lvm.run("lvchange --addtag x va/lin");
    lvm.run("lvextend -l+3 va/lin2");
    lvm.run("vgexport vc");
}

const UNITS: [&str; 17] = ["r", "R", "h", "H", "b", "B", "s", "S", "k", "K", "m", "M", "g", "G", "t", "4m", "512b"];

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % sides
    }

    fn pick<'p, T>(&mut self, things: &'p [T]) -> &'p T {
        &things[self.roll(things.len())]
    }
}

fn fields(of: &[Object]) -> Vec<&'static Field> {
    columns::known(Object::Vg).filter(|field| !field.later && of.contains(&field.object)).collect()
}

const OF_LVS: &[Object] = &[Object::Lv, Object::LvInfo, Object::LvStatus, Object::LvInfoStatus, Object::Vg];
const COMMANDS: [(&str, &[Object], &str); 4] = [
    ("lvs -a --foreign", OF_LVS, "lv_full_name"),
    ("lvs --segments -a --foreign", &[Object::Seg, Object::Lv], "lv_full_name"),
    ("vgs --foreign", &[Object::Vg], "vg_name"),
    ("pvs -a --foreign", &[Object::Label, Object::Pv], "pv_name"),
];

fn sorts(dice: &mut Dice, count: usize) -> Vec<String> {
    let sort = |_| {
        let (command, objects, name) = *dice.pick(&COMMANDS);
        let fields = fields(objects);
        let keys = (0..=dice.roll(3)).map(|_| {
            let field = loop {
                let field = dice.pick(&fields);
                if !matches!(field.kind, Kind::StringList | Kind::Percent) {
                    break field;
                }
            };
            format!("{}{}", dice.pick(&["", "+", "-"]), field.name)
        });
        let keys = keys.collect::<Vec<_>>().join(",");
        format!("{command} -o {name} -O {keys}")
    };
    (0..count).map(sort).collect()
}

fn selections(dice: &mut Dice, count: usize) -> Vec<String> {
    let test = |fields: &[&Field], dice: &mut Dice| {
        let field = dice.pick(fields);
        let (operators, values): (&[&str], &[&str]) = match field.kind {
            Kind::Number => (&["=", "!=", "<", "<=", ">", ">="], &["0", "1", "2", "5", "-1", "undefined", "100"]),
            Kind::Size => (&["=", "!=", "<", "<=", ">", ">="], &["0", "4m", "8m", "1.5g", "60m", "1024k", "64"]),
            Kind::Percent => (&["=", "!=", "<", ">"], &["0", "50", "100"]),
            Kind::String => (&["=", "!=", "=~", "!~"], &["va", "lin", "l", "linear", "x", "a--", "wz--n-"]),
            Kind::StringList => (&["=", "!="], &["t1", "{t1 && t2}", "[t1 && t2]", "{x || lt}", "linear", "public"]),
            Kind::Time => (&["since", "until", "after", "before"], &["2020-01-01", "today", "1"]),
        };
        format!("{} {} {}", field.name, dice.pick(operators), dice.pick(values))
    };
    let select = |_| {
        let (command, objects, name) = *dice.pick(&COMMANDS);
        let fields = fields(objects);
        let mut text = test(&fields, dice);
        for _ in 0..dice.roll(3) {
            let other = test(&fields, dice);
            text = match dice.roll(3) {
                0 => format!("{text} && {other}"),
                1 => format!("{text} || {other}"),
                _ => format!("({text}) && !({other})"),
            };
        }
        format!("{command} -o {name} -S '{text}'")
    };
    (0..count).map(select).collect()
}

#[test]
fn reports_are_those_of_lvm() {
    let world = World::new();
    world.configure(&lvm::conf(FIRST..=LAST, ""));
    let attached = attach(&world).and_then(|loops| Ok((loops, Lvm::new(&world)?)));
    let Some((loops, lvm)) = needs("reports_are_those_of_lvm", attached) else { return };
    make(&lvm);
    let devices = loops.iter().map(|device| device.node().display().to_string()).collect::<Vec<_>>().join(",");
    let none: [&str; 0] = [];
    let _daemon = world.start(none);
    let host = Host { world: &world, devices };
    let mut lines = include_str!("report/commands").lines().map(str::to_owned).collect::<Vec<_>>();
    for units in UNITS {
        for command in ["lvs -a --foreign -o lv_name,lv_size", "pvs -o+dev_size", "vgs -o+vg_mda_size"] {
            lines.push(format!("{command} --units {units}"));
        }
    }
    let mut dice = Dice(6);
    lines.extend(sorts(&mut dice, 60));
    lines.extend(selections(&mut dice, 200));
    host.check(&lines);
    for (part, _) in DIFFERENCES {
        let line = lines.iter().find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("nothing has {part}"));
        assert!(!host.compare(line).is_empty(), "no longer different: {line}");
    }
}

/// Kinds of fields, as their help has them.
#[test]
fn fields_are_of_lvms_kinds() {
    let world = World::new();
    world.configure(&lvm::conf(FIRST..=LAST, ""));
    let kinds = |output: Output| {
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let kind = |line: &str| {
            let (name, rest) = line.strip_prefix("    ")?.split_once(' ')?;
            let (_, kind) = rest.trim_end().strip_suffix(']')?.rsplit_once('[')?;
            (name.contains('_') && !rest.contains("not in all")).then(|| (name.to_owned(), kind.to_owned()))
        };
        text.lines().filter_map(kind).collect::<Vec<_>>()
    };
    let Some(_) = needs("fields_are_of_lvms_kinds", Lvm::new(&world)) else { return };
    let host = Host { world: &world, devices: String::new() };
    let words = words("lvs -S help");
    assert_eq!(kinds(host.by_devices(&words)), kinds(host.lvm(&words)));
}
