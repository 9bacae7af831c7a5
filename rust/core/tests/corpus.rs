//! What the fuzzer was given and has found, as ordinary tests: each input of `rust/fuzz/corpus` keeps every promise.

#[path = "../../fuzz/src/lib.rs"]
mod checks;

use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn any_filter() {
    check_all("filter", checks::filter::check);
}

#[test]
fn any_index() {
    check_all("index", checks::index::check);
}

#[test]
fn any_json() {
    check_all("json", checks::json::check);
}

#[test]
fn any_merge() {
    check_all("merge", checks::merge::check);
}

#[test]
fn any_time() {
    check_all("stamp", checks::stamp::check);
}

fn check_all(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let inputs = std::fs::read_dir(&folder).expect("the corpus is there").map(|entry| entry.expect("a file").path());
    let mut checked = 0;
    for path in inputs {
        let input = std::fs::read(&path).expect("a file");
        assert!(catch_unwind(|| check(&input)).is_ok(), "a promise is broken for {}", path.display());
        checked += 1;
    }
    assert!(checked > 0, "no input in {}", folder.display());
}
