//! Messages for Python.

use logflume_core::messages::Messages as CoreMessages;
use logflume_core::stamp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Turns blocks of NDJSON into messages as Airflow's clients expect them.
#[pyclass(module = "logflume._core")]
pub struct Messages(CoreMessages);

#[pymethods]
impl Messages {
    #[new]
    #[pyo3(signature = (*, zone="UTC"))]
    fn new(zone: &str) -> PyResult<Self> {
        let settings = stamp::Settings { zone: zone.into(), ..stamp::Settings::default() };
        CoreMessages::new(&settings).map(Messages).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The same object if nothing is to be changed.
    fn convert<'py>(&mut self, py: Python<'py>, block: Bound<'py, PyBytes>) -> Bound<'py, PyBytes> {
        let bytes = block.as_bytes();
        match py.detach(|| self.0.convert(bytes)) {
            Some(out) => PyBytes::new(py, &out),
            None => block,
        }
    }
}
