//! `cargo xtask roofline`: how long named cards need for public LSTM shapes, at least.

mod card;
mod model;
mod shape;

use anyhow::{Context, Result};
use card::{CARDS, Card};
use model::{Precision, Strategy, Time, predict, work};
use shape::{Pass, Shape};
use std::fmt::Write;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/measured/ROOFLINE.md");

const STRATEGIES: [Strategy; 3] = [Strategy::Stepwise, Strategy::Sequence, Strategy::Persistent];

/// Writes the page.
pub fn write() -> Result<()> {
    std::fs::write(FILE, page()).context(FILE)?;
    println!("written to docs/measured/ROOFLINE.md");
    Ok(())
}

/// The names of the cards of a class of the table of strategies.
pub fn cards_of(class: &str) -> Vec<&'static str> {
    CARDS.iter().filter(|card| card.class == class).map(|card| card.name).collect()
}

/// What each card of a class needs for `[B,T,I,H]` by each of the strategies, in µs; none where there is no
/// room.
pub fn times<const N: usize>(
    class: &str,
    [batch, timesteps, input, hidden]: [usize; 4],
    training: bool,
    strategies: [&str; N],
) -> Vec<[Option<f64>; N]> {
    let pass = if training { Pass::Training } else { Pass::Forward };
    let shape = Shape { of: "", pass, hidden, batch, timesteps, input };
    let time = |card, name: &str| {
        let strategy = STRATEGIES.into_iter().find(|s| format!("{s:?}").eq_ignore_ascii_case(name));
        Some(predict(card, &shape, strategy?, Precision::F32)?.total())
    };
    let cards = CARDS.iter().filter(|card| card.class == class);
    cards.map(|card| strategies.map(|name| time(card, name))).collect()
}

const HEAD: &str = "\
# How fast named cards can be

Made by `cargo xtask roofline`: the floating-point operations, bytes, dispatches and barriers of one
LSTM layer in one direction, and from them the time that a card needs at least. **Nothing here was
measured** but what stands in the last two sections, beside what is predicted. The model is
`xtask/src/roofline/model.rs`, the cards `card.rs`, the shapes `shape.rs`.

## Assumptions

1. Work. Forward: 8 B T I H FLOP for the input, 8 B T H² for the recurrence; training three times
   that. Element-wise work is free. Weights are f32, or f16 as said; sums, states and saved gates
   are f32. The input's part of the gates goes through memory; training keeps gates, h and c.
2. Schedules, as the library's kernels on hardware have them: `Stepwise` a dispatch a timestep, its
   workgroups 64 units of 4 rows; `Sequence` one dispatch, a workgroup for 4 rows, R read from the
   cache in each step (from the unit's own cache where it fits), H at most 1024 and shared memory for
   h or d_a; `Persistent` one dispatch, R in registers (at most 55 % of them), the batch in as many
   parts as R fits times, h exchanged through the shared cache; what of a larger R does not fit comes
   from the shared cache in each step, on cards and for few rows. \"—\": no room for it. A workgroup is
   on one unit; units idle for want of workgroups do no work. The sums of a product with few tiles
   are cut into slices, which another dispatch adds up. An R that does not fit the shared cache
   comes from memory in each step: once in `Stepwise`, for each workgroup in `Sequence`.
3. Products reach 70 % of the f32 peak, 60 % of the matrix units' (f16 alone); memory 80 % of its
   bandwidth. That is what good kernels reach: gfx-rs users report 67 to 72 % of an M2's f32 peak
   (FL33TW00D/wgpu-mm#20), llama.cpp 63 % of an RTX 3090's tensor peak through Vulkan (#11595). The
   recurrence runs on the f32 lanes in either precision.
4. The shared cache gives a unit 28 bytes a clock, a unit's own 128. An A100 was measured at
   4.22 TB/s, which is 28 bytes for each of 108 units at 1.41 GHz (RRZE-HPC/gpu-benches#13). Assumed
   for the other cards.
5. In a step, 0.4 µs for its chain of dependent instructions and 0.05 µs for each barrier of a
   workgroup. cuDNN's persistent kernel for small H takes 0.58 µs a step (benchmark linked from
   pytorch/pytorch#62143), hardly any of it arithmetic. How it splits is a guess.
6. 0.9 µs for a value to get from one workgroup to another: one write to the shared cache and one
   read. On an H200 `Persistent` took 1.34 µs a step with one row of 128 units, all of it 5. and 6.
   FlashRNN's grid barrier, three such trips, costs 1.3 µs a step (4.87 against 3.56 ms for
   1024 steps with and without it, in the plots of NX-AI/flashrnn). Assumed for the other cards.
7. 5 µs from a dispatch to one that needs its results: what a fill, a transpose or a clearing took on
   the H200. cuDNN's two kernels a step take 6.5 to 7 µs (the benchmark of 5.); empty, independent
   dispatches of wgpu take 0.4 to 1 µs (tracel-ai/cubecl#1592). 30 µs for a submission through Vulkan, where arXiv:2604.02344 measured 24
   to 36; Metal costs 32 to 71 there, so 50 µs, and 5 µs a dispatch.
8. Arithmetic, cache and memory overlap, so the slowest of them counts; waiting and dispatches are
   added. The time is of a pass, submission included; the word after it is its largest part.

";

fn page() -> String {
    let mut page = HEAD.to_owned();
    cards(&mut page);
    works(&mut page);
    for card in &CARDS {
        predictions(&mut page, card);
    }
    ours(&mut page);
    published(&mut page);
    page
}

fn cards(page: &mut String) {
    page.push_str(
        "## Cards\n\nPeak of f32 and of the matrix units (f16 with sums in f32, dense) in TFLOP/s, \
         memory in GB/s, the cache that all units share in MiB; registers, the unit's own cache and \
         the shared memory of a workgroup in KiB.\n\n\
         | card | units | GHz | f32 | matrix | memory | cache | registers | own cache | shared | source |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for card in &CARDS {
        let peak = card.peak() / 1e6;
        let Card { name, units, clock, matrix, memory, cache, .. } = card;
        let Card { registers, first_cache, shared, source, .. } = card;
        let _ = writeln!(
            page,
            "| {name} | {units} | {clock} | {peak:.1} | {matrix} | {memory} | {cache} | {registers} | \
             {first_cache} | {shared} | {source} |"
        );
    }
}

fn works(page: &mut String) {
    page.push_str(
        "\n## Work\n\nIn f32, on any card. MB: to and from memory, if weights stay in a cache from \
         step to step. Dispatches, and barriers of a workgroup, for Stepwise / Sequence / Persistent.\n\n\
         | shape | pass | H | B | T | GFLOP | MB | FLOP/byte | dispatches | barriers |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for shape in shape::all() {
        let works = STRATEGIES.map(|strategy| work(&shape, strategy, Precision::F32));
        let (flop, bytes) = (works[0].flop, works[0].bytes);
        let join = |values: [usize; 3]| values.map(|v| v.to_string()).join(" / ");
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            sizes(&shape),
            digits(flop / 1e9),
            digits(bytes / 1e6),
            digits(flop / bytes),
            join(works.map(|w| w.dispatches)),
            join(works.map(|w| w.barriers)),
        );
    }
}

fn predictions(page: &mut String, card: &Card) {
    let _ = write!(
        page,
        "\n## {}\n\nms in f32; bold: the fastest; last: the fastest with weights and products in f16.\n\n\
         | shape | pass | H | B | T | Stepwise | Sequence | Persistent | µs a step | TFLOP/s | f16 |\n\
         |---|---|--:|--:|--:|---|---|---|--:|--:|---|\n",
        card.name
    );
    for shape in shape::all() {
        let times = STRATEGIES.map(|strategy| predict(card, &shape, strategy, Precision::F32));
        let best = fastest(times);
        let cells = times.map(|time| match time {
            Some(time) if time == best.1 => format!("**{}**", cell(&time)),
            Some(time) => cell(&time),
            None => "—".to_owned(),
        });
        let half =
            fastest(STRATEGIES.map(|strategy| predict(card, &shape, strategy, Precision::F16)));
        let total = best.1.total();
        let flop = work(&shape, STRATEGIES[0], Precision::F32).flop;
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {:?} {} |",
            sizes(&shape),
            cells.join(" | "),
            digits(total / shape.timesteps as f64),
            digits(flop / total / 1e6),
            half.0,
            cell(&half.1),
        );
    }
}

/// The first of the fastest; Stepwise has room for any shape.
fn fastest(times: [Option<Time>; 3]) -> (Strategy, Time) {
    let mut best = (STRATEGIES[0], Time { dispatch: f64::INFINITY, ..Time::default() });
    for (strategy, time) in STRATEGIES.into_iter().zip(times) {
        if let Some(time) = time.filter(|time| time.total() < best.1.total()) {
            best = (strategy, time);
        }
    }
    best
}

/// What the library took on the H200 in f32, inputs of the hidden size: H, B, T, and ms forward and in training.
const OURS: [([usize; 3], [f64; 2]); 8] = [
    ([128, 1, 200], [0.403, 0.818]),
    ([256, 32, 100], [0.427, 1.32]),
    ([256, 64, 128], [0.657, 2.05]),
    ([256, 256, 64], [1.13, 3.66]),
    ([512, 64, 128], [3.20, 8.03]),
    ([768, 16, 1024], [11.0, 37.3]),
    ([1024, 1, 1000], [3.35, 9.2]),
    ([1024, 64, 128], [9.95, 35.3]),
];

fn ours(page: &mut String) {
    let card = &card::H200;
    let _ = write!(
        page,
        "\n## Against what the library took\n\nOn the {}, in f32, ms by the host's clock, and what is predicted for \
         the fastest schedule: the library at 865f04e, mostly by `Persistent`. Where rows are many \
         its tiles of rows waited for one another; since then they are fetched ahead, which is not measured yet.\n\n\
         | H | B | T | pass | measured | predicted | reached |\n|--:|--:|--:|---|--:|--:|--:|\n",
        card.name
    );
    for ([hidden, batch, timesteps], measured) in OURS {
        for (pass, measured) in [Pass::Forward, Pass::Training].into_iter().zip(measured) {
            let shape = Shape { of: "", pass, hidden, batch, timesteps, input: hidden };
            let time =
                fastest(STRATEGIES.map(|strategy| predict(card, &shape, strategy, Precision::F32)));
            let _ = writeln!(
                page,
                "| {hidden} | {batch} | {timesteps} | {} | {measured} | {} {} | {:.0} % |",
                name(pass),
                cell(&time.1),
                format_args!("({:?})", time.0),
                100.0 * time.1.total() / 1e3 / measured
            );
        }
    }
}

/// What others measured on the H100 at H 768, B 16, T 1024, in ms, and what works alike.
const PUBLISHED: [(&str, Pass, f64, Strategy, Precision); 4] = [
    ("cuDNN, f16", Pass::Forward, 2.01, Strategy::Persistent, Precision::F16),
    ("cuDNN, f16", Pass::Training, 5.19, Strategy::Persistent, Precision::F16),
    ("FlashRNN fused, bf16", Pass::Forward, 4.87, Strategy::Persistent, Precision::F16),
    ("haste, f32", Pass::Forward, 18.41, Strategy::Stepwise, Precision::F32),
];

fn published(page: &mut String) {
    let card = &card::H100;
    let _ = write!(
        page,
        "\n## Against what was measured\n\nOn the {}, H 768, B 16, T 1024: figures from the plots of \
         NX-AI/flashrnn (`head_dim--lstm`; FlashRNN's without the input's product), beside what is \
         predicted here for the schedule that works alike. cuDNN is faster than the prediction since it \
         multiplies on the matrix units in the recurrence too. The assumptions come in part from the same \
         plots, so this shows their order, and no more.\n\n\
         | what | pass | measured, ms | predicted, ms | as |\n|---|---|--:|--:|---|\n",
        card.name
    );
    for (what, pass, measured, strategy, precision) in PUBLISHED {
        let shape = Shape { of: "", pass, hidden: 768, batch: 16, timesteps: 1024, input: 768 };
        let time = predict(card, &shape, strategy, precision);
        let predicted = time.map_or("—".to_owned(), |time| cell(&time));
        let pass = name(pass);
        let _ = writeln!(
            page,
            "| {what} | {pass} | {measured} | {predicted} | {strategy:?} {precision:?} |"
        );
    }
}

fn name(pass: Pass) -> &'static str {
    if pass == Pass::Forward { "forward" } else { "training" }
}

fn sizes(shape: &Shape) -> String {
    let Shape { of, pass, hidden, batch, timesteps, .. } = shape;
    format!("{of} | {} | {hidden} | {batch} | {timesteps}", name(*pass))
}

fn cell(time: &Time) -> String {
    format!("{} {}", digits(time.total() / 1e3), time.bound())
}

/// Three of them.
fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::model::Work;
    use super::*;

    /// A card of round figures: 2 TFLOP/s, 280 GB/s from the cache, 100 from memory.
    const ROUND: Card = Card {
        name: "round",
        class: "discrete",
        units: 10.0,
        lanes: 100.0,
        clock: 1.0,
        matrix: 10.0,
        memory: 100.0,
        cache: 1.0,
        registers: 100.0,
        first_cache: 8.0,
        shared: 64.0,
        dispatch: 3.0,
        submit: 30.0,
        source: "",
    };

    const SHAPE: Shape =
        Shape { of: "", pass: Pass::Forward, hidden: 100, batch: 8, timesteps: 10, input: 50 };

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
    }

    #[test]
    fn work_by_hand() {
        // Product: 2·80·400·50 = 3.2 M FLOP; 4·(80·50 + 50·400 + 80·400) = 224 kB. A step:
        // 8·8·100² = 640 k FLOP, 4·(4+1)·8·100 = 16 kB. R: 4·100²·4 = 160 kB.
        let forward = work(&SHAPE, Strategy::Stepwise, Precision::F32);
        assert_eq!(forward, Work { flop: 9.6e6, bytes: 544e3, dispatches: 11, barriers: 40 });
        let training = Shape { pass: Pass::Training, ..SHAPE };
        let sequence = work(&training, Strategy::Sequence, Precision::F32);
        // Three times 9.6 M, but for the recurrence's third part, which is a product.
        close(sequence.flop, 3.0 * 9.6e6);
        assert_eq!((sequence.dispatches, sequence.barriers), (4 + 2 + 2, 30));
        // R in f16 is half; the sums stay.
        let half = work(&SHAPE, Strategy::Stepwise, Precision::F16);
        close(half.bytes, 544e3 - 48e3 - 80e3);
    }

    #[test]
    fn time_by_hand() {
        let time = |strategy| predict(&ROUND, &SHAPE, strategy, Precision::F32).unwrap();
        // The product: 224 kB at 80 GB/s = 2.8 µs, more than 3.2 M / 1.4 TFLOP/s.
        // Stepwise: 4 workgroups on 10 units; R twice, 320 kB at 0.4·280 GB/s = 2.857 µs a step;
        // 0.4 + 4·0.05 of waiting; 30 + 3 + 10·3 for submission and dispatches.
        let stepwise = time(Strategy::Stepwise);
        close(stepwise.memory, 2.8);
        close(stepwise.cache, 28.5714);
        close(stepwise.waiting, 6.0);
        close(stepwise.dispatch, 63.0);
        close(stepwise.total(), 100.3714);
        assert_eq!(stepwise.bound(), "dispatch");
        // Sequence: each unit reads R at 28 GB/s: 5.714 µs; one barrier.
        let sequence = time(Strategy::Sequence);
        close(sequence.cache, 57.1429);
        close(sequence.waiting, 4.5);
        close(sequence.dispatch, 36.0);
        assert_eq!(sequence.bound(), "cache");
        // Persistent: registers have room for 3.52 R, so 3 parts of 3 units; 34 of 33.3 hidden
        // units: 640 k / (1.4 TFLOP/s · 0.9 · 33.3 / 34) = 0.518 µs; 0.9 + 0.4 + 0.05 of waiting.
        let persistent = time(Strategy::Persistent);
        close(persistent.arithmetic, 5.1810);
        close(persistent.waiting, 13.5);
        close(persistent.total(), 57.4810);
    }

    #[test]
    fn a_strategy_without_room_is_left_out() {
        let wide = Shape { hidden: 2000, ..SHAPE };
        let time = |strategy| predict(&ROUND, &wide, strategy, Precision::F32);
        // 1024 invocations; registers: 563 kB for an R of 64 MB.
        assert_eq!(time(Strategy::Sequence), None);
        assert_eq!(time(Strategy::Persistent), None);
        // R does not stay in a cache of 1 MiB: 64 MB at 80 GB/s, ten times.
        assert!(time(Strategy::Stepwise).unwrap().total() > 8000.0);
        // More rows than units: rounds. 44 rows are 11 workgroups for 10 units.
        let cache = |batch| {
            let shape = Shape { batch, ..SHAPE };
            predict(&ROUND, &shape, Strategy::Sequence, Precision::F32).unwrap().cache
        };
        close(cache(44), 2.0 * cache(40));
    }

    #[test]
    fn every_card_gives_its_makers_peak() {
        let peaks = [67.0, 67.0, 82.6, 12.7, 61.4, 13.7, 8.3, 3.6];
        for (card, peak) in CARDS.iter().zip(peaks) {
            let found = card.peak() / 1e6;
            assert!((found / peak - 1.0).abs() < 0.01, "{}: {found}, not {peak}", card.name);
        }
    }

    #[test]
    fn deepbench_and_flashrnn_are_whole() {
        let count = |of, pass| shape::all().iter().filter(|s| s.of == of && s.pass == pass).count();
        assert_eq!(count("DeepBench", Pass::Training), 22);
        assert_eq!(count("DeepBench", Pass::Forward), 15);
        assert_eq!([count("FlashRNN", Pass::Forward), count("FlashRNN", Pass::Training)], [10, 10]);
    }
}
