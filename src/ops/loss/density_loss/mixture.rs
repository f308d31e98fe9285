//! Densities of several numbers at once, as mixtures: -log p, and its slopes by the outputs that have the parameters.
//! The twin of `shaders/loss/parts/density_loss.wgsl`, in double precision.

use super::{MOST, positive, sigmoid};
use libm::{exp, log, tanh};
use std::f64::consts::PI;

/// A mixture of K normal distributions of D numbers: K logits, K means [D], K deviations [D]; with `strokes` D is 2,
/// and K correlations and a logit of the third number follow.
pub(super) struct Mixture<'a> {
    pub(super) components: usize,
    pub(super) axes: usize,
    pub(super) strokes: bool,
    pub(super) x: &'a [f32],
    pub(super) y: &'a [f32],
}

/// log of a sum of exp, as it grows: the largest, and the sum over exp of it.
struct Exps {
    largest: f64,
    sum: f64,
}

impl Exps {
    fn new() -> Self {
        Self { largest: f64::MIN, sum: 0.0 }
    }

    fn add(&mut self, t: f64) {
        if t > self.largest {
            self.sum = self.sum * exp(self.largest - t) + 1.0;
            self.largest = t;
        } else {
            self.sum += exp(t - self.largest);
        }
    }

    fn share(&self, t: f64) -> f64 {
        exp(t - self.largest) / self.sum
    }
}

/// The pull of a component's two numbers on its means, and its correlation.
struct Pair {
    z: [f64; 2],
    deviations: [f64; 2],
    correlation: f64,
    /// 1 less its square.
    rest: f64,
    slope: f64,
}

impl Mixture<'_> {
    fn x(&self, at: usize) -> f64 {
        f64::from(self.x[at])
    }

    /// Where the mean of a component's number lies.
    fn mean_at(&self, k: usize, d: usize) -> usize {
        self.components + k * self.axes + d
    }

    /// How far a target is from a mean, in deviations, and the deviation.
    fn place(&self, k: usize, d: usize) -> [f64; 2] {
        let at = self.mean_at(k, d);
        let deviation = positive(self.x(at + self.components * self.axes));
        [(f64::from(self.y[d]) - self.x(at)) / deviation, deviation]
    }

    fn pair(&self, k: usize) -> Pair {
        let [a, b] = [self.place(k, 0), self.place(k, 1)];
        let t = tanh(self.x(5 * self.components + k));
        let correlation = MOST * t;
        Pair {
            z: [a[0], b[0]],
            deviations: [a[1], b[1]],
            correlation,
            rest: (1.0 - correlation) * (1.0 + correlation),
            slope: MOST * (1.0 - t) * (1.0 + t),
        }
    }

    /// log of the density of a component.
    fn component(&self, k: usize) -> f64 {
        if self.strokes {
            let Pair { z: [a, b], deviations, correlation, rest, .. } = self.pair(k);
            let square = a * a + b * b - 2.0 * correlation * a * b;
            let sizes = log(deviations[0]) + log(deviations[1]) + 0.5 * log(rest);
            return -0.5 * square / rest - sizes - log(2.0 * PI);
        }
        let of = |d| {
            let [z, deviation] = self.place(k, d);
            0.5 * z * z + log(deviation) + 0.5 * log(2.0 * PI)
        };
        -(0..self.axes).map(of).sum::<f64>()
    }

    /// The sums over the logits, and over the logits plus the components' densities.
    fn sums(&self) -> [Exps; 2] {
        let [mut logits, mut joint] = [Exps::new(), Exps::new()];
        for k in 0..self.components {
            logits.add(self.x(k));
            joint.add(self.x(k) + self.component(k));
        }
        [logits, joint]
    }

    fn end_at(&self) -> usize {
        6 * self.components
    }

    pub(super) fn loss(&self) -> f64 {
        let [logits, joint] = self.sums();
        let loss = logits.largest - joint.largest + log(logits.sum) - log(joint.sum);
        if !self.strokes {
            return loss;
        }
        let logit = self.x(self.end_at());
        loss + super::softplus(logit) - f64::from(self.y[2]) * logit
    }

    pub(super) fn slopes(&self, mut write: impl FnMut(usize, f64)) {
        let [logits, joint] = self.sums();
        for k in 0..self.components {
            // The share of the component before the targets are known, and after.
            let of = joint.share(self.x(k) + self.component(k));
            write(k, logits.share(self.x(k)) - of);
            if self.strokes {
                self.stroke_slopes(k, of, &mut write);
                continue;
            }
            for d in 0..self.axes {
                let [z, deviation] = self.place(k, d);
                let at = self.mean_at(k, d);
                let scale_at = at + self.components * self.axes;
                write(at, -of * z / deviation);
                let slope = sigmoid(self.x(scale_at));
                write(scale_at, of * (1.0 - z * z) / deviation * slope);
            }
        }
        if self.strokes {
            let end = self.end_at();
            write(end, sigmoid(self.x(end)) - f64::from(self.y[2]));
        }
    }

    fn stroke_slopes(&self, k: usize, of: f64, write: &mut impl FnMut(usize, f64)) {
        let pair = self.pair(k);
        let Pair { z: [a, b], correlation, rest, .. } = pair;
        let pull = [a - correlation * b, b - correlation * a].map(|p| p / rest);
        for (d, (pull, deviation)) in pull.into_iter().zip(pair.deviations).enumerate() {
            let at = self.mean_at(k, d);
            let scale_at = at + 2 * self.components;
            write(at, -of * pull / deviation);
            let slope = sigmoid(self.x(scale_at));
            write(scale_at, of * (1.0 - pair.z[d] * pull) / deviation * slope);
        }
        let square = a * pull[0] + b * pull[1];
        let by = (correlation * (square - 1.0) - a * b) / rest;
        write(5 * self.components + k, of * by * pair.slope);
    }
}
