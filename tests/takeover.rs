//! `pvwatch takeover` on made-up trees: what it does is undone exactly, wherever it is cut short.

#[path = "common/mod.rs"]
mod common;
// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;

use common::testing::needs;
use pvwatch::conf::ActivationSetting;
use pvwatch::sys::takeover::Tree;
use pvwatch::takeover::{Charge, Circumstances, Judgement, Mode, Programs, Step, disable, enable, judge};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const RULES: &str = "etc/udev/rules.d";
const VENDOR: &str = "usr/lib/udev/rules.d";
const LVMS: &str = "IMPORT{program}=\"/sbin/lvm pvscan --cache\"\n";

/// An image of a host with LVM's rules by these names.
fn image(vendor: &[&str]) -> TempDir {
    // Where nothing has to reach a disk: there are thousands of steps.
    let memory = Path::new("/dev/shm");
    let image = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let image = image.unwrap();
    let at = |path: &str| image.path().join(path);
    for directory in [RULES, VENDOR, "usr/sbin", "usr/bin", "etc/lvm"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    symlink("usr/lib", at("lib")).unwrap();
    for program in ["usr/sbin/pvwatch", "usr/sbin/lvm", "usr/bin/systemd-run"] {
        put(&at(program), "#!/bin/sh\n");
        fs::set_permissions(at(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    vendor.iter().for_each(|name| put(&at(VENDOR).join(name), LVMS));
    put(&at(RULES).join("50-local.rules"), "# An administrator's own, which is nobody's business.\n");
    image
}

/// A file of some age.
fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890)).unwrap();
}

/// Each path: kind and mode, owner, link target or content, and of what is no directory, its time.
fn snapshot(root: &Path, times: bool) -> BTreeMap<PathBuf, String> {
    let mut out = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let time = if metadata.is_dir() || !times { 0 } else { metadata.mtime_nsec() + metadata.mtime() };
            let content = if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else if metadata.is_dir() {
                directories.push(path.clone());
                String::new()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            let what = format!("{:o} {}:{} {time} {content}", metadata.mode(), metadata.uid(), metadata.gid());
            out.insert(path, what);
        }
    }
    out
}

fn tree(image: &TempDir) -> Tree {
    Tree::new(image.path(), Path::new("/etc/lvm")).unwrap()
}

/// What leads there from what is there now; `None` is disabled.
fn plan(tree: &Tree, to: Option<Mode>) -> Vec<Step> {
    let found = tree.look().unwrap();
    let plan = match to {
        Some(mode) => enable(&found, mode, &Programs::default()),
        None => disable(&found, None),
    };
    plan.unwrap().steps
}

fn go(tree: &Tree, to: Option<Mode>) {
    plan(tree, to).iter().for_each(|step| tree.carry_out(step).unwrap());
}

fn judged(tree: &Tree) -> Judgement {
    judge(&tree.look().unwrap(), &Circumstances { is_image: true, ..Circumstances::default() })
}

/// What an administrator may have put there before.
fn before(name: &str) -> TempDir {
    let image = match name {
        "nothing of LVM's" => self::image(&[]),
        "upstream's names" => self::image(&["69-dm-lvm.rules", "69-dm-lvm-metad.rules"]),
        _ => self::image(&["69-lvm.rules"]),
    };
    let rules = image.path().join(RULES);
    match name {
        "an own rule" => {
            put(&rules.join("69-lvm.rules"), "IMPORT{program}=\"/opt/lvm pvscan\"\n");
            fs::set_permissions(rules.join("69-lvm.rules"), fs::Permissions::from_mode(0o640)).unwrap();
        }
        "a link" => {
            put(&image.path().join("etc/own.rules"), LVMS);
            symlink("../../own.rules", rules.join("69-lvm.rules")).unwrap();
        }
        "a rule for an LVM to come" => put(&rules.join("69-dm-lvm.rules"), LVMS),
        "a rule of our name" => put(&rules.join("69-pvwatch.rules"), "# From the source.\n"),
        "no directory for rules" => fs::remove_dir_all(image.path().join("etc/udev")).unwrap(),
        "no directory of LVM's" => fs::remove_dir(image.path().join("etc/lvm")).unwrap(),
        _ => {}
    }
    image
}

const BEFORE: [&str; 8] = [
    "the rule of Debian's",
    "upstream's names",
    "an own rule",
    "a link",
    "a rule for an LVM to come",
    "a rule of our name",
    "no directory for rules",
    "no directory of LVM's",
];
const STATES: [Option<Mode>; 5] = [None, Some(Mode::Rule), Some(Mode::Events), Some(Mode::Lvm202), Some(Mode::Compare)];

fn expected(state: Option<Mode>) -> Charge {
    match state {
        None | Some(Mode::Compare) => Charge::Lvm,
        Some(_) => Charge::Pvwatch,
    }
}

#[test]
fn cut_short_anywhere_it_is_named_and_healed() {
    for name in BEFORE {
        for (from, to) in STATES.into_iter().flat_map(|from| STATES.map(|to| (from, to))) {
            let steps = {
                let image = before(name);
                go(&tree(&image), from);
                plan(&tree(&image), to)
            };
            for done in 0..=steps.len() {
                let whole = done == steps.len();
                for heal in [to, None] {
                    let image = before(name);
                    let original = snapshot(image.path(), true);
                    let tree = tree(&image);
                    go(&tree, from);
                    steps[..done].iter().for_each(|step| tree.carry_out(step).unwrap());
                    let case = format!("{name}: {from:?} to {to:?}, {done} of {steps:#?}");
                    let Judgement { charge, problems } = judged(&tree);
                    assert!(charge != Charge::Nobody, "{case}: {problems:?}");
                    assert!(charge != Charge::Both || !problems.is_empty(), "{case}");
                    if whole {
                        assert_eq!((charge, &problems[..]), (expected(to), &[][..]), "{case}");
                    }
                    go(&tree, heal);
                    let healed = judged(&tree);
                    assert_eq!((healed.charge, &healed.problems[..]), (expected(heal), &[][..]), "{case}");
                    // Once is enough, and what is there already is not written again.
                    let (after, times) = (snapshot(image.path(), true), heal.is_none());
                    go(&tree, heal);
                    assert_eq!(snapshot(image.path(), true), after, "{case}");
                    if heal.is_none() {
                        let left = snapshot(image.path(), times);
                        // A directory that was made before it was written down, and cut short there.
                        let made = |path: &PathBuf| path.is_dir() && !original.contains_key(path);
                        let left =
                            left.into_iter().filter(|(path, _)| whole || !made(path)).collect::<BTreeMap<_, _>>();
                        assert_eq!(left, original, "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_killed_write_has_left_goes() {
    let image = before("the rule of Debian's");
    let original = snapshot(image.path(), true);
    let tree = tree(&image);
    go(&tree, Some(Mode::Rule));
    for directory in [RULES, "etc/lvm/pvwatch"] {
        put(&image.path().join(directory).join(".pvwatch-takeover"), "half");
    }
    go(&tree, Some(Mode::Events));
    put(&image.path().join(RULES).join(".pvwatch-takeover"), "half");
    go(&tree, None);
    assert_eq!(snapshot(image.path(), true), original);
}

#[test]
fn a_mask_that_was_there_stays() {
    let image = before("the rule of Debian's");
    let mask = image.path().join(RULES).join("69-lvm.rules");
    symlink("/dev/null", &mask).unwrap();
    let original = snapshot(image.path(), true);
    let tree = tree(&image);
    assert_eq!(judged(&tree).charge, Charge::Nobody);
    let plan = enable(&tree.look().unwrap(), Mode::Rule, &Programs::default()).unwrap();
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    plan.steps.iter().for_each(|step| tree.carry_out(step).unwrap());
    assert_eq!(judged(&tree), Judgement { charge: Charge::Pvwatch, problems: vec![] });
    go(&tree, None);
    assert_eq!(snapshot(image.path(), true), original);
}

#[test]
fn what_others_change_is_named() {
    let named = |mode, change: &dyn Fn(&Path)| {
        let image = before("the rule of Debian's");
        let tree = tree(&image);
        go(&tree, mode);
        assert_eq!(judged(&tree).problems, [""; 0]);
        change(image.path());
        let Judgement { charge, problems } = judged(&tree);
        // Of what is missing, also what follows.
        assert_eq!(problems.len(), if charge == Charge::Nobody { 2 } else { 1 }, "{problems:?}");
        // And healed, where that destroys nothing.
        if let Ok(plan) = enable(&tree.look().unwrap(), mode.unwrap_or(Mode::Compare), &Programs::default()) {
            plan.steps.iter().for_each(|step| tree.carry_out(step).unwrap());
        }
        (problems[0].clone(), judged(&tree).problems.is_empty())
    };
    let rule = Some(Mode::Rule);
    let (problem, healed) = named(rule, &|root| fs::remove_file(root.join(RULES).join("69-lvm.rules")).unwrap());
    assert!(healed && problem.ends_with("is not masked, and starts activation too"), "{problem}");
    let (problem, healed) = named(rule, &|root| put(&root.join(VENDOR).join("69-dm-lvm.rules"), LVMS));
    assert!(healed && problem.contains("/69-dm-lvm.rules is not masked"), "{problem}");
    let (problem, healed) = named(rule, &|root| put(&root.join(VENDOR).join("65-other.rules"), LVMS));
    assert!(!healed && problem.contains("/65-other.rules is not masked"), "{problem}");
    let own = |root: &Path| root.join(RULES).join("69-pvwatch.rules");
    let (problem, healed) = named(rule, &|root| {
        put(&own(root), &(fs::read_to_string(own(root)).unwrap() + "# mine\n"));
    });
    assert!(healed && problem.ends_with("edited, or of another version"), "{problem}");
    let (problem, healed) = named(rule, &|root| fs::remove_file(own(root)).unwrap());
    assert!(healed && problem == "69-pvwatch.rules is missing", "{problem}");
    // What counts besides the files.
    let image = before("the rule of Debian's");
    let tree = tree(&image);
    let problem = |mode, circumstances: Circumstances| {
        go(&tree, mode);
        let Judgement { charge, problems } = judge(&tree.look().unwrap(), &circumstances);
        assert_eq!(problems.len(), 1, "{problems:?}");
        (charge, problems[0].clone())
    };
    let daemon = |mode: &str| Circumstances { daemon: Some(mode.to_owned()), ..Circumstances::default() };
    let absent = Circumstances { absent_programs: vec!["/usr/sbin/lvm".to_owned()], ..Circumstances::default() };
    assert!(problem(rule, absent).1.starts_with("/usr/sbin/lvm, which the rule runs"));
    assert!(problem(rule, daemon("off")).1.starts_with("the daemon's mode is \"off\", and should be \"on\""));
    assert_eq!(problem(Some(Mode::Compare), daemon("on")).0, Charge::Lvm);
    assert_eq!(problem(None, daemon("on")).0, Charge::Lvm);
    let on = Circumstances { setting: ActivationSetting::On, ..Circumstances::default() };
    assert_eq!(problem(None, on).0, Charge::Both);
    go(&tree, Some(Mode::Events));
    let Judgement { charge, problems } = judge(&tree.look().unwrap(), &Circumstances::default());
    assert_eq!((charge, problems.len()), (Charge::Nobody, 2), "{problems:?}");
}

/// Neither of the two is lost.
#[test]
fn a_rule_put_there_since_is_not_overwritten() {
    let image = before("an own rule");
    let tree = tree(&image);
    go(&tree, Some(Mode::Rule));
    let path = image.path().join(RULES).join("69-lvm.rules");
    fs::remove_file(&path).unwrap();
    put(&path, "# Another.\n");
    let refusal = enable(&tree.look().unwrap(), Mode::Rule, &Programs::default()).unwrap_err();
    assert!(refusal.to_string().starts_with("69-lvm.rules was put into"), "{refusal}");
    let problems = judged(&tree).problems;
    assert!(problems.iter().any(|problem| problem.starts_with("there are two of 69-lvm.rules")), "{problems:?}");
    go(&tree, None);
    assert_eq!(fs::read_to_string(&path).unwrap(), "# Another.\n");
    assert!(image.path().join("etc/lvm/pvwatch/saved/69-lvm.rules").exists());
    assert!(!judged(&tree).problems.is_empty());
}

#[test]
fn a_state_that_says_nothing_is_left_alone() {
    let image = before("the rule of Debian's");
    let tree = tree(&image);
    go(&tree, Some(Mode::Rule));
    fs::write(image.path().join("etc/lvm/pvwatch/takeover"), "mode=").unwrap();
    let found = tree.look().unwrap();
    assert!(enable(&found, Mode::Rule, &Programs::default()).is_err() && disable(&found, None).is_err());
    assert!(judged(&tree).problems[0].starts_with("pvwatch/takeover says nothing"));
}

#[test]
fn a_link_that_leads_out_of_the_image_is_not_followed() {
    let (image, outside) = (self::image(&["69-lvm.rules"]), tempfile::tempdir().unwrap());
    fs::remove_dir_all(image.path().join("etc/udev")).unwrap();
    symlink(outside.path(), image.path().join("etc/udev")).unwrap();
    let error = Tree::new(image.path(), Path::new("/etc/lvm")).unwrap_err().to_string();
    assert!(error.ends_with("it leads out of the image"), "{error}");
}

fn takeover(root: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pvwatch"));
    command.arg("takeover").args(words).arg("--root").arg(root).env_remove("LVM_SYSTEM_DIR").output().unwrap()
}

#[test]
fn the_command() {
    let image = before("an own rule");
    let original = snapshot(image.path(), true);
    let run = |words: &[&str]| {
        let output = takeover(image.path(), words);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&["enable", "--variant", "all"]).0, Some(2));
    assert_eq!(run(&["status", "--variant", "rule"]).0, Some(2));
    assert_eq!(run(&["other"]).0, Some(2));
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(snapshot(image.path(), true), original);
    for (words, charge) in [
        (&["enable"][..], "pvwatch"),
        (&["enable", "--variant", "events"], "pvwatch"),
        (&["compare"], "LVM's rule"),
        (&["enable", "--variant=lvm202"], "pvwatch"),
    ] {
        let (status, stdout, stderr) = run(words);
        assert_eq!((status, stdout), (Some(0), format!("{charge} activates\n")), "{words:?}: {stderr}");
        let (status, stdout, stderr) = run(&["status"]);
        assert_eq!((status, stderr.as_str()), (Some(0), ""));
        assert!(stdout.contains(&format!(": {charge} activates\n")), "{stdout}");
    }
    fs::remove_file(image.path().join(RULES).join("69-pvwatch.rules")).unwrap();
    let (status, stdout, _) = run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &json["takeover"]), (Some(1), &"lvm202".into()));
    assert_eq!(
        json["problems"],
        serde_json::json!([
            "69-pvwatch.rules is missing",
            "no rule of LVM's is in force, and pvwatch is not in charge: nobody activates",
        ])
    );
    assert_eq!(json["activates"], "nobody");
    assert_eq!(run(&["disable"]).0, Some(0));
    assert_eq!(snapshot(image.path(), true), original);
    assert_eq!(run(&["disable"]).0, Some(0));
    // Whoever switches it on with nothing to follow is told.
    fs::write(image.path().join("etc/lvm/lvm.conf"), "global { event_activation=0 }").unwrap();
    assert!(run(&["enable"]).2.contains("global/event_activation is 0"));
}

/// The scripts of the package, where `/etc` is nobody else's.
#[test]
fn removing_the_package_undoes_it() {
    let test = "removing_the_package_undoes_it";
    let directory = tempfile::tempdir().unwrap();
    let stub = |name: &str| {
        let path = directory.path().join(name);
        put(&path, "#!/bin/sh\n");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    ["systemctl", "udevadm"].into_iter().for_each(stub);
    symlink(env!("CARGO_BIN_EXE_pvwatch"), directory.path().join("pvwatch")).unwrap();
    let script = "mount --make-rprivate / && mount -t tmpfs tmpfs /etc || exit 9\n\
        set -e\nmkdir -p /etc/udev/rules.d /etc/lvm\nrules=/etc/udev/rules.d\necho mine >$rules/69-lvm.rules\n\
        look() { find $rules /etc/lvm ! -type d -printf '%p %m %l %T@\\n' | sort; }\n\
        before=$(look)\nset -x\n\
        $1/postinst configure\n[ \"$(look)\" = \"$before\" ]\n\
        pvwatch takeover enable --variant events\necho old >>$rules/69-pvwatch.rules\n\
        $1/postinst configure 0.0.1\n! grep -qx old $rules/69-pvwatch.rules\n\
        grep -q 'variant events' $rules/69-pvwatch.rules\n[ -L $rules/69-lvm.rules ]\n\
        $1/prerm upgrade 0.2.0\n[ -L $rules/69-lvm.rules ]\n\
        pvwatch takeover compare\n$1/postinst configure 0.0.1\n! [ -e $rules/69-pvwatch.rules ]\n\
        pvwatch takeover enable\n\
        $1/prerm remove\n[ \"$(look)\" = \"$before\" ]\n";
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", directory.path().display());
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/debian");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", scripts]).env("PATH", path);
    command.env("LVM_LVMETAD_SOCKET", "/nonexistent/socket").env_remove("LVM_SYSTEM_DIR");
    let run = command.output().and_then(|run| match run.status.code() {
        Some(9) | None => Err(std::io::Error::other(String::from_utf8_lossy(&run.stderr).into_owned())),
        _ if run.stderr.starts_with(b"unshare: ") => {
            Err(std::io::Error::other(String::from_utf8_lossy(&run.stderr).into_owned()))
        }
        _ => Ok(run),
    });
    let Some(run) = needs(test, run) else { return };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
