//! `cargo xtask check`: what must pass before a change lands, the cheapest first. It stops at the
//! first failure and says which command that was.
//!
//! A part whose tool the machine lacks is left out, which is said when it is its turn and at the end.

use anyhow::{Context, Result, bail};
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The library's own tests of what naga makes of each kernel: `tests/kernels/translation.rs`.
const KERNELS: &str = "translation::";

/// For browsers.
const WASM: &str = "wasm32-unknown-unknown";

/// What `--no-tests` leaves out: `kernels` is a part of the tests that comes before the others.
const TESTS: [&str; 2] = ["kernels", "tests"];

struct Part {
    name: &'static str,
    /// Its commands where these parts are chosen, or why this machine cannot run them.
    steps: fn(chosen: &[&str]) -> Found,
}

type Found = std::result::Result<Vec<Step>, String>;

/// With the features that are not on by default, as `scripts/test.sh` tests it.
const MORE: &str = "--features csv,keras,ndarray,npz,onnx,plot,pytorch,tokenizers";

/// The library without its features, and with `gpu` alone.
const FEWER: [&str; 2] = ["--no-default-features", "--no-default-features --features gpu"];

/// In the order of what they cost.
const PARTS: [Part; 11] = [
    Part { name: "fmt", steps: |_| one("cargo fmt --all --check") },
    Part { name: "api", steps: |_| one("cargo xtask public-api --check") },
    Part { name: "deny", steps: |_| deny() },
    Part { name: "clippy", steps: |_| Ok(clippy()) },
    Part { name: "doc", steps: |_| Ok(doc()) },
    Part { name: "msrv", steps: |_| msrv() },
    Part { name: "wasm", steps: |_| wasm() },
    Part {
        name: "kernels",
        // Of the whole workspace, as the tests are: the same features, so nothing is built twice.
        steps: |_| one(&format!("cargo test --locked --workspace {MORE} --lib {KERNELS}")),
    },
    Part { name: "examples", steps: |_| one("cargo build --locked --release --examples") },
    Part { name: "benches", steps: |_| one("cargo bench --locked --no-run") },
    Part { name: "tests", steps: |chosen| Ok(vec![tests(chosen)]) },
];

/// Runs all parts, or those that `arguments` name.
pub fn run(arguments: &[&str]) -> Result<()> {
    let chosen = choose(arguments)?;
    let mut passed = Vec::new();
    let mut left_out = Vec::new();
    for part in PARTS.iter().filter(|part| chosen.contains(&part.name)) {
        let name = part.name;
        match (part.steps)(&chosen) {
            Ok(steps) => {
                let start = Instant::now();
                for step in steps {
                    say(&format!("{name}: {step}"));
                    step.run().with_context(|| format!("[check] {name} failed"))?;
                }
                passed.push(format!("{name} {} s", start.elapsed().as_secs()));
            }
            Err(why) => {
                say(&format!("{name} is left out: {why}"));
                left_out.push(format!("{name} was left out: {why}"));
            }
        }
    }
    say(&format!("passed: {}", passed.join(", ")));
    for line in left_out {
        eprintln!("[check] {line}");
    }
    Ok(())
}

/// The names of the parts to run, in the order of `PARTS`.
fn choose(arguments: &[&str]) -> Result<Vec<&'static str>> {
    const NO_TESTS: &str = "--no-tests";
    let all = PARTS.map(|part| part.name);
    let named: Vec<_> = arguments.iter().filter(|&&argument| argument != NO_TESTS).collect();
    if let Some(other) = named.iter().find(|name| !all.contains(name)) {
        bail!("no such part: {other}; there are {}, and {NO_TESTS}", all.join(", "));
    }
    let without_tests = named.len() < arguments.len();
    let chosen: Vec<_> = all
        .into_iter()
        .filter(|name| named.is_empty() || named.contains(&name))
        .filter(|name| !(without_tests && TESTS.contains(name)))
        .collect();
    if chosen.is_empty() {
        bail!("{NO_TESTS} leaves nothing of {}", arguments.join(" "));
    }
    Ok(chosen)
}

/// A part of one command.
fn one(line: &str) -> Found {
    Ok(vec![Step::new(line)])
}

/// Of everything, and of the library with fewer features.
fn clippy() -> Vec<Step> {
    let all = [format!("--workspace {MORE}")].into_iter().chain(FEWER.map(str::to_owned));
    all.map(|of| Step::new(&format!("cargo clippy --locked --all-targets {of} -- -D warnings")))
        .collect()
}

fn doc() -> Vec<Step> {
    let doc = |of: &str| {
        Step::new(&format!("cargo doc --locked --no-deps {of}")).with("RUSTDOCFLAGS", "-D warnings")
    };
    [MORE, "--no-default-features"].map(doc).into()
}

/// Licences, advisories, sources: `deny.toml`.
fn deny() -> Found {
    if output("cargo deny --version").is_none() {
        return Err("cargo-deny is not installed (cargo install --locked cargo-deny)".into());
    }
    one("cargo deny --locked check")
}

/// The library alone: whoever depends on it builds neither its tests nor its benches.
fn msrv() -> Found {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let installed = output("rustup toolchain list").unwrap_or_default();
    let Some(toolchain) = toolchain(&installed, wanted) else {
        return Err(format!("Rust {wanted} is not installed (rustup toolchain install {wanted})"));
    };
    one(&format!("rustup run {toolchain} cargo check --locked {MORE}"))
}

/// The toolchain of this version in rustup's list of them. rustup would fetch one by another name.
fn toolchain<'a>(list: &'a str, wanted: &str) -> Option<&'a str> {
    let mut names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.find(|name| {
        name.strip_prefix(wanted)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    })
}

/// Browsers: where the target is installed, by rustup or otherwise, or rustup can fetch it.
fn wasm() -> Found {
    let installed = output("rustc --print sysroot")
        .is_some_and(|root| Path::new(root.trim()).join("lib/rustlib").join(WASM).is_dir());
    if !installed {
        let fetch = Step::new(&format!("rustup target add {WASM}"));
        say(&format!("wasm: {fetch}"));
        if fetch.run().is_err() {
            return Err(format!("{WASM} is not installed, and rustup cannot fetch it"));
        }
    }
    one(&format!("cargo check --locked --target {WASM}"))
}

/// The README's test command, but for what has just been run.
fn tests(chosen: &[&str]) -> Step {
    let all = "bash scripts/test.sh --workspace";
    if chosen.contains(&"kernels") {
        return Step::new(&format!("{all} -- --skip {KERNELS}"));
    }
    Step::new(all)
}

/// A command; shown as one would type it.
#[derive(Debug)]
struct Step {
    variable: Option<(&'static str, &'static str)>,
    words: Vec<String>,
}

impl Step {
    /// Of words without spaces, the first of them the program.
    fn new(line: &str) -> Self {
        Self { variable: None, words: line.split(' ').map(str::to_owned).collect() }
    }

    /// With a variable of the environment.
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.variable = Some((name, value));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).current_dir(ROOT).envs(self.variable);
        command
    }

    /// Fails if the command does.
    fn run(&self) -> Result<()> {
        let status = self.command().status().with_context(|| self.to_string())?;
        if !status.success() {
            bail!("{self}");
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, value)) = self.variable {
            write!(f, "{name}=\"{value}\" ")?;
        }
        f.write_str(&self.words.join(" "))
    }
}

/// What a command prints, if there is one and it succeeds.
fn output(line: &str) -> Option<String> {
    let output = Step::new(line).command().stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn say(line: &str) {
    eprintln!("\n[check] {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_run_in_the_order_of_their_cost() -> Result<()> {
        assert_eq!(choose(&[])?, PARTS.map(|part| part.name));
        assert_eq!(choose(&["clippy", "fmt"])?, ["fmt", "clippy"]);
        let without = choose(&["--no-tests"])?;
        assert_eq!(without.len() + TESTS.len(), PARTS.len());
        assert!(TESTS.iter().all(|name| !without.contains(name)));
        assert_eq!(choose(&["tests", "--no-tests", "doc"])?, ["doc"]);
        assert!(choose(&["--no-tests", "tests"]).is_err());
        Ok(())
    }

    #[test]
    fn a_part_that_is_none_is_told_those_that_are() {
        let text = choose(&["fmt", "lint"]).unwrap_err().to_string();
        assert!(text.starts_with("no such part: lint; there are fmt, api, deny, clippy"), "{text}");
        for part in PARTS {
            assert!(crate::USAGE.split_whitespace().any(|word| word == part.name), "{}", part.name);
        }
    }

    #[test]
    fn commands_are_shown_as_one_types_them() {
        let step = Step::new("cargo doc --no-deps").with("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(step.to_string(), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
    }

    /// A filter that finds no test passes.
    #[test]
    fn kernels_run_once() {
        let both = tests(&["kernels", "tests"]).to_string();
        assert_eq!(both, format!("bash scripts/test.sh --workspace -- --skip {KERNELS}"));
        assert_eq!(tests(&["tests"]).to_string(), "bash scripts/test.sh --workspace");
        let file = format!("{ROOT}/tests/kernels/{}.rs", KERNELS.trim_end_matches(':'));
        assert!(Path::new(&file).exists(), "{file}");
    }

    #[test]
    fn toolchains_by_their_version() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\n\
                    1.8-x86_64-unknown-linux-gnu\n\
                    1.89.0-x86_64-unknown-linux-gnu\n\
                    1.95.0-x86_64-unknown-linux-gnu\n";
        assert_eq!(toolchain(list, "1.89"), Some("1.89.0-x86_64-unknown-linux-gnu"));
        assert_eq!(toolchain(list, "1.8"), Some("1.8-x86_64-unknown-linux-gnu"));
        assert_eq!(toolchain(list, "1.90"), None);
        assert_eq!(toolchain("no installed toolchains\n", "1.89"), None);
    }
}
