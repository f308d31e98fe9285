//! What is kept on disk between two runs of a program: compiled pipelines here, trust and autotuning
//! in `learned.rs`.
//!
//! No run depends on it. A file that is missing, damaged, too large, not a regular file, of another driver,
//! locked by another process, or that cannot be written is logged and not used.

use crate::device::lock;
use crate::device::options::{CACHE_VARIABLE, Cache, GpuOptions};
use std::ffi::OsString;
use std::fs::{File, Metadata, TryLockError};
use std::io::{Error, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The folder for `options`, which may not exist yet; `None` if nothing is to be read or written, as without
/// the feature `cache`.
pub(super) fn folder(options: &GpuOptions) -> Option<PathBuf> {
    if !cfg!(feature = "cache") {
        if let Cache::At(folder) = &options.cache {
            log::info!("{} is not used: built without the feature `cache`", folder.display());
        }
        return None;
    }
    match &options.cache {
        Cache::Off => None,
        Cache::At(folder) => Some(folder.clone()),
        // These must run the same everywhere, whatever was learned on the machine.
        Cache::Environment if options.portable || options.checked || options.poison => None,
        Cache::Environment => by_variable(std::env::var_os(CACHE_VARIABLE)),
    }
}

/// The folder that a value of the environment variable names.
fn by_variable(value: Option<OsString>) -> Option<PathBuf> {
    let Some(value) = value else { return of_the_user() };
    match value.to_str().map(str::trim) {
        Some("") => of_the_user(),
        Some(off)
            if ["off", "0", "no", "none", "false"]
                .iter()
                .any(|no| off.eq_ignore_ascii_case(no)) =>
        {
            None
        }
        Some(folder) => Some(folder.into()),
        // A folder's name need not be UTF-8.
        None => Some(value.into()),
    }
}

#[cfg(all(feature = "cache", not(target_arch = "wasm32")))]
fn of_the_user() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(strategy.cache_dir().join("wgpu-lstm"))
}

#[cfg(any(not(feature = "cache"), target_arch = "wasm32"))]
fn of_the_user() -> Option<PathBuf> {
    None
}

/// The FNV-1a hash: the same on every platform and in every version, unlike the standard library's.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The bytes of a regular file, if there is one and it has at most `largest`.
pub(super) fn read(path: &Path, largest: u64) -> Option<Vec<u8>> {
    match read_regular(path, largest) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            log::info!("{} is not used: {error}", path.display());
            None
        }
    }
}

fn read_regular(path: &Path, largest: u64) -> std::io::Result<Vec<u8>> {
    let fits = |bytes: u64| {
        let error = || Error::other(format!("it has more than {largest} bytes"));
        (bytes <= largest).then_some(()).ok_or_else(error)
    };
    // Opening a FIFO waits for a writer, so the kind is checked before; and again after opening, since
    // another file may have taken the name meanwhile.
    let before = std::fs::metadata(path)?;
    regular(&before)?;
    fits(before.len())?;
    let file = File::open(path)?;
    let opened = file.metadata()?;
    regular(&opened)?;
    fits(opened.len())?;
    // A file can grow while it is read, and some virtual files have more bytes than they report.
    let mut bytes = Vec::new();
    file.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    fits(bytes.len() as u64)?;
    Ok(bytes)
}

/// An error for FIFOs, devices, folders and links to them, whose content may block or never end.
fn regular(found: &Metadata) -> std::io::Result<()> {
    found.is_file().then_some(()).ok_or_else(|| Error::other("it is no regular file"))
}

/// The number of tries for a lock that another process holds, and the time between: one second in all.
/// The holder only reads and writes a small file, so a longer wait means a stopped process or a file
/// system that does not answer.
const TRIES: usize = 100;
const BETWEEN: Duration = Duration::from_millis(10);

/// Locks a file until the returned handle is dropped. The error has the kind `WouldBlock` if another
/// process keeps the lock.
pub(super) fn lock_file(path: &Path) -> std::io::Result<File> {
    // Opening a FIFO for writing would block, too.
    if let Ok(found) = std::fs::metadata(path) {
        regular(&found)?;
    }
    // The file is not truncated, since a link may lead anywhere.
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(ErrorKind::WouldBlock.into())
}

/// Replaces a file atomically: a reader gets the old bytes or the new ones. Returns whether it could be
/// written.
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
        // The file may not exist.
        let _ = std::fs::remove_file(&new);
    }
    written.is_ok()
}

/// The magic number of a file of pipelines; the hash of the data and the data follow.
const MAGIC: &[u8; 8] = b"WLSTMPC1";
/// The most bytes of data. A larger cache is not saved: it has the kernels of many versions.
const LARGEST: usize = 256 << 20;
/// The most bytes of a file, with magic number and hash.
const LARGEST_FILE: u64 = LARGEST as u64 + 16;

/// wgpu's cache of compiled pipelines, and its file.
pub(super) struct PipelineCache {
    pub(super) cache: wgpu::PipelineCache,
    file: PathBuf,
    /// The number of pipelines when the file was last written, and the hash of its content.
    saved: std::sync::Mutex<(u64, u64)>,
}

impl PipelineCache {
    /// Opens the cache with the content of its file; `None` where the API caches pipelines by itself.
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
        let data = read(&file, LARGEST_FILE).and_then(|bytes| match unpack(&bytes) {
            Some(data) => Some(data.to_vec()),
            None => {
                log::warn!("{} is damaged and not used", file.display());
                None
            }
        });
        // SAFETY: the data must come from `PipelineCache::get_data`. Only `save` writes files of
        // this name, with the hash of what `get_data` returned, so truncated or damaged files are
        // refused above. wgpu compares the header with the adapter and the driver, and the driver its
        // own header with itself; with `fallback`, data of another device is ignored. An attacker who
        // can forge a file in the user's cache folder can already run programs as this user.
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
        let mut saved = lock(&self.saved);
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

    #[cfg_attr(not(feature = "cache"), ignore = "needs the feature cache")]
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
    fn the_variable_names_a_folder_or_none() {
        for off in ["off", "OFF", "Off", " off ", "oFf\n", "0", "none", "False", "no"] {
            assert_eq!(by_variable(Some(off.into())), None, "{off:?}");
        }
        for unset in ["", " ", "\n"] {
            assert_eq!(by_variable(Some(unset.into())), of_the_user(), "{unset:?}");
        }
        assert_eq!(by_variable(None), of_the_user());
        assert_eq!(by_variable(Some(" a/b\n".into())), Some("a/b".into()));
        assert_eq!(by_variable(Some("offer".into())), Some("offer".into()));
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let path = std::env::temp_dir().join(format!("wgpu-lstm-large-{}", std::process::id()));
        std::fs::write(&path, [7u8; 1000]).unwrap();
        assert_eq!(read(&path, 1000), Some(vec![7; 1000]));
        assert_eq!(read(&path, 999), None);
        assert_eq!(read(&path, 0), None);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(read(&path, 0), Some(vec![]));
        // Twelve GiB of a hole. Not where a hole takes its room on the disk.
        if cfg!(target_os = "linux") {
            File::create(&path).unwrap().set_len(12 << 30).unwrap();
            assert_eq!(read(&path, LARGEST_FILE), None);
        }
        std::fs::remove_file(path).unwrap();
    }

    /// What `run` returns, or a panic if that takes a minute.
    #[cfg(unix)]
    fn in_time<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> R {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(run()));
        receiver.recv_timeout(Duration::from_secs(60)).expect("this was waited for")
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused() {
        let folder = std::env::temp_dir().join(format!("wgpu-lstm-kinds-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (fifo, to_fifo) = (folder.join("fifo"), folder.join("to_fifo"));
        let to_device = folder.join("to_device");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        std::os::unix::fs::symlink(&fifo, &to_fifo).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &to_device).unwrap();
        for path in [fifo, to_fifo, to_device, folder.clone()] {
            let (read_from, locked) = (path.clone(), path.clone());
            let found = in_time(move || read(&read_from, 1000));
            assert_eq!(found, None, "{}", path.display());
            let lock = in_time(move || lock_file(&locked).map(|_| ()));
            let kind = lock.map_err(|error| error.kind());
            assert!(kind.is_err_and(|k| k != ErrorKind::WouldBlock), "{}", path.display());
        }
        // A link to a file is as good as the file.
        let (file, to_file) = (folder.join("file"), folder.join("to_file"));
        std::fs::write(&file, b"text").unwrap();
        std::os::unix::fs::symlink(&file, &to_file).unwrap();
        assert_eq!(read(&to_file, 1000), Some(b"text".to_vec()));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_lock_is_waited_for_and_given_up() {
        let path = std::env::temp_dir().join(format!("wgpu-lstm-lock-{}", std::process::id()));
        std::fs::write(&path, b"text").unwrap();
        let held = lock_file(&path).unwrap();
        let refused = lock_file(&path).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::WouldBlock));
        drop(held);
        drop(lock_file(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"text", "what the file held is gone");
        std::fs::remove_file(path).unwrap();
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
                if let Some(bytes) = read(&path, 5000) {
                    assert!(bytes.len() == 5000 && bytes.iter().all(|b| *b == bytes[0]));
                }
            }
        });
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "files are left");
        // A file where a folder should be: nothing is kept, and nothing panics.
        assert!(!write(&path.join("file"), &[1]));
        assert_eq!(read(&path.join("file"), 5000), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
