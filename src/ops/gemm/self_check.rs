//! Whether kernels that rest on more than every API promises are right on a device: small products by them
//! and by plain ones, compared.

use super::kernels::{REGISTER, SUBGROUP, TILE, Way};
use super::matrix::Matrix;
use super::{Gemm, cooperative, samples};
use crate::device::fast_path::{Comparison, FastPath};
use crate::device::gpu::Gpu;
use crate::device::kernel::Kernel;
use crate::device::{Backend, Device};
use crate::ops::elementwise::half::{self, half};
use crate::{Result, Tensor};
use std::sync::Arc;

/// Products by subgroups of 8.
pub(super) static TRUSTED_SUBGROUP: FastPath =
    FastPath { name: "gemm_subgroup", kernels: &[&SUBGROUP[0], &REGISTER[0]], check: compare };

/// Products of 16-bit floats. Who makes such tensors asks [`super::has_half`] before.
pub(super) static TRUSTED_F16: FastPath = FastPath {
    name: "gemm_f16",
    kernels: &[&half::KERNEL, &TILE[4], &REGISTER[4]],
    check: compare_f16,
};

/// Products by cooperative matrices.
pub(crate) static TRUSTED_COOPERATIVE: FastPath = FastPath {
    name: "gemm_cooperative",
    kernels: &[
        &cooperative::KERNELS[0],
        &cooperative::KERNELS[1],
        &cooperative::KERNELS[2],
        &cooperative::KERNELS[3],
        &TILE[1],
    ],
    check: compare_cooperative,
};

/// Compares a small product by the kernel for subgroups with the plain one's.
fn compare(gpu: &Arc<Gpu>) -> Result<Comparison> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let [m, n, k] = [37, 75, 29];
    let [a, b] = samples(gpu, [m, n, k])?;
    let product = |way: Way| -> Result<Tensor> {
        let c = Tensor::empty([m, n], &device)?;
        let gemm = Gemm { m, n, k, bias: None, accumulate: false };
        let [a, b] = [Matrix::new(&a, k), Matrix::new(&b, n)];
        gemm.launch(gpu, way, a, b, Matrix::new(&c, n))?;
        Ok(c)
    };
    // Both are recorded before one is read, here and below: kernels are compiled together.
    let (special, plain) = (product((&SUBGROUP, [32, 64]))?, product((&REGISTER, [8, 64]))?);
    Ok(Comparison { fast: special.to_vec()?, plain: plain.to_vec()?, bound: 1e-5 })
}

/// Compares a small product of 16-bit floats with that of 32-bit floats.
fn compare_f16(gpu: &Arc<Gpu>) -> Result<Comparison> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let [m, n, k] = [37, 75, 29];
    let [a, b] = samples(gpu, [m, n, k])?;
    let product = |a: &Tensor, b: &Tensor, c: Tensor| -> Result<Tensor> {
        let gemm = Gemm { m, n, k, bias: None, accumulate: false };
        gemm.run(Matrix::new(a, k), Matrix::new(b, n), Matrix::new(&c, n))?;
        Ok(c)
    };
    let plain = product(&a, &b, Tensor::empty([m, n], &device)?)?;
    let [a, b] = [half(&a)?, half(&b)?];
    let special = product(&a, &b, Tensor::empty_f16([m, n], gpu)?)?;
    // Operands and result are each within half a unit of the last place of 11 bits, 5e-4; the
    // operands' errors are of both signs.
    Ok(Comparison { fast: special.to_vec()?, plain: plain.to_vec()?, bound: 2e-3 })
}

/// Small products, not of whole tiles, with A of 32 and of 16 bits, as it is and transposed.
fn compare_cooperative(gpu: &Arc<Gpu>) -> Result<Comparison> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let [m, n, k] = [100, 84, 76];
    let [a, b] = samples(gpu, [m, n, k])?;
    let [a16, b16] = [half(&a)?, half(&b)?];
    // What 16 bits can hold, so that sums differ by their order alone.
    let a32 = Tensor::from_slice(&a16.to_vec()?, [m, k], &device)?;
    let products = |kernels: &'static [Kernel]| -> Result<[Tensor; 2]> {
        let product = |a: &Tensor, transposed: bool| -> Result<Tensor> {
            // Whatever is left unwritten differs from everything.
            let c = Tensor::from_slice(&vec![f32::NAN; m * n], [m, n], &device)?;
            let (a, b) = match transposed {
                false => (Matrix::new(a, k), Matrix::new(&b16, n)),
                true => (Matrix::new(a, m).t(), Matrix::new(&b16, k).t()),
            };
            let gemm = Gemm { m, n, k, bias: None, accumulate: false };
            gemm.launch(gpu, (kernels, [64, 64]), a, b, Matrix::new(&c, n))?;
            Ok(c)
        };
        Ok([product(&a32, false)?, product(&a16, true)?])
    };
    let read = |[a, b]: [Tensor; 2]| -> Result<_> { Ok([a.to_vec()?, b.to_vec()?].concat()) };
    let (fast, plain) = (products(&cooperative::KERNELS)?, products(&TILE)?);
    Ok(Comparison { fast: read(fast)?, plain: read(plain)?, bound: 1e-4 })
}
