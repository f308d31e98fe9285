//! The folder `shaders/` against the kernels: nothing in it is dead, and who knows a kernel's name finds
//! its file.

use crate::ops::every_kernel;
use std::collections::BTreeSet;
use std::path::Path;

/// The files below a folder, by their paths from `shaders/` on.
fn files(folder: &Path, found: &mut BTreeSet<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let path = folder.join(entry.as_ref().unwrap().file_name());
        if entry.unwrap().file_type().unwrap().is_dir() {
            files(&path, found);
        } else {
            found.insert(path.to_str().unwrap().replace('\\', "/"));
        }
    }
}

#[test]
fn every_shader_is_part_of_a_kernel() {
    let mut there = BTreeSet::new();
    files(Path::new(""), &mut there);
    let used: BTreeSet<_> = every_kernel().flat_map(|k| k.files()).map(str::to_owned).collect();
    let dead: Vec<_> = there.difference(&used).collect();
    assert!(dead.is_empty(), "no kernel is made of {dead:?}");
    let gone: Vec<_> = used.difference(&there).collect();
    assert!(gone.is_empty(), "not in shaders/: {gone:?}");
}

#[test]
fn kernels_are_called_as_their_files() {
    for kernel in every_kernel() {
        let mut stems =
            kernel.files().filter_map(|path| path.rsplit('/').next()?.split('.').next());
        // Behind the file's name is what tells its kernels apart.
        let named = |stem: &str| {
            kernel
                .name
                .strip_prefix(stem)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        assert!(stems.any(named), "no file of {} has its name", kernel.name);
        let mut files = BTreeSet::new();
        assert!(kernel.files().all(|file| files.insert(file)), "{} has a part twice", kernel.name);
    }
}
