//! The experiments, and when the papers call them solved.

use super::draw::{self, Drawn, LAG};
use rand_chacha::ChaCha8Rng as Rng;

/// An experiment of Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735.
pub struct Task {
    /// As the paper counts it.
    pub name: &'static str,
    pub title: &'static str,
    pub draw: fn(&mut Rng) -> Drawn,
    pub features: usize,
    pub outputs: Outputs,
    /// The timesteps through which the units are to remember.
    pub remember: usize,
    /// Solved once so many fresh sequences
    pub fresh: usize,
    /// have at most so many
    pub misses: usize,
    /// that are wrong by this
    pub right: Right,
    /// and their mean error is below this.
    pub mean_error: f32,
    /// The sequences after which we give up.
    pub limit: usize,
    /// The sequences that the paper's net needed.
    pub published: u32,
}

/// What the model says.
#[derive(Clone, Copy)]
pub enum Outputs {
    /// The next symbol, at each frame.
    Symbols(usize),
    /// A class, at the end.
    Class(usize),
    /// The probability of the second of two classes, at the end.
    Second,
    /// A number, at the end.
    Value,
}

/// When a sequence is right.
#[derive(Clone, Copy)]
pub enum Right {
    /// No output is further from the truth.
    Within(f32),
    /// At each frame what may come next is more active than all else.
    Likeliest,
}

impl Right {
    pub fn holds(self, outputs: &[f32], truth: &[f32], width: usize) -> bool {
        match self {
            Self::Within(error) => outputs.iter().zip(truth).all(|(o, t)| (o - t).abs() < error),
            Self::Likeliest => outputs.chunks(width).zip(truth.chunks(width)).all(|(o, t)| {
                let of = |legal: f32| {
                    o.iter().zip(t).filter(move |(_, t)| **t == legal).map(|(o, _)| *o)
                };
                of(1.0).fold(f32::INFINITY, f32::min) > of(0.0).fold(0.0, f32::max)
            }),
        }
    }
}

/// In 2a and 2b the paper's nets said what comes next at each step, ours at the last alone.
pub const TASKS: [Task; 11] = [
    Task {
        name: "1",
        title: "embedded Reber grammar",
        draw: draw::embedded_reber,
        features: 7,
        outputs: Outputs::Symbols(7),
        remember: 20,
        fresh: 512,
        right: Right::Likeliest,
        published: 8_440,
        ..TASK
    },
    Task {
        name: "2a",
        title: "long time lag",
        draw: draw::same_between,
        features: LAG + 1,
        outputs: Outputs::Class(LAG + 1),
        fresh: 10_000,
        right: Right::Within(0.25),
        published: 5_040,
        ..TASK
    },
    Task {
        name: "2b",
        title: "long time lag, any symbols",
        draw: draw::any_between,
        features: LAG + 1,
        outputs: Outputs::Class(LAG + 1),
        fresh: 10_000,
        right: Right::Within(0.25),
        published: 5_680,
        ..TASK
    },
    Task {
        name: "2c",
        title: "long time lag, until a sign",
        draw: draw::until_the_sign,
        features: LAG + 4,
        outputs: Outputs::Class(2),
        fresh: 10_000,
        right: Right::Within(0.2),
        published: 31_000,
        ..TASK
    },
    Task {
        name: "3a",
        title: "two sequences",
        draw: draw::two_clean,
        features: 1,
        outputs: Outputs::Second,
        fresh: 256,
        right: Right::Within(0.2),
        mean_error: 0.01,
        published: 39_850,
        ..TASK
    },
    Task {
        name: "3b",
        title: "two sequences, noise",
        draw: draw::two_noisy,
        features: 1,
        outputs: Outputs::Second,
        fresh: 256,
        misses: 5,
        right: Right::Within(0.2),
        mean_error: 0.04,
        published: 43_250,
        ..TASK
    },
    Task {
        name: "3c",
        title: "two sequences, noisy targets",
        draw: draw::two_noisy_targets,
        features: 1,
        outputs: Outputs::Value,
        fresh: 256,
        right: Right::Within(0.1),
        mean_error: 0.015,
        published: 269_650,
        ..TASK
    },
    Task { name: "4", title: "adding", draw: draw::adding, published: 74_000, ..MARKED },
    Task {
        name: "5",
        title: "multiplication",
        draw: draw::multiplication,
        misses: 13,
        published: 1_273_000,
        ..MARKED
    },
    Task {
        name: "6a",
        title: "temporal order of two",
        draw: draw::order_of_two,
        outputs: Outputs::Class(4),
        published: 31_390,
        ..ORDER
    },
    Task {
        name: "6b",
        title: "temporal order of three",
        draw: draw::order_of_three,
        outputs: Outputs::Class(8),
        published: 571_100,
        ..ORDER
    },
];

const TASK: Task = Task {
    name: "",
    title: "",
    draw: draw::embedded_reber,
    features: 0,
    outputs: Outputs::Value,
    remember: LAG,
    fresh: 2_000,
    misses: 0,
    right: Right::Within(0.04),
    mean_error: f32::INFINITY,
    limit: 150_000,
    published: 0,
};
const MARKED: Task = Task { features: 2, ..TASK };
const ORDER: Task = Task { features: 8, right: Right::Within(0.3), ..TASK };
