//! The searchable index for Python.

use logflume_core::index::{Entry, Index as Core};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Entries of one log's index, searchable.
#[pyclass(module = "logflume._core")]
pub struct Index(Core);

#[pymethods]
impl Index {
    #[new]
    fn new(n_sources: usize) -> Self {
        Index(Core::new(n_sources))
    }

    /// Add entries as `Merger.take_index` or `encoded` gives them; ValueError if they are damaged.
    fn extend(&mut self, encoded: &[u8]) -> PyResult<()> {
        self.0.extend(encoded).map_err(|_| PyValueError::new_err("these index entries are damaged"))
    }

    fn resume_before<'py>(&mut self, py: Python<'py>, ts_ns: i64) -> PyResult<Bound<'py, PyDict>> {
        told(py, self.0.resume_before(ts_ns))
    }

    #[getter]
    fn entries(&self) -> usize {
        self.0.entries()
    }

    fn encoded<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.encoded())
    }

    fn last<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        told(py, self.0.last())
    }

    fn at_line<'py>(&self, py: Python<'py>, line: u64) -> PyResult<Bound<'py, PyDict>> {
        told(py, &self.0.at_line(line))
    }

    fn at_text<'py>(&self, py: Python<'py>, offset: u64) -> PyResult<Bound<'py, PyDict>> {
        told(py, &self.0.at_text(offset))
    }

    fn after_line<'py>(&self, py: Python<'py>, line: u64) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.0.after_line(line).map(|entry| told(py, &entry)).transpose()
    }

    fn before_time<'py>(&self, py: Python<'py>, ts_ns: i64) -> PyResult<Bound<'py, PyDict>> {
        told(py, &self.0.before_time(ts_ns))
    }

    fn at_count<'py>(&self, py: Python<'py>, levels: u8, count: u64) -> PyResult<Bound<'py, PyDict>> {
        told(py, &self.0.at_count(levels, count))
    }
}

fn told<'py>(py: Python<'py>, entry: &Entry) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("bytes", entry.bytes)?;
    dict.set_item("text", entry.text())?;
    dict.set_item("lines", entry.lines)?;
    dict.set_item("records", entry.records)?;
    dict.set_item("ts", entry.ts)?;
    dict.set_item("levels", entry.levels.to_vec())?;
    dict.set_item("positions", &entry.positions)?;
    dict.set_item("floors", &entry.floors)?;
    Ok(dict)
}
