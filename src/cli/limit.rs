//! `--limit`: how many entries of a list are asked for.

use std::num::NonZeroUsize;

/// The option of every command that lists.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(in crate::cli) struct ListLimit {
    /// How many at most.
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT, value_parser = parse)]
    limit: NonZeroUsize,
}

const DEFAULT: NonZeroUsize = NonZeroUsize::new(50).unwrap();

impl ListLimit {
    pub(in crate::cli) fn get(self) -> usize {
        self.limit.get()
    }
}

/// None at all is a mistake, as it is for the API.
fn parse(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a number from 1 on".to_owned())
}
