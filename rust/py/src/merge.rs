//! Filter, Scanner, Batch and Merger for Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use logflume_core::filter::{BadPattern, Filter as CoreFilter, Pattern};
use logflume_core::merge::{Merger as CoreMerger, Options, Output};
use logflume_core::scan::{
    Batch as CoreBatch, Counts, Prescan as CorePrescan, Prescanner as CorePrescanner, Scanner as CoreScanner, Settings,
    UNTIMED,
};
use logflume_core::stamp;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

type Block = PyBackedBytes;
type ToldOf = (u64, i64, u8, usize, u32, bool);
type MarkOf<'py> = (u64, i64, u64, usize, u8, bool, Bound<'py, PyBytes>);

/// Blocks are limited so that offsets in them fit 32 bits.
const MAX_BLOCK_BYTES: usize = 1 << 30;

fn bad_pattern(error: BadPattern) -> PyErr {
    PyValueError::new_err((error.reason, error.position))
}

fn bad_format(error: &stamp::BadFormat) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn checked(block: Block) -> PyResult<Block> {
    if block.len() > MAX_BLOCK_BYTES {
        return Err(PyValueError::new_err("a block may hold at most 1 GiB"));
    }
    Ok(block)
}

/// Which records pass.
#[pyclass(module = "logflume._core", frozen)]
pub struct Filter(Arc<CoreFilter>);

#[pymethods]
impl Filter {
    #[new]
    #[pyo3(signature = (*, since_ns=None, until_ns=None, levels=0, contains=None, regex=None, ignore_case=false,
        invert=false))]
    fn new(
        since_ns: Option<i64>,
        until_ns: Option<i64>,
        levels: u8,
        contains: Option<&[u8]>,
        regex: Option<&str>,
        ignore_case: bool,
        invert: bool,
    ) -> PyResult<Self> {
        let literal = contains.map(|bytes| Pattern::literal(bytes, ignore_case).map_err(bad_pattern));
        let regex = regex.map(|source| Pattern::regex(source, ignore_case).map_err(bad_pattern));
        let patterns = literal.into_iter().chain(regex).collect::<PyResult<Vec<_>>>()?;
        Ok(Filter(Arc::new(CoreFilter { since_ns, until_ns, levels, patterns, invert })))
    }
}

/// Scanned records of one source, not yet merged.
#[pyclass(module = "logflume._core")]
pub struct Batch {
    core: Option<CoreBatch<Block>>,
    records: usize,
    bytes: usize,
    timed: bool,
}

impl Batch {
    fn new(core: CoreBatch<Block>) -> Self {
        Batch {
            records: core.records().len(),
            bytes: core.held_bytes(),
            timed: core.floor != UNTIMED,
            core: Some(core),
        }
    }
}

#[pymethods]
impl Batch {
    /// Records in it.
    #[getter]
    fn records(&self) -> usize {
        self.records
    }

    /// Bytes it holds in memory.
    #[getter]
    fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether its source has had a time by its end.
    #[getter]
    fn timed(&self) -> bool {
        self.timed
    }
}

/// Splits one source into timed records.
#[pyclass(module = "logflume._core")]
pub struct Scanner(CoreScanner);

#[pymethods]
impl Scanner {
    #[pyo3(signature = (block, came=Vec::new()))]
    fn scan(&mut self, py: Python<'_>, block: Block, came: Vec<(u32, i64)>) -> PyResult<Batch> {
        let block = checked(block)?;
        self.0.came(came);
        Ok(Batch::new(py.detach(|| self.0.scan(block))))
    }

    fn prescanner(&self) -> Prescanner {
        Prescanner(self.0.prescanner())
    }

    #[pyo3(signature = (prescan, came=Vec::new()))]
    fn scan_prescanned(&mut self, py: Python<'_>, prescan: &mut Prescan, came: Vec<(u32, i64)>) -> PyResult<Batch> {
        self.0.came(came);
        let Some(prescan) = prescan.0.take() else {
            return Err(PyValueError::new_err("this block has been taken already"));
        };
        Ok(Batch::new(py.detach(|| self.0.scan_prescanned(prescan))))
    }

    fn finish(&mut self, py: Python<'_>) -> Batch {
        Batch::new(py.detach(|| self.0.finish()))
    }

    fn flush(&mut self, py: Python<'_>) -> Batch {
        Batch::new(py.detach(|| self.0.flush()))
    }
}

/// Scans blocks of one source before those before them are.
#[pyclass(module = "logflume._core", frozen)]
pub struct Prescanner(CorePrescanner);

#[pymethods]
impl Prescanner {
    fn prescan(&self, py: Python<'_>, block: Block) -> PyResult<Prescan> {
        let block = checked(block)?;
        Ok(Prescan(Some(py.detach(|| self.0.prescan(block)))))
    }
}

/// A block scanned on its own.
#[pyclass(module = "logflume._core")]
pub struct Prescan(Option<CorePrescan<Block>>);

/// Merges n sources by time.
#[pyclass(module = "logflume._core", frozen)]
pub struct Merger {
    // Not for waiting: one thread uses a merger at a time. The lock keeps a mistake from being worse
    // than slow, and lets `stats` be asked for from another thread.
    core: Mutex<CoreMerger<Block>>,
    /// Its index entries are of as many sources as it began with.
    is_indexed: bool,
}

impl Merger {
    fn lock(&self) -> MutexGuard<'_, CoreMerger<Block>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For what takes less time than letting go of the interpreter and getting it back.
    fn lock_briefly(&self, py: Python<'_>) -> MutexGuard<'_, CoreMerger<Block>> {
        loop {
            match self.core.try_lock() {
                Ok(core) => return core,
                Err(TryLockError::Poisoned(core)) => return core.into_inner(),
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.lock())),
            }
        }
    }

    /// The same, if there is such a source.
    fn lock_with(&self, py: Python<'_>, source: usize) -> PyResult<MutexGuard<'_, CoreMerger<Block>>> {
        let core = self.lock_briefly(py);
        let sources = core.sources();
        if source >= sources {
            return Err(PyValueError::new_err(format!("there is no source {source}: it has {sources}")));
        }
        Ok(core)
    }
}

#[pymethods]
impl Merger {
    #[new]
    #[pyo3(signature = (n_sources, *, output=0, dedup=true, filter=None, zone="UTC", time_format=None,
        reference_ns=0, levels=false, max_record_bytes=1 << 20, index_every_bytes=0, numbers=false))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        n_sources: usize,
        output: u8,
        dedup: bool,
        filter: Option<&Filter>,
        zone: &str,
        time_format: Option<String>,
        reference_ns: i64,
        levels: bool,
        max_record_bytes: usize,
        index_every_bytes: u64,
        numbers: bool,
    ) -> PyResult<Self> {
        let output = match output {
            0 => Output::Ndjson,
            1 => Output::Text,
            2 => Output::Nothing,
            _ => return Err(PyValueError::new_err("output is 0 (NDJSON), 1 (TEXT) or 2 (NONE)")),
        };
        let scan = Settings {
            stamps: stamp::Settings { zone: zone.to_owned(), time_format, reference_ns },
            filter: filter.map(|filter| Arc::clone(&filter.0)),
            levels,
            json: false,
            max_record_bytes: max_record_bytes.clamp(16, MAX_BLOCK_BYTES),
            keep_hidden: numbers,
            outline: false,
        };
        let core = CoreMerger::new(n_sources, Options { output, dedup, scan, index_every_bytes, numbers })
            .map_err(|error| bad_format(&error))?;
        Ok(Merger { core: Mutex::new(core), is_indexed: index_every_bytes > 0 })
    }

    fn add(&self, py: Python<'_>) -> PyResult<usize> {
        if self.is_indexed {
            return Err(PyRuntimeError::new_err("while index entries are made, no source can be added"));
        }
        self.lock_briefly(py).add().map_err(|error| bad_format(&error))
    }

    fn scanner(&self, py: Python<'_>, source: usize) -> PyResult<Scanner> {
        let scanner = self.lock_with(py, source)?.scanner(source);
        scanner.map(Scanner).ok_or_else(|| PyRuntimeError::new_err("the scanner of this source is out already"))
    }

    fn resume(&self, py: Python<'_>, source: usize, floor_ns: i64) -> PyResult<()> {
        self.lock_with(py, source)?.resume(source, floor_ns);
        Ok(())
    }

    fn date(&self, py: Python<'_>, source: usize, until: u64, latest_ns: i64) -> PyResult<()> {
        self.lock_with(py, source)?.date(source, until, latest_ns);
        Ok(())
    }

    #[getter]
    fn owes_newline(&self, py: Python<'_>) -> Option<usize> {
        self.lock_briefly(py).owes_newline()
    }

    fn owe_newline(&self, py: Python<'_>, source: usize) -> PyResult<()> {
        self.lock_with(py, source)?.owe_newline(source);
        Ok(())
    }

    #[pyo3(signature = (source, block, came=Vec::new()))]
    fn feed(&self, py: Python<'_>, source: usize, block: Block, came: Vec<(u32, i64)>) -> PyResult<()> {
        self.lock_with(py, source)?.came(source, came);
        let block = checked(block)?;
        py.detach(|| self.lock().feed(source, block));
        Ok(())
    }

    fn push(&self, py: Python<'_>, source: usize, batch: &mut Batch) -> PyResult<()> {
        let mut core = self.lock_with(py, source)?;
        let Some(batch) = batch.core.take() else {
            return Err(PyValueError::new_err("this batch has been pushed already"));
        };
        core.push(source, batch);
        Ok(())
    }

    fn finish(&self, py: Python<'_>, source: usize) -> PyResult<()> {
        drop(self.lock_with(py, source)?);
        py.detach(|| self.lock().finish(source));
        Ok(())
    }

    fn idle(&self, py: Python<'_>, source: usize) -> PyResult<()> {
        drop(self.lock_with(py, source)?);
        py.detach(|| self.lock().idle(source));
        Ok(())
    }

    fn wanted(&self, py: Python<'_>) -> Vec<usize> {
        self.lock_briefly(py).wanted()
    }

    fn take<'py>(&self, py: Python<'py>, max_bytes: usize) -> Bound<'py, PyBytes> {
        py.detach(|| {
            self.lock().take(max_bytes);
        });
        PyBytes::new(py, self.lock().taken())
    }

    #[getter]
    fn resumable(&self, py: Python<'_>) -> bool {
        self.lock_briefly(py).resumable()
    }

    #[getter]
    fn done(&self, py: Python<'_>) -> bool {
        self.lock_briefly(py).done()
    }

    fn positions(&self, py: Python<'_>) -> Vec<u64> {
        self.lock_briefly(py).positions()
    }

    fn floors(&self, py: Python<'_>) -> Vec<i64> {
        self.lock_briefly(py).floors()
    }

    fn take_told(&self, py: Python<'_>) -> Vec<ToldOf> {
        let told = self.lock_briefly(py).take_told();
        told.iter().map(|each| (each.line, each.ts, each.level, each.source, each.lines, each.goes_on)).collect()
    }

    fn take_marks<'py>(&self, py: Python<'py>) -> Vec<MarkOf<'py>> {
        let marks = self.lock_briefly(py).take_marks();
        let rows = marks.iter().map(|mark| {
            let title = PyBytes::new(py, &mark.sign.title);
            (mark.line, mark.ts, mark.errors, mark.source, mark.sign.kind as u8, mark.sign.escaped, title)
        });
        rows.collect()
    }

    fn hide(&self, py: Python<'_>, source: usize) -> PyResult<()> {
        self.lock_with(py, source)?.hide(source);
        Ok(())
    }

    #[getter]
    fn lines(&self, py: Python<'_>) -> u64 {
        self.lock_briefly(py).lines()
    }

    fn mark_index(&self, py: Python<'_>) {
        self.lock_briefly(py).mark_index();
    }

    fn take_index<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let entries = py.detach(|| self.lock().take_index());
        PyBytes::new(py, &entries)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (given, overflow, each) = py.detach(|| {
            let core = self.lock();
            let each: Vec<Counts> = (0..core.sources()).map(|source| *core.counts(source)).collect();
            (core.given(), core.dedup_overflow(), each)
        });
        let mut sum = Counts::default();
        each.iter().for_each(|counts| sum.add(counts));
        let stats = counted(py, &sum)?;
        stats.set_item("records_out", given.records)?;
        stats.set_item("lines_out", given.lines)?;
        stats.set_item("bytes_out", given.bytes)?;
        stats.set_item("source_bytes_out", given.source_bytes)?;
        stats.set_item("duplicates", given.duplicates)?;
        stats.set_item("dedup_overflow", overflow)?;
        let sources = each.iter().map(|counts| counted(py, counts)).collect::<PyResult<Vec<_>>>()?;
        stats.set_item("sources", sources)?;
        Ok(stats)
    }
}

fn counted<'py>(py: Python<'py>, counts: &Counts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("bytes", counts.bytes)?;
    dict.set_item("records", counts.records)?;
    dict.set_item("lines", counts.lines)?;
    dict.set_item("late", counts.late)?;
    dict.set_item("filtered", counts.filtered)?;
    dict.set_item("pieces", counts.pieces)?;
    dict.set_item("levels", counts.levels.to_vec())?;
    dict.set_item("first_ns", counts.first_ns)?;
    dict.set_item("last_ns", counts.last_ns)?;
    Ok(dict)
}
