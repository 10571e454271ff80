use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = pvwatch::sys::reader::run_if_reader() {
        return code;
    }
    ExitCode::SUCCESS
}
