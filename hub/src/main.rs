//! `taizhang-hub`: the replica of a township, a county or the city.

use std::process::ExitCode;

fn main() -> ExitCode {
    taizhang_hub::cli::main()
}
