//! The layers of the crate: each module imports only what stands before it, and within a folder no files
//! import each other in a circle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From the lowest to the highest, as ARCHITECTURE.md has them.
const ORDER: [&str; 17] = [
    "dtype", "error", "file", "device", "tensor", "check", "lengths", "ops", "autograd", "loss",
    "nn", "data", "train", "io", "plot", "testing", "lib",
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

/// A file or folder that its neighbours in a folder may import, though it imports them; and why.
const CIRCLES: [(&str, &str, &str); 1] = [(
    "device",
    "gpu",
    "a `Gpu` holds and runs what its neighbours describe, who say it in functions of a `Gpu`; in a build \
     without the feature `no_gpu.rs` takes its place, so they cannot lie in it",
)];

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let sources = sources();
    let names = names(&sources);
    let mut folders: BTreeMap<String, Inside> = BTreeMap::new();
    for (file, text) in &sources {
        for path in paths_from(text, "crate::").into_iter().chain(paths_from(text, "super::")) {
            let target = resolve(&absolute(file, &path), &sources, &names);
            let (from, to): (Vec<_>, Vec<_>) = (file.split("::").collect(), target);
            let shared = from.iter().zip(&to).take_while(|(a, b)| *a == *b).count();
            // A module and what lies in it may import each other.
            let (Some(importing), Some(imported)) = (from.get(shared), to.get(shared)) else {
                continue;
            };
            // `modules_import_only_what_stands_below_them` has the order of the modules of `src` itself.
            if shared > 0 {
                let folder = folders.entry(from[..shared].join("::")).or_default();
                let imports = folder.entry((*importing).into()).or_default();
                imports.insert(imported.clone(), format!("{file} imports {path}"));
            }
        }
    }
    assert!(folders.len() > 10, "{} folders: the test no longer reads them", folders.len());
    for (folder, name, why) in CIRCLES {
        let inside =
            folders.get_mut(folder).unwrap_or_else(|| panic!("src/{folder}: none ({why})"));
        let circle = circles(inside.clone());
        assert!(circle.contains_key(name), "src/{folder}/{name} is in no circle, though {why}");
        inside.remove(name);
    }
    for (folder, inside) in folders {
        let left = circles(inside);
        assert!(left.is_empty(), "src/{folder}: in a circle, or importing one: {left:#?}");
    }
}

/// Each file or folder in a folder, what it imports of the others, and where it says so.
type Inside = BTreeMap<String, BTreeMap<String, String>>;

/// Who is in a circle, or imports one.
fn circles(mut left: Inside) -> Inside {
    loop {
        let free = |imports: &BTreeMap<_, _>| !imports.keys().any(|name| left.contains_key(name));
        let Some(name) = left.iter().find(|(_, i)| free(i)).map(|(name, _)| name.clone()) else {
            return left;
        };
        left.remove(&name);
    }
}

/// What modules hand on under a name of their own, by the module and the name.
fn names(sources: &BTreeMap<String, String>) -> BTreeMap<(String, String), Vec<String>> {
    let mut names = BTreeMap::new();
    for (file, text) in sources {
        let module = if file == "lib" { "" } else { file };
        for line in text.split("pub").skip(1).filter_map(|rest| {
            let rest = rest.trim_start();
            let rest = match rest.strip_prefix('(') {
                Some(inside) => inside.split_once(')').map_or("", |(_, behind)| behind),
                None => rest,
            };
            rest.trim_start().strip_prefix("use ")?.split(';').next()
        }) {
            let mut found = Vec::new();
            expand("", &tree(line), &mut found);
            for path in found {
                let name = path.split("::").last().unwrap_or(&path).to_owned();
                let from = match path.starts_with("crate::") || path.starts_with("super::") {
                    true => absolute(module, &path),
                    false => segments(module).chain(segments(&path)).collect(),
                };
                names.insert((module.to_owned(), name), from);
            }
        }
    }
    names
}

/// The deepest file on the way of a path, through the names that modules hand on.
fn resolve(
    path: &[String],
    sources: &BTreeMap<String, String>,
    names: &BTreeMap<(String, String), Vec<String>>,
) -> Vec<String> {
    let (mut path, mut depth) = (path.to_vec(), 0);
    // A name may be handed on several times, but not for ever.
    for _ in 0..40 {
        let Some(name) = path.get(depth) else { break };
        let here = path[..depth].join("::");
        if sources.contains_key(&path[..=depth].join("::")) {
            depth += 1;
        } else if let Some(from) = names.get(&(here, name.clone())) {
            path = from.iter().chain(&path[depth + 1..]).cloned().collect();
            depth = 0;
        } else {
            break;
        }
    }
    path.truncate(depth);
    path
}

/// A path that begins with `crate` or with `super`, in a module, as one from the root.
fn absolute(module: &str, path: &str) -> Vec<String> {
    let Some(mut rest) = path.strip_prefix("super::") else {
        return segments(path.trim_start_matches("crate::")).collect();
    };
    let mut base: Vec<_> = segments(module).collect();
    base.pop();
    while let Some(further) = rest.strip_prefix("super::") {
        base.pop();
        rest = further;
    }
    base.extend(segments(rest));
    base
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split("::").filter(|part| !part.is_empty()).map(str::to_owned)
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
    paths_from(code, "crate::")
}

/// Every path that begins so, braces written out.
fn paths_from(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    let starts = code.match_indices(root).map(|(at, _)| at);
    let begins =
        |at: &usize| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
    for at in starts.filter(begins) {
        expand("", &tree(&code[at..]), &mut found);
    }
    found
}

/// The text up to the end of a statement, without the names that `as` gives and without spaces.
fn tree(code: &str) -> String {
    let code = code.split(';').next().unwrap_or(code);
    let mut parts = code.split(" as ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    }
    text.retain(|c| !c.is_whitespace());
    text
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
