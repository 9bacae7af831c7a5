//! The log generator for Python: blocks of bytes, nothing else.

use logflume_core::generate::{Format, Generator as Core, Pattern, Plan, Size};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Gives the lines of each source of one plan, in blocks.
#[pyclass(module = "logflume._core")]
pub struct Generator {
    core: Core,
    sources: usize,
    block: Vec<u8>,
}

#[pymethods]
impl Generator {
    #[new]
    #[pyo3(signature = (*, lines=None, bytes=None, sources, pattern, format, duplicates, ties, seed, start_us))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        lines: Option<u64>,
        bytes: Option<u64>,
        sources: usize,
        pattern: &str,
        format: &str,
        duplicates: f64,
        ties: f64,
        seed: u64,
        start_us: u64,
    ) -> PyResult<Self> {
        let size = match (lines, bytes) {
            (Some(lines), None) => Size::Lines(lines),
            (None, Some(bytes)) => Size::Bytes(bytes),
            _ => return Err(PyValueError::new_err("give lines or bytes, and not both")),
        };
        let plan = Plan {
            size,
            sources,
            pattern: pattern_of(pattern)?,
            format: format_of(format)?,
            duplicates,
            ties,
            seed,
            start_us,
        };
        let core = Core::new(&plan).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self { core, sources, block: Vec::new() })
    }

    /// Distinct lines of the log.
    #[getter]
    fn lines(&self) -> u64 {
        self.core.lines()
    }

    /// Bytes of all sources, within 1 % from a few megabytes on.
    #[getter]
    fn expected_bytes(&self) -> u64 {
        self.core.expected_bytes()
    }

    /// The next whole records of one source; empty when it has given everything.
    fn next_block<'py>(&mut self, py: Python<'py>, source: usize, max_bytes: usize) -> PyResult<Bound<'py, PyBytes>> {
        if source >= self.sources {
            return Err(PyIndexError::new_err(format!("there is no source {source}")));
        }
        let (core, block) = (&mut self.core, &mut self.block);
        py.detach(|| core.next_block(source, max_bytes, block));
        Ok(PyBytes::new(py, block))
    }
}

fn pattern_of(name: &str) -> PyResult<Pattern> {
    Ok(match name {
        "interleaved" => Pattern::Interleaved,
        "runs" => Pattern::Runs,
        "disjoint" => Pattern::Disjoint,
        "skewed" => Pattern::Skewed,
        "late-start" => Pattern::LateStart,
        _ => return Err(PyValueError::new_err(format!("there is no pattern {name:?}"))),
    })
}

fn format_of(name: &str) -> PyResult<Format> {
    Ok(match name {
        "json" => Format::Json,
        "plain" => Format::Plain,
        "kubernetes" => Format::Kubernetes,
        _ => return Err(PyValueError::new_err(format!("there is no format {name:?}"))),
    })
}
