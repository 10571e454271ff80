//! What is left to do in a panic: to say where it was, and to end.

use log::LevelFilter;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::panic::PanicHookInfo;
use std::path::Path;

/// What Rust's own runtime ends with. systemd starts the service again.
const STATUS: i32 = 101;

/// From here on a panic is a line of the log, with its place, and the end of the process, whatever part
/// of it panics. Nothing is unwound or tidied up: state that a panic was in the middle of is no state to
/// go on with, and whoever starts next takes over what is left behind.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let what = describe(info);
        if log::max_level() == LevelFilter::Off {
            // A reader has no log of its own, but the standard error of the daemon.
            let _ = writeln!(std::io::stderr(), "process {}: {what}", std::process::id());
        } else {
            log::error!("{what}");
        }
        std::process::exit(STATUS);
    }));
}

fn describe(info: &PanicHookInfo) -> String {
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(|s| &**s));
    let place = info.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
    format!("panic{place}: {}", message.unwrap_or("without a word"))
}

/// Says where to panic: `reload`, or `reader PATH`.
pub const VARIABLE: &str = "PVWATCH_TEST_PANIC";

/// What [`VARIABLE`] says, for the tests of a build with debug assertions; nothing in any other.
pub fn asked_for() -> Option<OsString> {
    if cfg!(debug_assertions) { std::env::var_os(VARIABLE) } else { None }
}

/// Panics where it says to.
#[expect(clippy::panic, reason = "that is what it is for")]
pub fn if_asked_for(place: &str) {
    if asked_for().is_some_and(|wanted| wanted == place) {
        panic!("asked for in {place}");
    }
}

/// Panics where it says to, if it is about this device or file.
#[expect(clippy::panic, reason = "that is what it is for")]
pub fn if_asked_for_at(place: &str, path: &Path) {
    let is_at = |wanted: &OsString| {
        let path_of = wanted.as_bytes().strip_prefix(place.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        path_of == Some(path.as_os_str().as_bytes())
    };
    if asked_for().as_ref().is_some_and(is_at) {
        panic!("asked for in {place}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_panic_is_described_by_its_place_and_its_words() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&said);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some("panics here") {
                hears.lock().unwrap().push(describe(info));
            }
        }));
        for panics in [|| panic!("plain words"), || panic!("{} words", 2), || std::panic::panic_any(7)] {
            let thread = std::thread::Builder::new().name("panics here".into());
            assert!(thread.spawn(panics).unwrap().join().is_err());
        }
        std::panic::set_hook(before);
        let said = said.lock().unwrap();
        let ends = ["plain words", "2 words", "without a word"];
        assert_eq!(said.len(), 3);
        for (said, end) in said.iter().zip(ends) {
            assert!(said.starts_with("panic at src/sys/panic.rs:") && said.ends_with(end), "{said}");
        }
    }
}
