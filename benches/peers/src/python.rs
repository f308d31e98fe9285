//! Peers with a Python interface: one process of `worker.py` each, asked by lines of JSON.

use crate::case::{Case, Mode, Place};
use crate::peer::Peer;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = include_str!("../worker.py");

pub struct Python {
    name: String,
    /// What else a reader should know of it.
    pub about: Option<String>,
    modes: &'static [Mode],
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    case: Option<Case>,
    results: PathBuf,
}

impl Python {
    /// `peer` is a class of `worker.py`.
    pub fn open(peer: &str, place: Place, threads: usize, modes: &'static [Mode]) -> Result<Self> {
        let results = std::env::temp_dir().join(format!("peers-{}-{peer}", std::process::id()));
        std::fs::create_dir_all(&results)?;
        // The script is part of the program, so that the program can be carried alone.
        let script = results.join("worker.py");
        std::fs::write(&script, SCRIPT)?;
        let threads = threads.to_string();
        let mut command = Command::new("python3");
        if let Some(packages) = packages_of(peer) {
            command.env("PYTHONPATH", packages);
        }
        let mut child = command
            .arg(&script)
            .args([peer, place.name(), &threads])
            .env("OMP_NUM_THREADS", &threads)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(results.join("stderr"))?)
            .spawn()
            .context("python3")?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let mut peer = Self {
            name: peer.into(),
            about: None,
            modes,
            child,
            to: to.context("no stdin")?,
            from: BufReader::new(from.context("no stdout")?),
            case: None,
            results,
        };
        let hello = peer.answer()?;
        peer.name = hello["name"].as_str().unwrap_or(&peer.name).into();
        peer.about = hello["about"].as_str().map(Into::into);
        Ok(peer)
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            let said = std::fs::read_to_string(self.results.join("stderr")).unwrap_or_default();
            let last = said.lines().last().unwrap_or("it said nothing");
            bail!("the worker ended with {}: {last}", self.child.wait()?);
        }
        let answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(anyhow!("{error}")),
            None => Ok(answer),
        }
    }

    fn ask(&mut self, reps: usize, out: Option<&Path>) -> Result<Value> {
        let case = self.case.context("not prepared")?;
        let request = json!({
            "peer": self.name, "mode": case.mode.name(), "op": case.op.map(|op| op.name),
            "shape": [case.b, case.t, case.i, case.h, case.layers],
            "reps": reps, "out": out,
        });
        writeln!(self.to, "{request}")?;
        self.to.flush()?;
        self.answer()
    }
}

/// The folder of packages that a peer alone may see, since they would hide or replace those of another: `PEERS_`
/// and its name names it, or it lies beside this program.
fn packages_of(peer: &str) -> Option<PathBuf> {
    let variable = format!("PEERS_{}", peer.replace('-', "_").to_uppercase());
    let beside = || Some(std::env::current_exe().ok()?.with_file_name(peer));
    std::env::var_os(variable).map(PathBuf::from).or_else(beside).filter(|path| path.is_dir())
}

impl Peer for Python {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn does(&self, mode: Mode) -> bool {
        self.modes.contains(&mode)
    }

    fn prepare(&mut self, case: &Case) -> Result<Vec<(String, Vec<f32>)>> {
        self.case = Some(*case);
        let folder = self.results.clone();
        let answer = self.ask(0, Some(&folder))?;
        let names = answer["tensors"].as_array().context("no tensors")?;
        let mut found = vec![];
        for name in names.iter().filter_map(Value::as_str) {
            let file = folder.join(format!("{name}.f32"));
            let bytes = std::fs::read(&file)?;
            std::fs::remove_file(&file)?;
            let value = |word: &[u8; 4]| f32::from_le_bytes(*word);
            found.push((name.to_owned(), bytes.as_chunks().0.iter().map(value).collect()));
        }
        Ok(found)
    }

    fn run(&mut self, reps: usize) -> Result<Vec<f64>> {
        let answer = self.ask(reps, None)?;
        let times = answer["ms"].as_array().context("no times")?;
        Ok(times.iter().filter_map(Value::as_f64).collect())
    }

    fn release(&mut self) {
        self.case = None;
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.results);
    }
}
