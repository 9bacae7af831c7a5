//! Python bindings of `logflume-core`: no logic of their own.
//!
//! Every method that works on bytes lets go of the interpreter lock meanwhile. Blocks are held as the
//! `bytes` objects they came in, without a copy.
#![forbid(unsafe_code)]

mod generate;
mod index;
mod merge;
mod messages;
mod outgoing;
mod pack;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::generate::Generator;
    #[pymodule_export]
    use crate::index::Index;
    #[pymodule_export]
    use crate::merge::{Batch, Filter, Merger, Prescan, Prescanner, Scanner};
    #[pymodule_export]
    use crate::messages::Messages;
    #[pymodule_export]
    use crate::outgoing::Outgoing;
    #[pymodule_export]
    use crate::pack::{Packed, Packer};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
