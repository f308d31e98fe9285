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

/// The kernels of a shape, of products by cooperative matrices, and what they are compared with.
macro_rules! of_shape {
    ($shape:ident) => {
        [
            &cooperative::$shape[0],
            &cooperative::$shape[1],
            &cooperative::$shape[2],
            &cooperative::$shape[3],
            &cooperative::$shape[4],
            &TILE[1],
        ]
    };
}

/// Products by subgroups of 8.
pub(super) static TRUSTED_SUBGROUP: FastPath =
    FastPath { name: "gemm_subgroup", kernels: &[&SUBGROUP[0], &REGISTER[0]], check: compare };

/// Products of 16-bit floats. Who makes such tensors asks [`super::has_half`] before.
pub(super) static TRUSTED_F16: FastPath = FastPath {
    name: "gemm_f16",
    kernels: &[&half::KERNEL, &TILE[4], &REGISTER[4]],
    check: compare_f16,
};

/// Products by cooperative matrices, of each shape.
pub(crate) static TRUSTED_COOPERATIVE: [FastPath; 7] = [
    cooperative("gemm_cooperative", &of_shape!(SMALL), compare_cooperative::<0>),
    cooperative("gemm_cooperative_wave64", &of_shape!(SMALL_64), compare_cooperative::<1>),
    cooperative("gemm_cooperative_128", &of_shape!(MIDDLE), compare_cooperative::<2>),
    cooperative("gemm_cooperative_128_few", &of_shape!(WIDE), compare_cooperative::<3>),
    cooperative("gemm_cooperative_128_wave64", &of_shape!(WIDE_64), compare_cooperative::<4>),
    cooperative("gemm_cooperative_256", &of_shape!(WIDEST), compare_cooperative::<5>),
    cooperative("gemm_cooperative_8", &of_shape!(EIGHTS), compare_cooperative::<6>),
];

/// The shapes of products by cooperative matrices that were seen right on this device.
pub(crate) fn cooperative_ways(gpu: &Arc<Gpu>) -> Vec<Way> {
    let all = cooperative::SHAPES.iter().zip(&TRUSTED_COOPERATIVE);
    let right = all.filter(|(shape, path)| shape.fits(gpu) && gpu.is_trusted(path));
    right.map(|(shape, _)| shape.way).collect()
}

const fn cooperative(
    name: &'static str,
    kernels: &'static [&'static Kernel],
    check: fn(&Arc<Gpu>) -> Result<Comparison>,
) -> FastPath {
    FastPath { name, kernels, check }
}

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

/// Small products, not of whole tiles, with A of 32 and of 16 bits, as it is and transposed; and with both of 32.
fn compare_cooperative<const SHAPE: usize>(gpu: &Arc<Gpu>) -> Result<Comparison> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let [m, n, k] = [148, 276, 76];
    let [a, b] = samples(gpu, [m, n, k])?;
    let [a16, b16] = [half(&a)?, half(&b)?];
    // What 16 bits can hold, so that sums differ by their order alone.
    let a32 = Tensor::from_slice(&a16.to_vec()?, [m, k], &device)?;
    let b32 = Tensor::from_slice(&b16.to_vec()?, [k, n], &device)?;
    let products = |way: Way| -> Result<[Tensor; 3]> {
        let product = |a: &Tensor, b: &Tensor, transposed: bool| -> Result<Tensor> {
            // Whatever is left unwritten differs from everything.
            let c = Tensor::from_slice(&vec![f32::NAN; m * n], [m, n], &device)?;
            let (a, b) = match transposed {
                false => (Matrix::new(a, k), Matrix::new(b, n)),
                true => (Matrix::new(a, m).t(), Matrix::new(b, k).t()),
            };
            let gemm = Gemm { m, n, k, bias: None, accumulate: false };
            gemm.launch(gpu, way, a, b, Matrix::new(&c, n))?;
            Ok(c)
        };
        Ok([product(&a32, &b16, false)?, product(&a16, &b16, true)?, product(&a32, &b32, false)?])
    };
    let read = |found: [Tensor; 3]| -> Result<Vec<f32>> {
        let values = found.iter().map(Tensor::to_vec).collect::<Result<Vec<_>>>()?;
        Ok(values.concat())
    };
    let (fast, plain) = (products(cooperative::SHAPES[SHAPE].way)?, products((&TILE, [64, 64]))?);
    Ok(Comparison { fast: read(fast)?, plain: read(plain)?, bound: 1e-4 })
}
