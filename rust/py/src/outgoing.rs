//! Outgoing for Python.

use logflume_core::filter::BadPattern;
use logflume_core::outgoing::{last_record_start, Outgoing as Core, Rules};
use logflume_core::stamp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Applies rules to the blocks of one stream.
#[pyclass(module = "logflume._core")]
pub struct Outgoing {
    core: Core,
    stamps: stamp::Reader,
}

type Applied = Option<(Py<PyBytes>, Py<PyBytes>, Py<PyBytes>)>;

#[pymethods]
impl Outgoing {
    #[new]
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (*, redact, count, sample=None, lines_per_s=None, as_records=None, zone="UTC", reference_ns=0))]
    fn new(
        redact: Vec<(String, String)>,
        count: Vec<String>,
        sample: Option<(String, u64)>,
        lines_per_s: Option<u64>,
        as_records: Option<String>,
        zone: &str,
        reference_ns: i64,
    ) -> PyResult<Self> {
        let settings = stamp::Settings { zone: zone.to_owned(), time_format: None, reference_ns };
        let stamps = stamp::Reader::new(&settings).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let sample = sample.map(|(pattern, each)| (pattern, each.max(1)));
        let rules = Rules { redact, count, sample, lines_per_s, as_records };
        let bad = |error: BadPattern| PyValueError::new_err((error.reason, error.position));
        Ok(Outgoing { core: Core::new(&rules, stamps.clone()).map_err(bad)?, stamps })
    }

    fn apply(&mut self, py: Python<'_>, block: &[u8], arrived_ns: i64) -> Applied {
        let sent = py.detach(|| self.core.apply(block, arrived_ns))?;
        let ends = |each: fn(&(u32, u32)) -> u32| {
            let bytes: Vec<u8> = sent.ends.iter().flat_map(|pair| each(pair).to_ne_bytes()).collect();
            PyBytes::new(py, &bytes).unbind()
        };
        let (theirs, ours) = (ends(|pair| pair.0), ends(|pair| pair.1));
        Some((PyBytes::new(py, &sent.bytes).unbind(), theirs, ours))
    }

    fn last_record_start(&mut self, py: Python<'_>, block: &[u8]) -> Option<usize> {
        py.detach(|| last_record_start(&mut self.stamps, block))
    }

    #[getter]
    fn counts(&self) -> Vec<u64> {
        self.core.counts.clone()
    }

    #[getter]
    fn redacted(&self) -> u64 {
        self.core.redacted
    }

    #[getter]
    fn left_out(&self) -> u64 {
        self.core.left_out
    }
}
