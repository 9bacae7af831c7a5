//! What a merge has given out so far: counts that the merge keeps, and index entries are made of.

/// What has come out so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// Records given out.
    pub records: u64,
    /// Lines given out (of the sources; NDJSON has one object for each).
    pub lines: u64,
    /// Bytes of those records in their sources.
    pub source_bytes: u64,
    /// Bytes given out.
    pub bytes: u64,
    /// Of these, as text, newlines put between a last line that has none and what follows it.
    pub seams: u64,
    /// Records not shown because another source had shown them.
    pub duplicates: u64,
}
