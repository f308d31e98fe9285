//! One step of gradient descent for all parameters at once.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise, switches};
use crate::ops::optim::drawn::{self, Pass, RowGradient};
use crate::ops::optim::loss_scale::LOSS_SCALE;
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "sgd",
    parts: &[INDEX, LOSS_SCALE, drawn::WGSL, ELEMENTWISE, wgsl!("optim/sgd.wgsl")],
    bindings: &[("p", Write), ("g", Write), ("v", Write), ("scaling", Read), ("rows", Read)],
    variants: || switches(["NESTEROV", "SCALED", "ROWS"]),
    ..Kernel::PLAIN
};

/// The factors of one step; see the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) rate: f32,
    pub(crate) momentum: f32,
    pub(crate) nesterov: bool,
}

/// Moves the parameters `p` along the gradients `g`, which are then zero; or the rows of a table that
/// are `drawn`, whose gradient `g` is. `scaling`: the loss scale that they have, settled by
/// [`super::loss_scale`].
pub(crate) fn sgd(
    [p, g, v]: [&Tensor; 3],
    drawn: Option<&RowGradient>,
    f: Factors,
    scaling: Option<&Tensor>,
) -> Result<()> {
    if g.is_empty() {
        return Ok(());
    }
    let Some(gpu) = p.gpu() else {
        let inverse = scaling.map_or(1.0, |scaling| scaling.cpu()[1]);
        let run = |[p, g, v]: [&mut [f32]; 3]| match drawn {
            None => twin([p, g, v], f, inverse),
            Some(drawn) => {
                for (here, row) in drawn::ranges(drawn) {
                    twin([&mut p[row.clone()], &mut g[here], &mut v[row]], f, inverse);
                }
            }
        };
        p.cpu_mut(|p| g.cpu_mut(|g| v.cpu_mut(|v| run([p, g, v]))));
        return Ok(());
    };
    let rows = drawn.map(|drawn| drawn.upload(&p.device())).transpose()?;
    for pass in Pass::all(p, drawn) {
        let [skip, size, base] = pass.words();
        elementwise(&KERNEL, pass.n)
            .constants(&[
                ("NESTEROV", f.nesterov.into()),
                ("SCALED", scaling.is_some().into()),
                ("ROWS", drawn.is_some().into()),
            ])
            .words(&[f.rate.to_bits(), f.momentum.to_bits(), skip, size, base])
            .run(
                gpu,
                &[
                    Some(&pass.view(p)),
                    Some(&pass.gradient(g, drawn)),
                    Some(&pass.view(v)),
                    scaling,
                    rows.as_ref(),
                ],
            )?;
    }
    Ok(())
}

fn twin([p, g, v]: [&mut [f32]; 3], f: Factors, inverse: f32) {
    if inverse == 0.0 {
        g.fill(0.0);
        return;
    }
    for ((p, g), v) in p.iter_mut().zip(g).zip(v) {
        let d = *g * inverse;
        *v = f.momentum * *v + d;
        *p -= f.rate * if f.nesterov { d + f.momentum * *v } else { *v };
        *g = 0.0;
    }
}
