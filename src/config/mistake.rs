//! Mistakes in a configuration, in words that its author can act on.

use std::fmt;

/// How the names of our environment variables begin.
pub(super) const VARIABLE_PREFIX: &str = "SIPOST__";

/// Where a value came from.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// `config/default.toml`, compiled in.
    Default,
    /// A line of a file, as `path:line`.
    File(String),
    /// An environment variable, by its name.
    Variable(String),
}

impl Origin {
    const DEFAULT: &'static str = "default";

    /// The place that a label of the layering names.
    pub(super) fn of_label(label: Option<&str>) -> Self {
        match label {
            None | Some(Self::DEFAULT) => Self::Default,
            Some(name) if name.starts_with(VARIABLE_PREFIX) => Self::Variable(name.to_owned()),
            Some(path) => Self::File(path.to_owned()),
        }
    }

    /// The label that names this place in the layering.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Default => Self::DEFAULT.to_owned(),
            Self::File(name) | Self::Variable(name) => name.clone(),
        }
    }

    /// Whether both are the same layer, of which a stronger one wins.
    pub(super) fn is_same_layer(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The key's path, such as `account[0].servers[1].url`, or the file or variable that cannot be
    /// read at all.
    pub path: String,
    /// The problem. Never quotes a secret.
    pub problem: String,
    /// The accepted values; empty when the problem says it.
    pub accepted: String,
    /// Where the value came from, or the table that lacks it; `None` when nothing was written.
    pub origin: Option<Origin>,
}

impl Mistake {
    /// Of a file or variable that cannot be read at all.
    pub(super) fn whole(name: &str, problem: String) -> Self {
        Self {
            path: name.to_owned(),
            problem,
            accepted: String::new(),
            origin: None,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)?;
        if !self.accepted.is_empty() {
            write!(f, "; accepted: {}", self.accepted)?;
        }
        match &self.origin {
            None => Ok(()),
            Some(Origin::Default) => f.write_str(" (the default)"),
            Some(Origin::File(path)) => write!(f, " (in {path})"),
            Some(Origin::Variable(name)) => write!(f, " (in ${name})"),
        }
    }
}

/// Every mistake in a configuration. Never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(mistakes) = self;
        match mistakes.len() {
            1 => f.write_str("there is a mistake in the configuration:")?,
            count => write!(f, "there are {count} mistakes in the configuration:")?,
        }
        for mistake in mistakes {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The path of a key.
pub(super) fn join(section: &str, key: &str) -> String {
    match section {
        "" => key.to_owned(),
        section => format!("{section}.{key}"),
    }
}
