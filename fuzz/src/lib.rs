//! What the targets share: each runs one reader of `wgpu_lstm::testing::read` on bytes.

pub use libfuzzer_sys;

use wgpu_lstm::testing::read::{READERS, Reader};

/// The reader of this name.
pub fn reader(name: &str) -> Reader {
    let found = READERS.iter().find(|(reader, _)| *reader == name);
    found.unwrap_or_else(|| panic!("no reader is called {name:?}")).1
}

/// A target for the reader of this name: any result will do, but no panic that leaves it, no abort, and no end of
/// memory.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::target!($name, ());
    };
    ($name:literal, $init:expr) => {
        static READER: std::sync::LazyLock<wgpu_lstm::testing::read::Reader> =
            std::sync::LazyLock::new(|| $crate::reader($name));

        $crate::libfuzzer_sys::fuzz_target!(init: $init, |bytes: &[u8]| {
            let _ = READER(bytes);
        });
    };
}

/// Lets a library panic where its caller catches that: libFuzzer's hook would end the process first. A panic that
/// nobody catches still does.
pub fn panics_are_caught() {
    std::panic::set_hook(Box::new(|_| {}));
}
