//! The `sipost` program. What it does is said by [`sipost::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sipost::cli::run(std::env::args_os())
}
