//! Public LSTM shapes: those that others publish figures for.

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Forward,
    /// Forward and backward.
    Training,
}

/// One layer in one direction.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub of: &'static str,
    pub pass: Pass,
    pub hidden: usize,
    pub batch: usize,
    pub timesteps: usize,
    pub input: usize,
}

/// DeepBench's list (`code/kernels/rnn_problems.h`) and FlashRNN's
/// (`flashrnn/speed_experiments/kernel_speed_benchmark.py`); both have inputs of the hidden size.
pub fn all() -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut add = |of, pass, hidden, batches: &[usize], timesteps| {
        shapes.extend(batches.iter().map(|&batch| Shape {
            of,
            pass,
            hidden,
            batch,
            timesteps,
            input: hidden,
        }));
    };
    for hidden in [512, 1024, 2048, 4096] {
        add("DeepBench", Pass::Training, hidden, &[16, 32, 64, 128], 25);
    }
    add("DeepBench", Pass::Training, 1536, &[8, 16, 32], 50);
    add("DeepBench", Pass::Training, 256, &[16, 32, 64], 150);
    for hidden in [512, 1024, 2048] {
        add("DeepBench", Pass::Forward, hidden, &[1, 2, 4], 25);
    }
    add("DeepBench", Pass::Forward, 1536, &[1, 2, 4], 50);
    // Its list for devices has the first of these too.
    add("DeepBench", Pass::Forward, 256, &[1, 2, 4], 150);
    for pass in [Pass::Forward, Pass::Training] {
        add("FlashRNN", pass, 768, &[2, 8, 16, 32, 64, 128, 256], 1024);
        for timesteps in [256, 512, 2048] {
            add("FlashRNN", pass, 768, &[16], timesteps);
        }
    }
    shapes
}
