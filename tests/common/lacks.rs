//! What some adapters lack, and the tests that are not reached there: they say so, and where it is demanded
//! that they run they fail.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

/// The environment variable that demands some of [`WORDS`], with commas between them.
pub(crate) const REQUIRE_VARIABLE: &str = "WGPU_LSTM_TEST_REQUIRE";

/// What a test may need: `tests/README.md` says of each what it is.
const WORDS: [&str; 6] = ["f16", "subgroup8", "cooperative", "wide", "vulkan", "software"];

/// Whether the adapter lacks what a test needs, so that it, or this part of it, ends here: `has` says
/// whether it is there. Fails if [`REQUIRE_VARIABLE`] demands it, else tells standard error, once a test.
#[track_caller]
pub(crate) fn lacks(what: &'static str, has: bool) -> bool {
    assert!(WORDS.contains(&what), "{what:?} is none of {WORDS:?}");
    let demanded = demanded();
    if has {
        return false;
    }
    let thread = std::thread::current();
    // Of the test's name, unless tests run one at a time, on the main thread.
    let test = match thread.name().filter(|name| *name != "main") {
        Some(name) => name.to_owned(),
        None => Location::caller().to_string(),
    };
    let fails = demanded.iter().any(|word| word == what);
    assert!(!fails, "not reached: {test}: {what}, which {REQUIRE_VARIABLE} demands");
    static TOLD: Mutex<BTreeSet<(String, &str)>> = Mutex::new(BTreeSet::new());
    let new = TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert((test.clone(), what));
    if new {
        // Past the test runner, which keeps to itself what a test that passes prints.
        let _ = writeln!(std::io::stderr(), "not reached: {test}: {what}");
    }
    true
}

/// The words that are demanded.
fn demanded() -> Vec<String> {
    let Some(value) = std::env::var_os(REQUIRE_VARIABLE) else { return Vec::new() };
    let value = value.into_string().unwrap_or_else(|v| panic!("{REQUIRE_VARIABLE} is {v:?}"));
    let words = value.split(',').map(|word| word.trim().to_owned());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    for word in &words {
        // A word that nobody knows would demand nothing.
        assert!(WORDS.contains(&&word[..]), "{REQUIRE_VARIABLE}: {word:?} is none of {WORDS:?}");
    }
    words
}
