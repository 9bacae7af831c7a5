//! What is wrong with a time format or a zone that somebody has set.

use std::fmt;

/// A time format or zone that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFormat {
    /// The setting as it was given.
    pub pattern: String,
    /// Byte offset in it at which the trouble begins; None if that is the whole.
    pub position: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for BadFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.pattern)?;
        if let Some(position) = self.position {
            write!(out, " at {position}")?;
        }
        write!(out, ": {}", self.reason)
    }
}

impl std::error::Error for BadFormat {}

impl BadFormat {
    pub(super) fn of_zone(name: &str, reason: String) -> BadFormat {
        BadFormat { pattern: name.to_owned(), position: None, reason }
    }
}
