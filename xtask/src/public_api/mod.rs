//! `cargo xtask public-api`: writes the crate's public interface to `docs/public-api.txt`, a line for each
//! item, so that the diff of a change shows what it changes for users. `--check` fails if the file says other
//! than the source.
//!
//! The interface is read from the source with `syn`. rustdoc's JSON would be the compiler's own word, but
//! stable toolchains print it only when told that they are nightlies, its format has another version every
//! few releases, and the dependencies would have to be checked first; the source needs neither a toolchain
//! nor a target, is read in a moment, and gives the same text everywhere. For that the names in it have to be
//! resolved here, which is little work in a crate whose `use`s name what they bring (`tree.rs`). What cannot
//! be read, or would hide a part of the interface, is an error: a public glob, a macro called in a public
//! module, a signature that names what is not exported.
//!
//! Not seen: implementations that a macro's call makes, and of `Send` and the like what the compiler infers
//! (`tests/found_by_use/` asks that of the types that threads share). An item that has several public paths has its lines at the shortest
//! outside `prelude`, and a `use` at each other. Items that are `#[doc(hidden)]` are left out. What a `cfg`
//! chooses is as on docs.rs: all features, Linux on x86-64.

mod print;
mod text;
mod tree;

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use tree::Tree;

const FILE: &str = "docs/public-api.txt";

const HEAD: &str = "\
# The public interface, written by `cargo xtask public-api`: see xtask/src/public_api/mod.rs.
# `{ .. }` behind a trait's item: it need not be given.
";

/// Writes the file.
pub fn write() -> Result<()> {
    let text = page()?;
    std::fs::write(root().join(FILE), &text).context(FILE)?;
    println!("{} items written to {FILE}", text.lines().count() - HEAD.lines().count());
    Ok(())
}

/// Fails if the file is not what `write` would make of the source, and says in which lines.
pub fn check() -> Result<()> {
    let written = std::fs::read_to_string(root().join(FILE)).context(FILE)?;
    let now = page()?;
    // By lines: a checkout may end them otherwise.
    if written.lines().eq(now.lines()) {
        return Ok(());
    }
    let differences = differences(&written, &now);
    ensure!(!differences.is_empty(), "{FILE} has other lines than its own, or another order");
    bail!(
        "{FILE} is not the interface; if the change is meant, run `cargo xtask public-api`\n{differences}"
    );
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn page() -> Result<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).context("Cargo.toml")?;
    let features = features(&manifest).context("Cargo.toml has no features")?;
    let tree = Tree::read(&root().join("src/lib.rs"), "wgpu_lstm", &features)?;
    Ok(format!("{HEAD}{}", print::lines(&tree)?))
}

/// All that the manifest has.
fn features(manifest: &str) -> Option<Vec<&str>> {
    let mut lines = manifest.lines().skip_while(|line| *line != "[features]");
    lines.next()?;
    let names = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| {
        let (name, _) = line.split_once(" = [")?;
        Some(name)
    });
    Some(names.filter(|name| *name != "default").collect())
}

/// The lines of one that the other lacks, in their order.
fn differences(before: &str, after: &str) -> String {
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    let mut differences = String::new();
    loop {
        while let Some(line) = old.next_if(|line| !after.contains(line)) {
            differences += &format!("- {line}\n");
        }
        while let Some(line) = new.next_if(|line| !before.contains(line)) {
            differences += &format!("+ {line}\n");
        }
        if old.next().is_none() & new.next().is_none() {
            return differences;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_lines() {
        assert_eq!(differences("a\nb\nc\n", "a\nb\nc\n"), "");
        assert_eq!(differences("a\nb\nc\n", "a\nd\nc\ne\n"), "- b\n+ d\n+ e\n");
        assert_eq!(differences("a\nb\n", ""), "- a\n- b\n");
        // Another order alone.
        assert_eq!(differences("a\nb\n", "b\na\n"), "");
    }

    #[test]
    fn features_are_the_manifests() {
        let manifest = "a = []\n[features]\ndefault = [\"gpu\"]\ngpu = [\"dep:wgpu\"]\nplot = []\n[b]\nc = []\n";
        assert_eq!(features(manifest).unwrap(), ["gpu", "plot"]);
        assert_eq!(features("[package]\n"), None);
    }
}
