//! Lines without a time that belong to the one before by their shape, where no time says it.
//!
//! Holds: one flag.
//! Plan:  an indented line goes on with what is before it. So does the line that ends a Python traceback: the first
//!        one after its frames that is not indented.

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

#[derive(Clone, Copy, Default)]
pub(super) struct Shape {
    /// The frames of a traceback, and the line that says what has happened, are to come.
    in_traceback: bool,
}

impl Shape {
    /// Whether a line belongs to those before it.
    pub(super) fn goes_on(self, line: &[u8]) -> bool {
        self.in_traceback || is_indented(line)
    }

    /// Take notice of a line.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.in_traceback = line.starts_with(TRACEBACK) || (self.in_traceback && is_indented(line));
    }
}

fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}
