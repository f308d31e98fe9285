//! One step of Adam for all parameters at once.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise, switches};
use crate::ops::optim::drawn::{self, Pass, RowGradient};
use crate::ops::optim::loss_scale::LOSS_SCALE;
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "adam",
    parts: &[INDEX, LOSS_SCALE, drawn::WGSL, ELEMENTWISE, wgsl!("optim/adam.wgsl")],
    bindings: &[
        ("p", Write),
        ("g", Write),
        ("m", Write),
        ("v", Write),
        ("scaling", Read),
        ("count", Read),
        ("rows", Read),
    ],
    variants: || switches(["SCALED", "ROWS"]),
    ..Kernel::PLAIN
};

/// The factors of one step; see the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) rate: f32,
    /// The number of this step, from 1 on; with a loss scale the device counts.
    pub(crate) step: i32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) epsilon: f32,
    pub(crate) decay: f32,
}

impl Factors {
    /// The rate and the root of the kernel's equation, for this step.
    fn corrected(self) -> [f32; 2] {
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(self.step);
        let rate = f64::from(self.rate) / correction(self.beta1);
        [rate as f32, correction(self.beta2).sqrt() as f32]
    }
}

/// Moves the parameters `p` along the gradients `g`, which are then zero; or the rows of a table that
/// are `drawn`, whose gradient `g` is. `scaling`: the loss scale that they have and the number of the
/// step, settled by [`super::loss_scale`].
pub(crate) fn adam(
    [p, g, m, v]: [&Tensor; 4],
    drawn: Option<&RowGradient>,
    mut f: Factors,
    scaling: Option<[&Tensor; 2]>,
) -> Result<()> {
    if g.is_empty() {
        return Ok(());
    }
    let Some(gpu) = p.gpu() else {
        let mut inverse = 1.0;
        if let Some([scaling, count]) = scaling {
            inverse = scaling.cpu()[1];
            f.step = count.cpu()[0] as i32;
        }
        let run = |[p, g, m, v]: [&mut [f32]; 4]| match drawn {
            None => twin([p, g, m, v], f, inverse),
            Some(drawn) => {
                for (here, row) in drawn::ranges(drawn) {
                    let row = [&mut p[row.clone()], &mut g[here], &mut m[row.clone()], &mut v[row]];
                    twin(row, f, inverse);
                }
            }
        };
        p.cpu_mut(|p| g.cpu_mut(|g| m.cpu_mut(|m| v.cpu_mut(|v| run([p, g, m, v])))));
        return Ok(());
    };
    let [rate, root] = if scaling.is_some() { [f.rate, 1.0] } else { f.corrected() };
    // The logarithm of 0 as one that leaves nothing.
    let log = |beta: f32| beta.ln().max(-200.0);
    let words = [rate, root, f.beta1, f.beta2, f.epsilon, f.decay, log(f.beta1), log(f.beta2)];
    let [rate, root, beta1, beta2, epsilon, decay, log1, log2] = words.map(f32::to_bits);
    let rows = drawn.map(|drawn| drawn.upload(&p.device())).transpose()?;
    for pass in Pass::all(p, drawn) {
        let [skip, size, base] = pass.words();
        elementwise(&KERNEL, pass.n)
            .constants(&[("SCALED", scaling.is_some().into()), ("ROWS", drawn.is_some().into())])
            .words(&[rate, root, beta1, beta2, epsilon, decay, log1, log2, skip, size, base])
            .run(
                gpu,
                &[
                    Some(&pass.view(p)),
                    Some(&pass.gradient(g, drawn)),
                    Some(&pass.view(m)),
                    Some(&pass.view(v)),
                    scaling.map(|[scaling, _]| scaling),
                    scaling.map(|[_, count]| count),
                    rows.as_ref(),
                ],
            )?;
    }
    Ok(())
}

fn twin([p, g, m, v]: [&mut [f32]; 4], f: Factors, inverse: f32) {
    if inverse == 0.0 {
        g.fill(0.0);
        return;
    }
    let [rate, root] = f.corrected();
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        let d = *g * inverse;
        *m = f.beta1 * *m + (1.0 - f.beta1) * d;
        *v = f.beta2 * *v + (1.0 - f.beta2) * d * d;
        *p = *p * (1.0 - f.decay) - rate * *m / (v.sqrt() / root + f.epsilon);
        *g = 0.0;
    }
}
