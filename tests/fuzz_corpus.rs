//! Every input that `scripts/fuzz keep` has put into `fuzz/seeds`, through the targets themselves: what they assert
//! is true of all of them, also where nothing but `cargo test` is run.

// The targets are written for these crates.
extern crate self as libfuzzer_sys;
extern crate self as pvwatch_fuzz;

#[path = "../fuzz/src/lib.rs"]
mod shared;

pub use shared::{Input, without_floats, written};

macro_rules! fuzz_target {
    (|$input:ident: &[u8]| $body:block) => {
        pub fn run($input: &[u8]) $body
    };
}
pub(crate) use fuzz_target;

macro_rules! targets {
    ($($name:ident $path:literal $test:ident),* $(,)?) => {
        $(
            #[path = $path]
            #[allow(unused_attributes, unused_imports, clippy::all, clippy::cast_possible_truncation, reason = "it is a program of its own")]
            mod $name;

            #[test]
            fn $test() {
                run_all(stringify!($name), $name::run);
            }
        )*
    };
}

targets! {
    activation "../fuzz/fuzz_targets/activation.rs" what_was_kept_of_activation,
    call "../fuzz/fuzz_targets/call.rs" what_was_kept_of_call,
    dmeventd "../fuzz/fuzz_targets/dmeventd.rs" what_was_kept_of_dmeventd,
    disks "../fuzz/fuzz_targets/disks.rs" what_was_kept_of_disks,
    files "../fuzz/fuzz_targets/files.rs" what_was_kept_of_files,
    frame "../fuzz/fuzz_targets/frame.rs" what_was_kept_of_frame,
    inventory "../fuzz/fuzz_targets/inventory.rs" what_was_kept_of_inventory,
    ioctl "../fuzz/fuzz_targets/ioctl.rs" what_was_kept_of_ioctl,
    kernel "../fuzz/fuzz_targets/kernel.rs" what_was_kept_of_kernel,
    metadata "../fuzz/fuzz_targets/metadata.rs" what_was_kept_of_metadata,
    ondisk "../fuzz/fuzz_targets/ondisk.rs" what_was_kept_of_ondisk,
    patterns "../fuzz/fuzz_targets/patterns.rs" what_was_kept_of_patterns,
    report "../fuzz/fuzz_targets/report.rs" what_was_kept_of_report,
    request "../fuzz/fuzz_targets/request.rs" what_was_kept_of_request,
    scan "../fuzz/fuzz_targets/scan.rs" what_was_kept_of_scan,
    select "../fuzz/fuzz_targets/select.rs" what_was_kept_of_select,
    text "../fuzz/fuzz_targets/text.rs" what_was_kept_of_text,
}

struct ToldIfItFails<'a> {
    target: &'a str,
    count: usize,
    input: &'a [u8],
}

impl Drop for ToldIfItFails<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let beginning = &self.input[..self.input.len().min(200)];
            println!("{} {}: {}", self.target, self.count, beginning.escape_ascii());
        }
    }
}

fn run_all(target: &str, run: fn(&[u8])) {
    let file = format!("{}/fuzz/seeds/{target}.seeds", env!("CARGO_MANIFEST_DIR"));
    let seeds = std::fs::read(&file).expect("each target has seeds");
    let (mut rest, mut count) = (&seeds[..], 0);
    // As fuzz/pack.py writes them.
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (input, behind) = behind.split_at(u32::from_le_bytes(*length).try_into().expect("it is a length"));
        let told = ToldIfItFails { target, count, input };
        run(input);
        drop(told);
        (rest, count) = (behind, count + 1);
    }
    assert!(count > 0 && rest.is_empty(), "{file}: {count} seeds, {} bytes behind them", rest.len());
}
