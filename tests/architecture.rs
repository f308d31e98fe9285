//! The layers of the crate: each module imports only what stands before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From the lowest to the highest, as ARCHITECTURE.md has them.
const ORDER: [&str; 14] = [
    "dtype", "error", "device", "tensor", "check", "lengths", "ops", "autograd", "loss", "nn",
    "data", "train", "testing", "lib",
];

/// What `lib.rs` hands on under a name of its own, and the module that has it.
const NAMES: [(&str, &str); 16] = [
    ("DType", "dtype"),
    ("Error", "error"),
    ("Result", "error"),
    ("Device", "device"),
    ("GpuOptions", "device"),
    ("Tensor", "tensor"),
    ("Lengths", "lengths"),
    ("Mask", "lengths"),
    ("Coupling", "ops"),
    ("GateActivation", "ops"),
    ("Strategy", "ops"),
    ("Gradients", "autograd"),
    ("Tape", "autograd"),
    ("Var", "autograd"),
    ("Sequential", "train"),
    ("kernel_tests", "lib"),
];

#[test]
fn modules_import_only_what_stands_below_them() {
    let place = |module: &str| {
        let found = ORDER.iter().position(|&name| name == module);
        found.unwrap_or_else(|| panic!("src/{module}: not in the order of the modules"))
    };
    let mut arrows = 0;
    for (file, text) in sources() {
        let module = file.split("::").next().unwrap_or(&file).to_owned();
        for path in paths(&text).iter().filter_map(|path| path.strip_prefix("crate::")) {
            let name = path.split("::").next().unwrap_or(path);
            let known = NAMES.iter().find(|(public, _)| *public == name);
            let target = known.map_or(name, |(_, module)| module);
            arrows += 1;
            assert!(
                place(target) <= place(&module),
                "{file} imports crate::{path}: {target} stands above {module}"
            );
        }
    }
    assert!(arrows > 200, "{arrows} imports found: the test no longer reads them");
}

/// A file's path below `src` as a module path, and its text without comments and unit tests.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                let inside = path.strip_prefix(&root).unwrap().with_extension("");
                let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
                let name = parts.join("::");
                let name = name.strip_suffix("::mod").unwrap_or(&name).to_owned();
                files.insert(name, code(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    files
}

fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path that is named from `crate`, braces written out.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let starts = code.match_indices("crate::").map(|(at, _)| at);
    for at in starts.filter(|&at| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    {
        let rest: String = code[at..].chars().filter(|c| !c.is_whitespace()).collect();
        expand("", &rest, &mut found);
    }
    found
}

/// Writes out `a::{b, c::{d}}` as `a::b` and `a::c::d`; what is behind the tree.
fn expand<'a>(prefix: &str, tree: &'a str, found: &mut Vec<String>) -> &'a str {
    let end =
        tree.find(|c: char| !(c.is_alphanumeric() || "_:$".contains(c))).unwrap_or(tree.len());
    let (head, mut rest) = tree.split_at(end);
    let path = format!("{prefix}{head}");
    let inner = rest.strip_prefix('{').filter(|_| head.ends_with("::") || head.is_empty());
    let Some(mut inner) = inner else {
        found.push(path);
        return rest;
    };
    loop {
        rest = expand(&path, inner, found);
        match rest.strip_prefix(',') {
            Some(more) if !more.starts_with('}') => inner = more,
            Some(more) => return more.strip_prefix('}').unwrap_or(more),
            None => return rest.strip_prefix('}').unwrap_or(rest),
        }
    }
}
