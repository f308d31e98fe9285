//! Measures LSTM shapes through wgpu-lstm and through other libraries, side by side in one run,
//! and prints Markdown tables. See README.md.

#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "candle")]
mod candle;
mod case;
#[cfg(any(feature = "rten", feature = "tract"))]
mod onnx;
#[path = "../../ops/cases.rs"]
mod ops;
mod ours;
mod peer;
mod python;
mod report;
#[cfg(feature = "rten")]
mod rten;
#[cfg(feature = "tract")]
mod tract;

use anyhow::{Context, Result, bail};
use case::{Case, Mode, Place, Set};
use lexopt::prelude::*;
use ours::Ours;
use peer::Peer;
use python::Python;
use report::{Outcome, Row};
use std::process::Command;
use std::time::{Duration, Instant};

const HELP: &str = "\
peers [--set main|deepbench|flashrnn|ops|all] [--place cpu|software|gpu]... [--only TEXT]...
      [--mode forward|train|step|epoch]... [--peer TEXT]... [--threads N] [--rounds N]
      [--visit MS] [--patience S] [--peak GFLOP/S]

--only   cases whose line has this text, such as `H128 train`; --peer the same of peers.
--peak   what the device can reach, as `cargo bench --bench peak` says: shares of it are printed.
--visit  how long a peer is measured in each round; at least one run.
--patience  how long a peer is measured in a case; at least one round.";

struct Options {
    sets: Vec<Set>,
    places: Vec<Place>,
    only: Vec<String>,
    modes: Vec<String>,
    peers: Vec<String>,
    threads: usize,
    rounds: usize,
    visit: f64,
    patience: f64,
    peak: Option<f64>,
}

fn options() -> Result<Options> {
    let mut options = Options {
        sets: vec![],
        places: vec![],
        only: vec![],
        modes: vec![],
        peers: vec![],
        threads: std::thread::available_parallelism()?.get(),
        rounds: 7,
        visit: 200.0,
        patience: 20.0,
        peak: None,
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("set") => match args.value()?.string()?.as_str() {
                "main" => options.sets.push(Set::Main),
                "deepbench" => options.sets.push(Set::DeepBench),
                "flashrnn" => options.sets.push(Set::FlashRnn),
                "ops" => options.sets.push(Set::Ops),
                "all" => {
                    options.sets.extend([Set::Main, Set::DeepBench, Set::FlashRnn, Set::Ops]);
                }
                other => bail!("no set {other}\n\n{HELP}"),
            },
            Long("place") => {
                let name = args.value()?.string()?;
                let place = Place::ALL.into_iter().find(|p| p.name() == name);
                options.places.push(place.with_context(|| format!("no place {name}\n\n{HELP}"))?);
            }
            Long("only") => options.only.push(args.value()?.string()?),
            Long("mode") => {
                let name = args.value()?.string()?;
                if !["forward", "train", "step", "epoch"].contains(&name.as_str()) {
                    bail!("no mode {name}\n\n{HELP}");
                }
                options.modes.push(name);
            }
            Long("peer") => options.peers.push(args.value()?.string()?.to_lowercase()),
            Long("threads") => options.threads = args.value()?.parse()?,
            Long("rounds") => options.rounds = args.value()?.parse()?,
            Long("visit") => options.visit = args.value()?.parse()?,
            Long("patience") => options.patience = args.value()?.parse()?,
            Long("peak") => options.peak = Some(args.value()?.parse()?),
            Long("help") => {
                println!("{HELP}");
                std::process::exit(0);
            }
            other => bail!("{}\n\n{HELP}", other.unexpected()),
        }
    }
    if options.sets.is_empty() {
        options.sets.push(Set::Main);
    }
    if options.places.is_empty() {
        options.places.extend(Place::ALL);
    }
    Ok(options)
}

fn main() -> Result<()> {
    let options = options()?;
    // Some Rust peers read the number of threads from here, and only at the start.
    let threads = options.threads.to_string();
    if std::env::var("RAYON_NUM_THREADS").as_deref() != Ok(&threads) {
        let status = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .envs(["RAYON_NUM_THREADS", "MATMUL_NUM_THREADS"].map(|name| (name, &threads)))
            .status()?;
        std::process::exit(status.code().unwrap_or(1));
    }
    rayon::ThreadPoolBuilder::new().num_threads(options.threads).build_global()?;

    header(&options);
    for &place in &options.places {
        measure(place, &options)?;
    }
    Ok(())
}

/// What the numbers hold for.
fn header(options: &Options) {
    let say = |program: &str, args: &[&str]| {
        let out = Command::new(program).args(args).output().ok()?;
        let text = String::from_utf8(out.stdout).ok()?.trim().to_owned();
        (out.status.success() && !text.is_empty()).then_some(text)
    };
    let carried = std::env::current_exe()
        .ok()
        .and_then(|exe| std::fs::read_to_string(exe.with_file_name("COMMIT")).ok());
    let commit = carried
        .map(|text| text.trim().to_owned())
        .or_else(|| say("git", &["describe", "--always", "--dirty", "--exclude=*"]));
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(": ")?.1.to_owned())
    });
    let unknown = || "unknown".to_owned();
    let args: Vec<_> = std::env::args().skip(1).collect();
    println!("# wgpu-lstm beside other libraries\n");
    println!(
        "What `peers {}` printed; benches/peers/README.md says how it measures.\n",
        args.join(" ")
    );
    println!("- date: {}", say("date", &["-u", "+%F"]).unwrap_or_else(unknown));
    println!("- commit: {}", commit.unwrap_or_else(unknown));
    println!("- CPU: {}, {} threads", cpu.unwrap_or_else(unknown), options.threads);
    println!(
        "- {} rounds in which the peers take turns, {} ms or one run each, fewer once a peer has \
         used {} s; milliseconds are the median of the rounds' medians (steps: p50 and p99 of \
         all). In brackets: how many times the time of wgpu-lstm.",
        options.rounds, options.visit, options.patience
    );
    println!(
        "- forward: `[B,T,I]` to `[B,T,H]`; train: forward and backward to the gradients of the \
         weights and of the input, no optimizer; step: one frame of one stream; epoch: Keras' \
         program, LSTM, Dense, Adam, batches of 32. All in 32-bit floats, from the same weights \
         and inputs; results that differ from ours by more than {TOLERANCE} are WRONG."
    );
}

/// PyTorch does everything.
const TORCH: &[Mode] =
    &[Mode::Forward, Mode::Train, Mode::Step, Mode::Epoch, Mode::Op, Mode::OpTrain];

/// ONNX Runtime's provider for GPUs of any maker.
const WEBGPU: (&str, &[Mode]) = ("onnxruntime-webgpu", &[Mode::Forward, Mode::Step]);

/// The peers of a place.
struct Peers {
    /// Ours is the first.
    there: Vec<Box<dyn Peer>>,
    /// Why others are not.
    missing: Vec<String>,
    /// Whether the place is a hardware GPU.
    hardware: bool,
}

fn peers(place: Place, options: &Options) -> Result<Peers> {
    let ours = Ours::open(place)?;
    println!("- device: {}", ours.device());
    // WGPU_LSTM_DEVICE may have named one: the others then get their software adapter, too.
    let adapter = ours.device().adapter();
    let software = adapter.is_some_and(|adapter| adapter.software);
    let hardware = adapter.is_some() && !software;
    let place = if software { Place::Software } else { place };
    let (mut there, mut missing): (Vec<Box<dyn Peer>>, _) = (vec![Box::new(ours)], vec![]);
    let wanted = |name: &str| {
        options.peers.is_empty() || options.peers.iter().any(|part| name.contains(part))
    };
    let python: &[(&str, &'static [Mode])] = match place {
        Place::Cpu => &[
            ("onnxruntime", &[Mode::Forward, Mode::Step]),
            ("torch", TORCH),
            ("tensorflow", &[Mode::Epoch]),
        ],
        Place::Software => &[WEBGPU],
        Place::Gpu => &[("torch", TORCH), WEBGPU],
    };
    for (name, modes) in python.iter().filter(|(name, _)| wanted(name)) {
        match Python::open(name, place, options.threads, modes) {
            Ok(peer) => {
                if let Some(about) = &peer.about {
                    println!("- {}: {about}", peer.name());
                }
                there.push(Box::new(peer));
            }
            Err(error) => missing.push(format!("{name}: {error:#}")),
        }
    }
    for (name, of) in rust_peers(place, options.threads) {
        match of {
            _ if !wanted(name) => {}
            Some(peer) => there.push(peer),
            None => missing.push(format!("{name}: built without `--features {name}`")),
        }
    }
    Ok(Peers { there, missing, hardware })
}

/// The other Rust libraries that do something at a place, as far as they are built in.
fn rust_peers(place: Place, threads: usize) -> Vec<(&'static str, Option<Box<dyn Peer>>)> {
    let cpu = place == Place::Cpu;
    let mut peers: Vec<(_, Option<Box<dyn Peer>>)> = vec![];
    #[cfg(feature = "burn")]
    peers.push(("burn", Some(burn::open(place))));
    #[cfg(not(feature = "burn"))]
    peers.push(("burn", None));
    if cpu {
        #[cfg(feature = "candle")]
        peers.push(("candle", Some(Box::new(candle::Candle::default()))));
        #[cfg(not(feature = "candle"))]
        peers.push(("candle", None));
        #[cfg(feature = "rten")]
        peers.push(("rten", Some(Box::new(rten::Rten::new(threads)))));
        #[cfg(not(feature = "rten"))]
        peers.push(("rten", None));
        #[cfg(feature = "tract")]
        peers.push(("tract", Some(Box::new(tract::Tract::new(threads)))));
        #[cfg(not(feature = "tract"))]
        peers.push(("tract", None));
    }
    let _ = threads; // which few of the features read
    peers
}

/// What a peer answers; a panic counts as a failure, since some of them answer so.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        bail!("it panicked: {}", text.unwrap_or("").lines().next().unwrap_or(""))
    })
}

fn measure(place: Place, options: &Options) -> Result<()> {
    let Peers { there: mut peers, missing, hardware } = match peers(place, options) {
        Ok(found) => found,
        Err(error) => {
            println!("- {}: none ({error:#})", place.name());
            return Ok(());
        }
    };
    let wanted = |case: &Case| {
        let line = format!("{case} {}", case.mode.name());
        (options.only.is_empty() || options.only.iter().any(|text| line.contains(text)))
            && (options.modes.is_empty() || options.modes.iter().any(|m| m == case.mode.name()))
    };
    let mut cases: Vec<Case> = vec![];
    for case in options.sets.iter().flat_map(|set| set.cases(place)).filter(wanted) {
        if !cases.contains(&case) {
            cases.push(case);
        }
    }
    if cases.is_empty() {
        return Ok(());
    }
    // Before the table and line by line: what there is stays if this is ended in the midst.
    for line in missing {
        println!("- not measured: {line}");
    }
    let columns: Vec<_> = peers.iter().map(|peer| peer.name()).collect();
    let warm = if hardware { WARM } else { [Duration::ZERO; 2] };
    let mut table = report::Table::new(place, options.peak);
    print!("{}", table.head(&columns));
    for case in cases {
        eprintln!("{}: {case} {}", place.name(), case.mode.name());
        print!("{}", table.lines(&measure_case(case, &mut peers, options, warm)));
    }
    println!("{}", table.notes());
    Ok(())
}

/// By how much results may differ, against 1 or the largest of them.
const TOLERANCE: f32 = 1e-4;

/// How long a hardware GPU is kept busy before it is timed, in the first visit of a case and in those that
/// follow: one that was idle, while another peer prepared, say, has slowed its clocks down.
const WARM: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(100)];

fn measure_case(
    case: Case,
    peers: &mut [Box<dyn Peer>],
    options: &Options,
    warm: [Duration; 2],
) -> Row {
    let mut reference: Option<Vec<(String, Vec<f32>)>> = None;
    let mut outcomes: Vec<_> = peers
        .iter_mut()
        .map(|peer| {
            if !peer.does(case.mode) {
                return Outcome::None;
            }
            let results = match guarded(|| peer.prepare(&case)) {
                Ok(results) => results,
                Err(error) => return Outcome::Failed(format!("{}: {error:#}", peer.name())),
            };
            let differs = differs(reference.as_ref().unwrap_or(&results), &results);
            reference.get_or_insert(results);
            match differs {
                Some(what) => Outcome::Wrong(format!("{}, {case}: {what}", peer.name())),
                None => Outcome::Times(vec![]),
            }
        })
        .collect();
    // So many runs take as long as a visit shall.
    let mut reps = vec![0; peers.len()];
    let mut used = vec![Duration::ZERO; peers.len()];
    for round in 0..=options.rounds {
        for turn in 0..peers.len() {
            let at = (turn + round) % peers.len();
            let Outcome::Times(rounds) = &mut outcomes[at] else { continue };
            if !rounds.is_empty() && used[at].as_secs_f64() > options.patience {
                continue;
            }
            // The threads of the one before may still wait for work by spinning.
            std::thread::sleep(Duration::from_millis(20));
            let peer = &mut peers[at];
            let start = Instant::now();
            let reps_now = if round == 0 { 1 } else { reps[at] };
            let visit = guarded(|| {
                // The first run of a visit, and of all, is not counted, nor what warms a GPU up.
                let warm = warm[usize::from(round > 0)];
                if round == 0 || reps_now > 1 {
                    peer.run(1)?;
                }
                while start.elapsed() < warm {
                    peer.run(1)?;
                }
                peer.run(reps_now)
            });
            used[at] += start.elapsed();
            match visit {
                Ok(times) if round == 0 => {
                    let one = times.iter().sum::<f64>().max(1e-3);
                    reps[at] = ((options.visit / one) as usize).clamp(1, 2000);
                }
                Ok(times) => rounds.push(times),
                Err(error) => {
                    outcomes[at] = Outcome::Failed(format!("{}: {error:#}", peer.name()));
                }
            }
        }
    }
    peers.iter_mut().for_each(|peer| peer.release());
    Row { case, outcomes }
}

/// Where results differ from those of the reference, if they do.
fn differs(want: &[(String, Vec<f32>)], found: &[(String, Vec<f32>)]) -> Option<String> {
    for (name, found) in found {
        let Some((_, want)) = want.iter().find(|(n, _)| n == name) else {
            return Some(format!("{name} has nothing to compare with"));
        };
        if want.len() != found.len() {
            return Some(format!("{name} has {} values, ours {}", found.len(), want.len()));
        }
        let scale = want.iter().fold(1.0f32, |max, v| max.max(v.abs()));
        let difference = |(a, b): (&f32, &f32)| (a - b).abs() / scale;
        let worst = want.iter().zip(found).map(difference).fold(0.0f32, |max, d| {
            // A NaN stays.
            if d.is_nan() || d > max { d } else { max }
        });
        if worst.is_nan() || worst > TOLERANCE {
            return Some(format!("{name} differs by {worst:.1e}"));
        }
    }
    None
}
