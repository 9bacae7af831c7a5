//! Packer for Python.

use logflume_core::pack::{Form, Frame, Limits, Packed as CorePacked, Packer as Core};
use logflume_core::stamp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// One request: what is sent, and what is in it.
#[pyclass(module = "logflume._core", frozen, get_all)]
pub struct Packed {
    payload: Py<PyBytes>,
    events: usize,
    parts: usize,
    end: u64,
    first_ns: i64,
    last_ns: i64,
}

/// Makes requests of the lines of one stream.
#[pyclass(module = "logflume._core")]
pub struct Packer(Core<PyBackedBytes>);

fn form_of(name: &str) -> PyResult<Form> {
    Ok(match name {
        "cloudwatch" => Form::CloudWatch,
        "loki" => Form::Loki,
        "otlp" => Form::Otlp,
        "redis" => Form::Redis,
        "ndjson" => Form::Ndjson,
        "text" => Form::Text,
        _ => return Err(PyValueError::new_err("form is cloudwatch, loki, otlp, redis, ndjson or text")),
    })
}

#[pymethods]
impl Packer {
    #[new]
    #[pyo3(signature = (form, *, max_events, max_bytes, max_event_bytes, max_span_ns=i64::MAX, event_step_ns=0,
        request_step_ns=0, opening=&b""[..], closing=&b""[..], before=&b""[..], zone="UTC", reference_ns=0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        form: &str,
        max_events: usize,
        max_bytes: usize,
        max_event_bytes: usize,
        max_span_ns: i64,
        event_step_ns: i64,
        request_step_ns: i64,
        opening: &[u8],
        closing: &[u8],
        before: &[u8],
        zone: &str,
        reference_ns: i64,
    ) -> PyResult<Self> {
        let limits = Limits { max_events, max_bytes, max_event_bytes, max_span_ns, event_step_ns, request_step_ns };
        let frame = Frame { opening: opening.to_vec(), closing: closing.to_vec(), before: before.to_vec() };
        let stamps = stamp::Settings { zone: zone.to_owned(), time_format: None, reference_ns };
        let core = Core::new(form_of(form)?, limits, frame, &stamps);
        core.map(Packer).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn feed(&mut self, block: PyBackedBytes, arrived_ns: i64) {
        self.0.feed(block, arrived_ns);
    }

    #[pyo3(signature = (*, everything))]
    fn take(&mut self, py: Python<'_>, everything: bool) -> Option<Packed> {
        let packed: CorePacked = py.detach(|| self.0.take(everything))?;
        Some(Packed {
            payload: PyBytes::new(py, &packed.payload).unbind(),
            events: packed.events,
            parts: packed.parts,
            end: packed.end,
            first_ns: packed.first_ns,
            last_ns: packed.last_ns,
        })
    }

    #[getter]
    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }

    #[getter]
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
