//! Chance that can be repeated.

/// What a test draws its chance from. When the test fails it says how to see the same again.
pub(crate) struct Seed(pub(crate) u64, &'static str);

/// Where a seed to repeat comes from.
const VARIABLE: &str = "SIPOST_SEED";

impl Seed {
    /// The seed of the environment, or a new one. `test` finds the test among those of
    /// its target.
    pub(crate) fn take(test: &'static str) -> Self {
        let given = std::env::var(VARIABLE).ok();
        let seed = given.map_or_else(rand::random, |seed| seed.parse().unwrap());
        Self(seed, test)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, test) = self;
            let target = env!("CARGO_CRATE_NAME");
            eprintln!("to see this again: {VARIABLE}={seed} cargo test --test {target} {test}");
        }
    }
}
