//! The sequences of Hochreiter & Schmidhuber 1997, drawn anew each time.

use super::reber;
use rand::RngExt;
use rand_chacha::ChaCha8Rng as Rng;

/// The shortest time from what is to be remembered to where it is asked for in experiment 2, and the shortest
/// sequence in experiments 3 to 6.
pub const LAG: usize = 100;

/// A sequence, and what is to be learned from it.
pub struct Drawn {
    /// Frame by frame.
    pub x: Vec<f32>,
    /// A class or a value for each frame, or one for the sequence.
    pub y: Vec<f32>,
    /// What the outputs of the last frames are measured by: all of them for each of these frames.
    pub truth: Vec<f32>,
}

/// Symbols as frames, each with a 1 in its place.
pub fn one_hot(symbols: &[usize], alphabet: usize) -> Vec<f32> {
    let mut frames = vec![0.0; symbols.len() * alphabet];
    for (frame, &symbol) in frames.chunks_mut(alphabet).zip(symbols) {
        frame[symbol] = 1.0;
    }
    frames
}

/// A class to be told at the end.
fn class_of(symbols: &[usize], alphabet: usize, class: usize, classes: usize) -> Drawn {
    let truth = one_hot(&[class], classes);
    Drawn { x: one_hot(symbols, alphabet), y: vec![class as f32], truth }
}

/// Experiment 1: a string of the embedded Reber grammar. Measured by which symbols may come next.
pub fn embedded_reber(rng: &mut Rng) -> Drawn {
    let mut grammar = reber::Grammar::default();
    let (mut symbols, mut truth) = (vec![grammar.next(rng)], Vec::new());
    while grammar.place != 0 {
        truth.extend(grammar.may_follow());
        symbols.push(grammar.next(rng));
    }
    let (read, next) = (&symbols[..symbols.len() - 1], &symbols[1..]);
    let y = next.iter().map(|&symbol| symbol as f32).collect();
    Drawn { x: one_hot(read, reber::SYMBOLS), y, truth }
}

/// Experiment 2a: x or y, then always the same symbols, then x or y again.
pub fn same_between(rng: &mut Rng) -> Drawn {
    let ends = LAG - 1 + rng.random_range(0..2);
    let symbols: Vec<_> = [ends].into_iter().chain(0..LAG - 1).collect();
    class_of(&symbols, LAG + 1, ends, LAG + 1)
}

/// Experiment 2b: the symbols between are any.
pub fn any_between(rng: &mut Rng) -> Drawn {
    let ends = LAG - 1 + rng.random_range(0..2);
    let mut symbols = vec![ends];
    symbols.extend((0..LAG - 1).map(|_| rng.random_range(0..LAG - 1)));
    class_of(&symbols, LAG + 1, ends, LAG + 1)
}

/// Experiment 2c: b, x or y, at least `LAG` of as many symbols, and at the sign e: was it x or y?
pub fn until_the_sign(rng: &mut Rng) -> Drawn {
    let class = rng.random_range(0..2);
    let [e, b, x] = [LAG, LAG + 1, LAG + 2];
    let mut symbols = vec![b, x + class];
    while symbols.len() < LAG + 2 || rng.random_bool(0.9) {
        symbols.push(rng.random_range(0..LAG));
    }
    symbols.push(e);
    class_of(&symbols, LAG + 4, class, 2)
}

/// Experiment 3: the first values are near +1 or -1, all others noise. The target of each class, with its noise.
fn two_sequences(rng: &mut Rng, noise: f32, targets: [f32; 2], noisy: f32) -> Drawn {
    let class = rng.random_range(0..2);
    let sign = [-1.0, 1.0][class];
    let wide = 0.2f32.sqrt();
    let length = rng.random_range(LAG..=LAG + LAG / 10);
    let value = |t| if t < 3 { sign + noise * normal(rng) } else { wide * normal(rng) };
    let x = (0..length).map(value).collect();
    let truth = vec![targets[class]];
    Drawn { x, y: vec![truth[0] + noisy * normal(rng)], truth }
}

/// Experiment 3a.
pub fn two_clean(rng: &mut Rng) -> Drawn {
    two_sequences(rng, 0.0, [0.0, 1.0], 0.0)
}

/// Experiment 3b: noise on the values that tell the class.
pub fn two_noisy(rng: &mut Rng) -> Drawn {
    two_sequences(rng, 0.2f32.sqrt(), [0.0, 1.0], 0.0)
}

/// Experiment 3c: and on the targets, of which the mean is to be learned.
pub fn two_noisy_targets(rng: &mut Rng) -> Drawn {
    two_sequences(rng, 0.2f32.sqrt(), [0.8, 0.2], 0.1f32.sqrt())
}

/// Two values are marked, one of the first ten and another of the first half.
fn two_marked(rng: &mut Rng, low: f32, of_first: f32) -> (Vec<f32>, [f32; 2]) {
    let length = rng.random_range(LAG..=LAG + LAG / 10);
    let mut x: Vec<f32> = (0..length).flat_map(|_| [rng.random_range(low..1.0), 0.0]).collect();
    x[1] = -1.0;
    x[2 * length - 1] = -1.0;
    let first = rng.random_range(0..10);
    let second = (first + rng.random_range(1..LAG / 2 - 1)) % (LAG / 2 - 1);
    let marked = [first, second].map(|at| {
        x[2 * at + 1] = 1.0;
        // What stands for the first pair's value, should it be marked.
        if at == 0 { of_first } else { x[2 * at] }
    });
    (x, marked)
}

/// Experiment 4.
pub fn adding(rng: &mut Rng) -> Drawn {
    let (x, [a, b]) = two_marked(rng, -1.0, 0.0);
    let y = vec![0.5 + (a + b) / 4.0];
    Drawn { x, truth: y.clone(), y }
}

/// Experiment 5.
pub fn multiplication(rng: &mut Rng) -> Drawn {
    let (x, [a, b]) = two_marked(rng, 0.0, 1.0);
    let y = vec![a * b];
    Drawn { x, truth: y.clone(), y }
}

/// Experiment 6: E, any of a, b, c and d, but at some places X or Y, and B: in which order were they?
fn order(rng: &mut Rng, places: &[[usize; 2]]) -> Drawn {
    let [end, begin, x] = [4, 5, 6];
    let length = rng.random_range(LAG..=LAG + LAG / 10);
    let mut symbols: Vec<_> = (0..length).map(|_| rng.random_range(0..4)).collect();
    (symbols[0], symbols[length - 1]) = (begin, end);
    let mut class = 0;
    for &[first, last] in places {
        let which = rng.random_range(0..2);
        symbols[rng.random_range(first..=last)] = x + which;
        class = 2 * class + which;
    }
    class_of(&symbols, 8, class, 1 << places.len())
}

/// Experiment 6a.
pub fn order_of_two(rng: &mut Rng) -> Drawn {
    order(rng, &[[10, 20], [50, 60]])
}

/// Experiment 6b.
pub fn order_of_three(rng: &mut Rng) -> Drawn {
    order(rng, &[[10, 20], [33, 43], [66, 76]])
}

/// From the normal distribution, by Box and Muller.
fn normal(rng: &mut Rng) -> f32 {
    let [u, v]: [f32; 2] = [rng.random(), rng.random()];
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}
