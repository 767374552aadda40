//! The `sipost` program: arguments, configuration, telemetry, run, exit code.

fn main() {}
