//! A layer-normalised LSTM over whole sequences (Ba et al. 2016, arXiv 1607.06450), from the
//! normalised input projection on.

use super::Columns;
use super::gpu::transpose_gates::transpose_gates;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constant, Constants, Kernel, Wgsl, Workgroup, folded, wgsl};
use crate::device::threads;
use crate::ops::common::{ACTIVATIONS, INDEX, IS_NAN, Launch, product, switches};
use crate::ops::elementwise::activation::sigmoid;
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::sums::column_sum::column_sum;
use crate::{Lengths, Result, Tensor};

const COMMON: Wgsl = wgsl!("lstm/parts/norm.wgsl");

pub(crate) static FORWARD: Kernel = Kernel {
    name: "norm_lstm",
    workgroup: Workgroup::Constant("WG"),
    parts: &[IS_NAN, ACTIVATIONS, INDEX, COMMON, wgsl!("lstm/norm_lstm.wgsl")],
    bindings: &[
        ("gates", Write),
        ("r", Read),
        ("norms", Read),
        ("z", Write),
        ("before", Write),
        ("y", Write),
        ("state", Write),
        ("lengths", Read),
    ],
    variants,
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "norm_lstm_bwd",
    workgroup: Workgroup::Constant("WG"),
    parts: &[IS_NAN, ACTIVATIONS, INDEX, COMMON, wgsl!("lstm/norm_lstm_bwd.wgsl")],
    bindings: &[
        ("gates", Write),
        ("rt", Read),
        ("norms", Read),
        ("z", Write),
        ("before", Read),
        ("d_y", Read),
        ("sums", Write),
        ("lengths", Read),
    ],
    variants,
};

fn variants() -> Vec<Constants> {
    product(switches(["LENGTHS"]), &[32, 64, 128, 256].map(|wg| vec![("WG", wg)]))
}

/// What is computed, and of what.
#[derive(Clone)]
pub(crate) struct Call {
    /// `[B,T,H,4]`, the normalised input projection with its bias. Taken: it becomes the gates.
    pub(crate) gates: Tensor,
    /// `[H,H,4]`.
    pub(crate) weight_hh: Tensor,
    /// `[6H]`: the gains of R h (four a unit) and of c, and the shifts of c.
    pub(crate) norms: Tensor,
    pub(crate) lengths: Option<Lengths>,
    pub(crate) reverse: bool,
    pub(crate) epsilon: f32,
}

/// What the backward pass needs.
pub(crate) struct Saved {
    call: Call,
    z: Tensor,
    /// `[B,T,2H+4]`.
    before: Tensor,
}

/// What the backward pass gives.
pub(crate) struct Gradients {
    /// `[B,T,H,4]`, of the input projection.
    pub(crate) gates: Tensor,
    /// `[6H]`.
    pub(crate) norms: Tensor,
    /// `[B,H]`, of the first state.
    pub(crate) h: Tensor,
    pub(crate) c: Tensor,
}

impl Call {
    fn sizes(&self) -> [usize; 3] {
        let shape = self.gates.shape();
        [shape[0], shape[1], shape[2]]
    }

    fn length(&self, row: usize) -> usize {
        let t = self.gates.shape()[1];
        self.lengths.as_ref().map_or(t, |l| l.values()[row] as usize)
    }

    /// The frame of a row's step, among the row's.
    fn frame(&self, row: usize, step: usize) -> usize {
        if self.reverse { self.length(row) - 1 - step } else { step }
    }

    fn constants(&self) -> [Constant; 2] {
        let h = self.sizes()[2];
        let wg = h.next_power_of_two().clamp(32, 256) as u32;
        [("LENGTHS", self.lengths.is_some().into()), ("WG", wg)]
    }

    fn uniform(&self, y: Option<Columns<'_>>, save: bool) -> [u32; 9] {
        let [b, t, h] = self.sizes();
        let [stride, first] = y.map_or([0; 2], |y| [y.stride(), y.first]);
        let [b, t, h, stride, first] = [b, t, h, stride, first].map(|w| w as u32);
        let [given, reverse, save] = [y.is_some(), self.reverse, save].map(u32::from);
        [b, t, h, stride, first, given, reverse, save, self.epsilon.to_bits()]
    }

    /// Runs all steps, from `state` `[B,2H]` (h, c), which becomes the last. `y` gets the outputs,
    /// but for what lies past a row's end.
    pub(crate) fn forward(
        self,
        state: &Tensor,
        y: Option<Columns<'_>>,
        save: bool,
    ) -> Result<Option<Saved>> {
        let [b, t, h] = self.sizes();
        let device = self.gates.device();
        let z = Tensor::empty([b, if save { t } else { 1 }, h, 4], &device)?;
        let before = Tensor::empty([b, if save { t } else { 1 }, 2 * h + 4], &device)?;
        if save && self.lengths.is_some() {
            // A product goes over all frames, with zeros for those past a row's end.
            before.fill(0.0)?;
        }
        if let Some(gpu) = self.gates.gpu() {
            gpu.run(&Launch {
                kernel: &FORWARD,
                grid: folded(b),
                constants: &self.constants(),
                uniform: &self.uniform(y, save),
                tensors: &[
                    Some(&self.gates),
                    Some(&self.weight_hh),
                    Some(&self.norms),
                    Some(&z),
                    save.then_some(&before),
                    y.map(|y| y.tensor),
                    Some(state),
                    self.lengths.as_ref().map(|l| &l.tensor),
                ],
            })?;
        } else {
            self.forward_on_cpu(state, y, save, &z, &before);
        }
        Ok(save.then_some(Saved { call: self, z, before }))
    }

    fn forward_on_cpu(
        &self,
        state: &Tensor,
        y: Option<Columns<'_>>,
        save: bool,
        z: &Tensor,
        before: &Tensor,
    ) {
        let [b, t, h] = self.sizes();
        let (r, norms) = (self.weight_hh.cpu(), self.norms.cpu());
        let (r, norms): (&[f32], &[f32]) = (&r, &norms);
        let outputs = self.gates.cpu_mut(|gates| {
            z.cpu_mut(|z| {
                before.cpu_mut(|before| {
                    state.cpu_mut(|state| {
                        let mut kept: Vec<&mut [f32]> = match save {
                            true => before.chunks_exact_mut(t * (2 * h + 4)).collect(),
                            false => (0..b).map(|_| &mut [][..]).collect(),
                        };
                        let mut outputs = vec![Vec::new(); b];
                        let rows = gates
                            .chunks_exact_mut(t * 4 * h)
                            .zip(z.chunks_exact_mut(if save { t } else { 1 } * 4 * h))
                            .zip(kept.iter_mut())
                            .zip(state.chunks_exact_mut(2 * h))
                            .zip(&mut outputs)
                            .enumerate();
                        threads::each(
                            rows,
                            threads::count(),
                            |(row, ((((gates, z), before), state), outputs))| {
                                *outputs = vec![0.0; if y.is_some() { t * h } else { 0 }];
                                for step in 0..self.length(row) {
                                    let frame = self.frame(row, step);
                                    let z_at = if save { frame } else { 0 } * 4 * h;
                                    let end = self.step(
                                        (r, norms),
                                        &mut gates[frame * 4 * h..][..4 * h],
                                        &mut z[z_at..][..4 * h],
                                        before.chunks_exact_mut(2 * h + 4).nth(frame),
                                        state,
                                    );
                                    if y.is_some() {
                                        outputs[frame * h..][..h].copy_from_slice(end);
                                    }
                                }
                            },
                        );
                        outputs
                    })
                })
            })
        });
        let Some(y) = y else { return };
        let stride = y.stride();
        y.tensor.cpu_mut(|words| {
            for (row, outputs) in outputs.iter().enumerate() {
                for (frame, h_t) in outputs.chunks_exact(h).take(self.length(row)).enumerate() {
                    words[(row * t + frame) * stride + y.first..][..h].copy_from_slice(h_t);
                }
            }
        });
    }

    /// One step of a row; gives its h.
    fn step<'a>(
        &self,
        (r, norms): (&[f32], &[f32]),
        gates: &mut [f32],
        z: &mut [f32],
        kept: Option<&mut [f32]>,
        state: &'a mut [f32],
    ) -> &'a [f32] {
        let h_size = z.len() / 4;
        let (h, c) = state.split_at_mut(h_size);
        z.fill(0.0);
        for (h, r) in h.iter().zip(r.chunks_exact(4 * h_size)) {
            z.iter_mut().zip(r).for_each(|(z, r)| *z += h * r);
        }
        let (mean_z, root_z) = self.stats(z);
        let mut before = Vec::new();
        if kept.is_some() {
            before.extend_from_slice(h);
            before.extend_from_slice(c);
        }
        for (u, c) in c.iter_mut().enumerate() {
            let a: [f32; 4] = std::array::from_fn(|j| {
                let at = 4 * u + j;
                gates[at] + norms[at] * ((z[at] - mean_z) * root_z)
            });
            let [i, f, g, o] = [sigmoid(a[0]), sigmoid(a[1]), a[2].tanh(), sigmoid(a[3])];
            gates[4 * u..][..4].copy_from_slice(&[i, f, g, o]);
            *c = f * *c + i * g;
        }
        let (mean_c, root_c) = self.stats(c);
        for (u, (h, c)) in h.iter_mut().zip(&*c).enumerate() {
            let normal = (c - mean_c) * root_c;
            let value = (norms[4 * h_size + u] * normal + norms[5 * h_size + u]).tanh();
            *h = gates[4 * u + 3] * value;
        }
        if let Some(kept) = kept {
            before.extend([mean_z, root_z, mean_c, root_c]);
            kept.copy_from_slice(&before);
        }
        h
    }

    /// The mean, and one over the root of the variance.
    fn stats(&self, x: &[f32]) -> (f32, f32) {
        let n = x.len() as f32;
        let mean = x.iter().sum::<f32>() / n;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n;
        (mean, 1.0 / (variance + self.epsilon).sqrt())
    }
}

impl Saved {
    /// Differentiates from the gradients of the outputs and of the last state; adds that of R to
    /// `d_weight_hh`.
    pub(crate) fn backward(
        self,
        d_y: Option<Columns<'_>>,
        d_h: Option<&Tensor>,
        d_c: Option<&Tensor>,
        d_weight_hh: &Tensor,
    ) -> Result<Gradients> {
        let [b, t, h] = self.call.sizes();
        let device = self.z.device();
        let sums = Tensor::zeros([b, 8 * h], &device)?;
        for (number, d) in [d_h, d_c].into_iter().enumerate() {
            if let Some(d) = d {
                copy_columns((d, 0), (&sums, number * h), h)?;
            }
        }
        let Self { call, z, before } = self;
        if let Some(gpu) = z.gpu() {
            gpu.run(&Launch {
                kernel: &BACKWARD,
                grid: folded(b),
                constants: &call.constants(),
                uniform: &call.uniform(d_y, true),
                tensors: &[
                    Some(&call.gates),
                    Some(&transpose_gates(&call.weight_hh)?),
                    Some(&call.norms),
                    Some(&z),
                    Some(&before),
                    d_y.map(|y| y.tensor),
                    Some(&sums),
                    call.lengths.as_ref().map(|l| &l.tensor),
                ],
            })?;
        } else {
            call.backward_on_cpu(d_y, &z, &before, &sums);
        }
        Gemm { m: h, n: 4 * h, k: b * t, bias: None, accumulate: true }.run(
            Matrix::new(&before, 2 * h + 4).t(),
            Matrix::new(&z, 4 * h),
            Matrix::new(d_weight_hh, 4 * h),
        )?;
        let all = Tensor::zeros([1, 8 * h], &device)?;
        column_sum(&sums, &all)?;
        let norms = Tensor::empty([1, 6 * h], &device)?;
        copy_columns((&all, 2 * h), (&norms, 0), 6 * h)?;
        let state = |number: usize| -> Result<Tensor> {
            let d = Tensor::empty([b, h], &device)?;
            copy_columns((&sums, number * h), (&d, 0), h)?;
            Ok(d)
        };
        Ok(Gradients {
            norms: norms.reshape([6 * h])?,
            h: state(0)?,
            c: state(1)?,
            gates: call.gates,
        })
    }
}

impl Call {
    fn backward_on_cpu(
        &self,
        d_y: Option<Columns<'_>>,
        z: &Tensor,
        before: &Tensor,
        sums: &Tensor,
    ) {
        let [_, t, h] = self.sizes();
        let (r, norms, before) = (self.weight_hh.cpu(), self.norms.cpu(), before.cpu());
        let (r, norms, before): (&[f32], &[f32], &[f32]) = (&r, &norms, &before);
        let arriving = d_y.map(|y| (y.tensor.cpu(), y.stride(), y.first));
        let d_y = arriving.as_ref().map(|(words, stride, first)| (&words[..], *stride, *first));
        self.gates.cpu_mut(|gates| {
            z.cpu_mut(|z| {
                sums.cpu_mut(|sums| {
                    let rows = gates
                        .chunks_exact_mut(t * 4 * h)
                        .zip(z.chunks_exact_mut(t * 4 * h))
                        .zip(sums.chunks_exact_mut(8 * h));
                    threads::each(
                        rows.enumerate(),
                        threads::count(),
                        |(row, ((gates, z), sums))| {
                            let length = self.length(row);
                            gates[length * 4 * h..].fill(0.0);
                            z[length * 4 * h..].fill(0.0);
                            for step in (0..length).rev() {
                                let frame = self.frame(row, step);
                                let at = row * t + frame;
                                self.step_back(
                                    (r, norms),
                                    &mut gates[frame * 4 * h..][..4 * h],
                                    &mut z[frame * 4 * h..][..4 * h],
                                    &before[at * (2 * h + 4)..][..2 * h + 4],
                                    d_y.map(|(words, stride, first)| {
                                        &words[at * stride + first..][..h]
                                    }),
                                    sums,
                                );
                            }
                        },
                    );
                });
            });
        });
    }

    fn step_back(
        &self,
        (r, norms): (&[f32], &[f32]),
        gates: &mut [f32],
        z: &mut [f32],
        kept: &[f32],
        d_y: Option<&[f32]>,
        sums: &mut [f32],
    ) {
        let h = z.len() / 4;
        let [mean_z, root_z, mean_c, root_c] = [0, 1, 2, 3].map(|j| kept[2 * h + j]);
        // For each unit: c normalised, tanh of it, d_h, and the gradient of what tanh takes.
        let ends: Vec<[f32; 4]> = (0..h)
            .map(|u| {
                let gate = &gates[4 * u..][..4];
                let c = gate[1] * kept[h + u] + gate[0] * gate[2];
                let normal = (c - mean_c) * root_c;
                let value = (norms[4 * h + u] * normal + norms[5 * h + u]).tanh();
                let d_h = sums[u] + d_y.map_or(0.0, |d| d[u]);
                [normal, value, d_h, d_h * gate[3] * (1.0 - value * value)]
            })
            .collect();
        let mut of_c = [0.0; 2];
        for (u, [normal, _, _, d]) in ends.iter().enumerate() {
            sums[6 * h + u] += d * normal;
            sums[7 * h + u] += d;
            let g = d * norms[4 * h + u];
            of_c[0] += g;
            of_c[1] += g * normal;
        }
        let of_c = of_c.map(|sum| sum / h as f32);
        let mut of_z = [0.0; 2];
        for (u, &[normal, value, d_h, d]) in ends.iter().enumerate() {
            let [i, f, g, o] = [0, 1, 2, 3].map(|j| gates[4 * u + j]);
            let through = d * norms[4 * h + u] - of_c[0] - normal * of_c[1];
            let d_c = sums[h + u] + root_c * through;
            sums[h + u] = d_c * f;
            let d_a = [
                d_c * g * i * (1.0 - i),
                d_c * kept[h + u] * f * (1.0 - f),
                d_c * i * (1.0 - g * g),
                d_h * value * o * (1.0 - o),
            ];
            for (j, d) in d_a.into_iter().enumerate() {
                let at = 4 * u + j;
                let normal = (z[at] - mean_z) * root_z;
                sums[2 * h + at] += d * normal;
                of_z[0] += d * norms[at];
                of_z[1] += d * norms[at] * normal;
                gates[at] = d;
            }
        }
        let of_z = of_z.map(|sum| sum / (4 * h) as f32);
        for (at, z) in z.iter_mut().enumerate() {
            let normal = (*z - mean_z) * root_z;
            *z = root_z * (gates[at] * norms[at] - of_z[0] - normal * of_z[1]);
        }
        for (d_h, r) in sums.iter_mut().zip(r.chunks_exact(4 * h)) {
            *d_h = r.iter().zip(&*z).map(|(r, z)| r * z).sum();
        }
    }
}
