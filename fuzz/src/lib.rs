//! What the targets share: each runs one reader of `wgpu_lstm::testing::read` on bytes.

pub use libfuzzer_sys;

use wgpu_lstm::testing::read::{READERS, Reader};

/// The reader of this name.
pub fn reader(name: &str) -> Reader {
    let found = READERS.iter().find(|(reader, _)| *reader == name);
    found.unwrap_or_else(|| panic!("no reader is called {name:?}")).1
}

/// A target for the reader of this name: any result will do, but no panic, no abort, and no end of memory.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        static READER: std::sync::LazyLock<wgpu_lstm::testing::read::Reader> =
            std::sync::LazyLock::new(|| $crate::reader($name));

        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            let _ = READER(bytes);
        });
    };
}
