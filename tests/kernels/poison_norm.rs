//! A step of the layer-normalised LSTM for the oracle of `poison`.

use super::oracle::dense::gemm;
use super::oracle::lstm as exact;

pub(super) fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Less the mean and over the deviation, and one over the deviation.
fn normalise(x: &[f64]) -> (Vec<f64>, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let root = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n + f64::from(1e-5f32)).sqrt();
    (x.iter().map(|x| (x - mean) / root).collect(), 1.0 / root)
}

fn normalise_backward(d: &[f64], (normal, root): &(Vec<f64>, f64)) -> Vec<f64> {
    let n = d.len() as f64;
    let mean = d.iter().sum::<f64>() / n;
    let dot = d.iter().zip(normal).map(|(d, x)| d * x).sum::<f64>() / n;
    d.iter().zip(normal).map(|(d, x)| root * (d - mean - x * dot)).collect()
}

pub(super) fn times(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// `to += a`, element by element, from `first` on.
pub(super) fn add(to: &mut [f64], first: usize, a: &[f64]) {
    to[first..first + a.len()].iter_mut().zip(a).for_each(|(to, a)| *to += a);
}

/// The parameters of a direction of a normalised layer, or their gradients. Of Ba et al. 2016, equations
/// 20 to 22.
pub(super) struct Normed {
    pub(super) ih: Vec<f64>,
    pub(super) hh: Vec<f64>,
    pub(super) bias: Vec<f64>,
    /// The gains of W x, R h and c, and the shifts of c.
    pub(super) norms: [Vec<f64>; 4],
}

/// A step of a row: what it met, and what it made of that.
pub(super) struct Step {
    x: Vec<f64>,
    h: Vec<f64>,
    c_before: Vec<f64>,
    /// W x, R h and the new c, normalised.
    normal: [(Vec<f64>, f64); 3],
    /// i, f, g, o.
    pub(super) gates: [Vec<f64>; 4],
    pub(super) c: Vec<f64>,
    /// What o lets through.
    pub(super) value: Vec<f64>,
}

impl Normed {
    pub(super) fn step(&self, x: &[f64], h: &[f64], c: &[f64]) -> Step {
        let size = h.len();
        let product = |w: &[f64], v: &[f64]| {
            normalise(&gemm((false, false), [4 * size, 1, v.len()], w, v, None))
        };
        let (of_x, of_h) = (product(&self.ih, x), product(&self.hh, h));
        let [gain_x, gain_h, gain_c, shift_c] = &self.norms;
        let a = sum(&sum(&times(gain_x, &of_x.0), &self.bias), &times(gain_h, &of_h.0));
        let gates = [0, 1, 2, 3].map(|gate| {
            let act = if gate == 2 { exact::Act::Tanh } else { exact::Act::Sigmoid };
            a[gate * size..][..size].iter().map(|&a| act.value(a)).collect::<Vec<_>>()
        });
        let new = sum(&times(&gates[1], c), &times(&gates[0], &gates[2]));
        let of_c = normalise(&new);
        let value = sum(&times(gain_c, &of_c.0), shift_c).iter().map(|v| v.tanh()).collect();
        let (x, h, c_before) = (x.to_vec(), h.to_vec(), c.to_vec());
        Step { x, h, c_before, normal: [of_x, of_h, of_c], gates, c: new, value }
    }

    /// The gradients of x, h and c before the step; adds those of the parameters to `d`.
    pub(super) fn step_back(
        &self,
        step: &Step,
        d_h: &[f64],
        d_c: &[f64],
        d: &mut Self,
    ) -> [Vec<f64>; 3] {
        let size = d_h.len();
        let [i, f, g, o] = &step.gates;
        let [of_x, of_h, of_c] = &step.normal;
        let sigmoid = |y: &[f64]| y.iter().map(|y| y * (1.0 - y)).collect::<Vec<_>>();
        let tanh = |y: &[f64]| y.iter().map(|y| 1.0 - y * y).collect::<Vec<_>>();
        let d_value = times(&times(d_h, o), &tanh(&step.value));
        add(&mut d.norms[2], 0, &times(&d_value, &of_c.0));
        add(&mut d.norms[3], 0, &d_value);
        let d_c = sum(d_c, &normalise_backward(&times(&d_value, &self.norms[2]), of_c));
        let d_a = [
            times(&times(&d_c, g), &sigmoid(i)),
            times(&times(&d_c, &step.c_before), &sigmoid(f)),
            times(&times(&d_c, i), &tanh(g)),
            times(&times(d_h, &step.value), &sigmoid(o)),
        ]
        .concat();
        add(&mut d.bias, 0, &d_a);
        let [of_input, of_state] = [(0, of_x, &self.ih, &step.x), (1, of_h, &self.hh, &step.h)]
            .map(|(n, normal, w, v)| {
                add(&mut d.norms[n], 0, &times(&d_a, &normal.0));
                let d_z = normalise_backward(&times(&d_a, &self.norms[n]), normal);
                let d_w = gemm((false, false), [4 * size, v.len(), 1], &d_z, v, None);
                add(if n == 0 { &mut d.ih } else { &mut d.hh }, 0, &d_w);
                gemm((false, false), [1, v.len(), 4 * size], &d_z, w, None)
            });
        [of_input, of_state, times(&d_c, f)]
    }
}
