//! Writing of a file, whole or not at all: that of safetensors, and others.
//!
//! The order of the steps is what keeps the old file until the new one is whole, even if the process is
//! killed or the power fails between any two of them:
//!
//! 1. All bytes go to a new file beside the old one, in the same folder and so on the same file system. The
//!    old file is not touched: a failure up to here leaves it as it was.
//! 2. The new file is synchronised. A file system may otherwise store the new name before the bytes, and after
//!    a power failure the name would belong to an empty file.
//! 3. The new file is renamed to the old one's name. That is atomic: the name is the old file's or the new
//!    one's, both of them whole.
//! 4. The folder is synchronised, so that a power failure does not bring back the old file after the caller was
//!    told that the new one is there.
//!
//! An error before the third step removes the new file. A process that is killed leaves it behind; nothing
//! reads it, and no later process takes its name. A later write of the same name removes it, where `/proc` tells
//! that its process is gone, once it is an hour old: a process of another machine or container, which shares the
//! folder and which `/proc` does not show, is not that slow.

use super::header::Header;
use super::{io, regular};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Takes values of a tensor, in their order.
pub(crate) type Sink<'a> = dyn FnMut(&[f32]) -> Result<()> + 'a;

/// A tensor that is to be written.
pub(crate) struct Entry<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Hands on the values, part by part.
    pub(crate) values: Values<'a>,
}

pub(crate) type Values<'a> = Box<dyn FnOnce(&mut Sink<'_>) -> Result<()> + 'a>;

impl Entry<'_> {
    /// Hands on the values, never more than the shape says.
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer, and those of `to` and of the values.
    pub(crate) fn hand_on(self, to: &mut Sink<'_>) -> Result<()> {
        let Self { shape, values, .. } = self;
        let expected = shape.iter().product();
        let (mut left, mut found) = (expected, 0);
        values(&mut |part| {
            found += part.len();
            let part = &part[..part.len().min(left)];
            left -= part.len();
            to(part)
        })?;
        match found == expected {
            true => Ok(()),
            false => Err(Error::Count { op: "save", shape, expected, found }),
        }
    }
}

/// Writes texts and tensors. After an error the file is what it was before.
pub(crate) fn write(
    path: &Path,
    texts: &BTreeMap<String, String>,
    entries: Vec<Entry<'_>>,
) -> Result<()> {
    let tensors = entries.iter().map(|entry| (&entry.name[..], &entry.shape[..]));
    let header = Header::bytes(texts, tensors).map_err(|error| io("write", path, error))?;
    replace(path, &header, |file| write_values(file, path, entries))
}

/// Writes a header and what `rest` writes behind it. After an error the file is what it was before. Folders that
/// are missing are made.
pub(crate) fn replace(
    path: &Path,
    header: &[u8],
    rest: impl FnOnce(&File) -> Result<()>,
) -> Result<()> {
    let failed = |error| io("write", path, error);
    // What a link names is replaced, not the link; a file keeps its permissions.
    let target = path.canonicalize().unwrap_or_else(|_| path.into());
    let before = std::fs::metadata(&target).ok();
    if let Some(before) = &before {
        regular(before).map_err(failed)?;
    }
    if let Some(folder) = target.parent() {
        // What is wrong with it the file's own error says.
        let _ = std::fs::create_dir_all(folder);
    }
    let mut new = New::beside(&target).map_err(failed)?;
    if let Some(before) = before {
        new.file.set_permissions(before.permissions()).map_err(failed)?;
    }
    new.file.write_all(header).map_err(failed)?;
    rest(&new.file)?;
    new.file.sync_all().map_err(failed)?;
    new.rename(&target).map_err(failed)
}

/// The bytes after which a disk begins to store them, while the next ones are put in order: so the
/// synchronisation at the end finds little left.
const AHEAD: usize = 16 << 20;

fn write_values(file: &File, path: &Path, entries: Vec<Entry<'_>>) -> Result<()> {
    std::thread::scope(|scope| {
        let (begin, begun) = mpsc::sync_channel::<()>(1);
        // A system tells an error of the disk once: to this call, and not to the one at the end.
        let store = move || begun.into_iter().try_for_each(|()| file.sync_data());
        // Without a thread all is stored at the end. This one ends when `begin` is dropped.
        let storing = std::thread::Builder::new().spawn_scoped(scope, store);
        let mut ahead = 0;
        for entry in entries {
            entry.hand_on(&mut |part| {
                write_floats(file, part).map_err(|error| io("write", path, error))?;
                ahead += size_of_val(part);
                if ahead >= AHEAD && storing.is_ok() && begin.try_send(()).is_ok() {
                    ahead = 0;
                }
                Ok(())
            })?;
        }
        drop(begin);
        match storing.map(|thread| thread.join()) {
            Ok(Ok(Err(error))) => Err(io("write", path, error)),
            _ => Ok(()),
        }
    })
}

/// Writes the values in the order of bytes that the format has.
pub(crate) fn write_floats(mut file: &File, values: &[f32]) -> std::io::Result<()> {
    if cfg!(target_endian = "little") {
        return file.write_all(bytemuck::cast_slice(values));
    }
    values.chunks(1 << 16).try_for_each(|part| {
        let bytes: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
        file.write_all(&bytes)
    })
}

/// A file that is being written, and removed unless it gets its name.
struct New {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl New {
    /// A new file in the folder of `target`: `.name.PROCESS-NUMBER.new`.
    fn beside(target: &Path) -> std::io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let mut name = OsString::from(".");
            name.push(target.file_name().ok_or(ErrorKind::IsADirectory)?);
            name.push(format!(".{}-{number}.new", std::process::id()));
            let path = target.with_file_name(name);
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { file, path, renamed: false }),
                // Left by a process of the same number, or that of another machine: not ours to take.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(mut self, target: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.renamed = true;
        remove_left(target);
        sync_folder(target)
    }
}

/// The age from which a file of a process that is gone is removed.
const OLD: Duration = Duration::from_secs(60 * 60);

/// Removes what killed processes left of this target. What cannot be removed stays, without an error: the
/// target was written.
fn remove_left(target: &Path) {
    let processes = Path::new("/proc");
    let name = target.file_name().and_then(OsStr::to_str);
    // Where there is no such folder, or another's, all processes would seem to be gone.
    let (Some(name), true) = (name, processes.join(std::process::id().to_string()).exists()) else {
        return;
    };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    for file in std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten()
    {
        let left = file.file_name();
        let process = left.to_str().and_then(|left| {
            let numbers = left.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.')?;
            let (process, number) = numbers.strip_suffix(".new")?.split_once('-')?;
            number.parse::<u64>().ok()?;
            process.parse::<u32>().ok()
        });
        let gone =
            |process: u32| matches!(processes.join(process.to_string()).try_exists(), Ok(false));
        let old = || {
            let changed = file.metadata().ok().filter(|found| found.is_file())?.modified().ok()?;
            Some(changed.elapsed().ok()? >= OLD)
        };
        if process.is_some_and(gone) && old() == Some(true) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.renamed {
            // The error that brought us here is the one to tell.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Synchronises the folder of a file, where folders can be opened.
#[cfg(unix)]
fn sync_folder(target: &Path) -> std::io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    match File::open(folder.unwrap_or(Path::new(".")))?.sync_all() {
        // A file system that cannot: the file has its name all the same.
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("wgpu-lstm-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn entry(name: &str, values: Vec<f32>, fails: bool) -> Entry<'static> {
        let shape = vec![values.len()];
        let values = Box::new(move |sink: &mut Sink<'_>| {
            sink(&values)?;
            if fails { Err(Error::custom("no more")) } else { Ok(()) }
        });
        Entry { name: name.into(), shape, values }
    }

    fn files(folder: &Path) -> Vec<OsString> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = folder("fails");
        let path = folder.join("m.safetensors");
        write(&path, &BTreeMap::new(), vec![entry("a", vec![1.0, 2.0], false)]).unwrap();
        let before = std::fs::read(&path).unwrap();
        let part = vec![entry("a", vec![5.0; 10_000], false), entry("b", vec![1.0], true)];
        assert_eq!(write(&path, &BTreeMap::new(), part).unwrap_err().to_string(), "no more");
        let mut short = entry("a", vec![1.0], false);
        short.shape = vec![2];
        let error = write(&path, &BTreeMap::new(), vec![short]).unwrap_err();
        assert!(matches!(error, Error::Count { expected: 2, found: 1, .. }), "{error}");
        let mut long = entry("a", vec![1.0; 9], false);
        long.shape = vec![2];
        let error = write(&path, &BTreeMap::new(), vec![long]).unwrap_err();
        assert!(matches!(error, Error::Count { expected: 2, found: 9, .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(files(&folder), ["m.safetensors"]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_a_killed_process_left_does_not_disturb() {
        let folder = folder("killed");
        let path = folder.join("m.safetensors");
        // Those of a process with our own number, from the next name on: other tests count on, too.
        let next = New::beside(&path).unwrap().path.clone();
        let text = next.to_str().unwrap();
        let number: u64 = text.rsplit_once('-').unwrap().1.replace(".new", "").parse().unwrap();
        let stem = text.rsplit_once('-').unwrap().0;
        let left: Vec<_> = (number..number + 50).map(|n| format!("{stem}-{n}.new")).collect();
        left.iter().for_each(|path| std::fs::write(path, "part").unwrap());
        write(&path, &BTreeMap::new(), vec![entry("a", vec![7.0], false)]).unwrap();
        assert_eq!(crate::file::Reader::open(&path).unwrap().values("a").unwrap(), [7.0]);
        for path in left {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "part");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_killed_process_left_is_removed_once_it_is_old() {
        let folder = folder("left");
        let path = folder.join("m");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let (gone, own) = (child.id(), std::process::id());
        child.wait().unwrap();
        let old = std::time::SystemTime::now() - 2 * OLD;
        let make = |name: String, old: Option<std::time::SystemTime>| {
            let file = File::create(folder.join(&name)).unwrap();
            if let Some(old) = old {
                file.set_modified(old).unwrap();
            }
            name
        };
        let left = [
            make(format!(".m.{gone}-0.new"), Some(old)),
            make(format!(".m.{gone}-17.new"), Some(old)),
        ];
        let mut stay = vec![
            // Of a living process, of our own, and of one that another machine may have.
            make(".m.1-0.new".into(), Some(old)),
            make(format!(".m.{own}-999999.new"), Some(old)),
            make(format!(".m.{gone}-1.new"), None),
            // Other files.
            make(format!(".n.{gone}-0.new"), Some(old)),
            make(format!(".m.{gone}-x.new"), Some(old)),
            make(format!("m.{gone}-0.new"), Some(old)),
            make(format!(".m.{gone}-0"), Some(old)),
        ];
        std::fs::create_dir(folder.join(format!(".m.{gone}-2.new"))).unwrap();
        stay.extend(["m".into(), format!(".m.{gone}-2.new")]);
        // A write that fails removes nothing but its own.
        write(&path, &BTreeMap::new(), vec![entry("a", vec![7.0], true)]).unwrap_err();
        assert!(left.iter().all(|name| folder.join(name).exists()));
        write(&path, &BTreeMap::new(), vec![entry("a", vec![7.0], false)]).unwrap();
        let mut found: Vec<_> =
            files(&folder).iter().map(|f| f.to_str().unwrap().to_owned()).collect();
        found.sort();
        stay.sort();
        assert_eq!(found, stay);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one_and_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder("link");
        let (path, link) = (folder.join("m"), folder.join("latest"));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("m", &link).unwrap();
        write(&link, &BTreeMap::new(), vec![entry("a", vec![7.0], false)]).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(crate::file::Reader::open(&path).unwrap().values("a").unwrap(), [7.0]);
        let error = write(&folder, &BTreeMap::new(), vec![]).unwrap_err();
        assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
