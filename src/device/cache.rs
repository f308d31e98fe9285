//! What is kept on disk between two runs of a program: compiled pipelines here, and what was
//! learned of a device in `verdicts.rs`.
//!
//! No run depends on it. A file that is missing, damaged, of another driver, or that cannot be
//! written is logged and done without.

use super::adapter::GpuOptions;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that names the folder for what is kept on disk; `off` keeps nothing.
pub const CACHE_VARIABLE: &str = "WGPU_LSTM_CACHE";

/// Where a device keeps what it learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Cache {
    /// Where the environment variable says, else in the user's folder for caches. Nowhere for
    /// devices whose options are for tests.
    #[default]
    Environment,
    Off,
    At(PathBuf),
}

/// The folder for `options`, which may not exist yet.
pub(super) fn folder(options: &GpuOptions) -> Option<PathBuf> {
    match &options.cache {
        Cache::Off => None,
        Cache::At(folder) => Some(folder.clone()),
        // These are to run alike everywhere, whatever was learned on the machine.
        Cache::Environment if options.portable || options.checked || options.poison => None,
        Cache::Environment => match std::env::var_os(CACHE_VARIABLE) {
            Some(folder) if folder == "off" => None,
            Some(folder) if !folder.is_empty() => Some(folder.into()),
            _ => of_the_user(),
        },
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn of_the_user() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(strategy.cache_dir().join("wgpu-lstm"))
}

#[cfg(target_arch = "wasm32")]
fn of_the_user() -> Option<PathBuf> {
    None
}

/// FNV-1a: the same on every platform and in every version, unlike the standard library's.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The bytes of a file, if there is one.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            log::info!("{} is not used: {error}", path.display());
            None
        }
    }
}

/// Replaces a file at once: whoever reads it meanwhile gets the old bytes or the new ones. Returns
/// whether it could be written.
pub(super) fn write(path: &Path, bytes: &[u8]) -> bool {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let new = path.with_extension(format!("{}-{number}.new", std::process::id()));
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&new, bytes))
        .and_then(|()| std::fs::rename(&new, path));
    if let Err(error) = &written {
        log::info!("{} is not kept: {error}", path.display());
        // It may not be there at all.
        let _ = std::fs::remove_file(&new);
    }
    written.is_ok()
}

/// Begins each file of pipelines; then come the hash of the rest, and the rest.
const MAGIC: &[u8; 8] = b"WLSTMPC1";
/// Past this a file is begun anew: it holds the kernels of many versions.
const LARGEST: usize = 256 << 20;

/// wgpu's cache of compiled pipelines, and its file.
pub(super) struct PipelineCache {
    pub(super) cache: wgpu::PipelineCache,
    file: PathBuf,
    /// The pipelines that the device had made when the file was last written, and the hash of its
    /// content.
    saved: std::sync::Mutex<(u64, u64)>,
}

impl PipelineCache {
    /// With what its file holds; none where the API keeps pipelines by itself.
    pub(super) fn open(
        device: &wgpu::Device,
        info: &wgpu::AdapterInfo,
        folder: &Path,
    ) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let key = wgpu::util::pipeline_cache_key(info)?;
        let driver = format!("{} {} {}", info.name, info.driver, info.driver_info);
        let file = folder.join(format!("{key}_{:016x}.pipelines", hash(driver.as_bytes())));
        let data = read(&file).and_then(|bytes| match unpack(&bytes) {
            Some(data) => Some(data.to_vec()),
            None => {
                log::warn!("{} is damaged and not used", file.display());
                None
            }
        });
        // SAFETY: the data must come from `PipelineCache::get_data`. Only `save` writes files of
        // this name, with the hash of what `get_data` returned, so what was cut off or damaged
        // since is refused above. wgpu compares the header with the adapter and the driver, and
        // the driver its own with itself; with `fallback`, what is of another is left out. Whoever
        // could forge a file in the user's folder for caches can run programs as this user.
        let cache = unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: Some("wgpu-lstm"),
                data: data.as_deref(),
                fallback: true,
            })
        };
        let saved = (0, data.map_or(0, |data| hash(&data))).into();
        Some(Self { cache, file, saved })
    }

    /// Writes the file, if pipelines were made since it was written.
    pub(super) fn save(&self, pipelines: u64) {
        let mut saved = super::gpu::lock(&self.saved);
        if saved.0 == pipelines {
            return;
        }
        saved.0 = pipelines;
        let Some(data) = self.cache.get_data() else { return };
        let hash = hash(&data);
        if saved.1 != hash && data.len() <= LARGEST {
            saved.1 = hash;
            write(&self.file, &pack(&data));
        }
    }
}

fn pack(data: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), &hash(data).to_le_bytes(), data].concat()
}

fn unpack(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, data) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    (data.len() <= LARGEST && hash(data) == u64::from_le_bytes(*sum)).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_refused() {
        let data: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        let packed = pack(&data);
        assert_eq!(unpack(&packed), Some(&data[..]));
        assert_eq!(unpack(&pack(&[])), Some(&[][..]));
        for at in 0..packed.len() {
            let mut bad = packed.clone();
            bad[at] ^= 1 << (at % 8);
            assert_eq!(unpack(&bad), None, "byte {at} differs");
            assert_eq!(unpack(&packed[..at]), None, "cut off at {at}");
        }
        assert_eq!(unpack(&[&packed[..], &[0]].concat()), None);
    }

    #[test]
    fn devices_for_tests_keep_nothing_unless_told() {
        let at = |options: GpuOptions| folder(&options);
        assert_eq!(at(GpuOptions::default().portable()), None);
        assert_eq!(at(GpuOptions::default().checked()), None);
        assert_eq!(at(GpuOptions::default().poison()), None);
        assert_eq!(at(GpuOptions::default().no_cache()), None);
        assert_eq!(at(GpuOptions::default().portable().cache("a/b")), Some("a/b".into()));
    }

    #[test]
    fn a_file_is_replaced_at_once() {
        let folder = std::env::temp_dir().join(format!("wgpu-lstm-write-{}", std::process::id()));
        let path = folder.join("deeper").join("file");
        std::thread::scope(|scope| {
            for byte in 0..4u8 {
                let path = &path;
                scope.spawn(move || (0..50).for_each(|_| assert!(write(path, &[byte; 5000]))));
            }
            for _ in 0..200 {
                if let Some(bytes) = read(&path) {
                    assert!(bytes.len() == 5000 && bytes.iter().all(|b| *b == bytes[0]));
                }
            }
        });
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "files are left");
        // A file where a folder should be: nothing is kept, and nothing panics.
        assert!(!write(&path.join("file"), &[1]));
        assert_eq!(read(&path.join("file")), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
