//! Functions of two numbers, whose shapes are broadcast.

use super::walk::{Walk, broadcast, broadcast_stride};
use super::{WALK, launch};
use crate::check::Check;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{GRAIN, Map, Rows, map_part, rows};
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "binary",
    parts: &[IS_NAN, WALK, INDEX, ELEMENTWISE, wgsl!("nd/binary.wgsl")],
    bindings: &[("a", Read), ("b", Read), ("y", Write)],
    variants: || (0..=Binary::Xor as u32).map(|kind| vec![("KIND", kind)]).collect(),
    ..Kernel::PLAIN
};

/// A function of two numbers; its number is the kernel's `KIND`. A NaN in either gives NaN, but in comparisons,
/// which are false of it, and in booleans, where it is true; x^0 and 1^x are 1 of any x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    /// The quotient of whole numbers, towards 0.
    IntDiv,
    Pow,
    Min,
    Max,
    /// The remainder with the sign of b, as of ONNX's Mod without `fmod`.
    Mod,
    /// The remainder with the sign of a.
    Fmod,
    /// a, or a b below 0: b are slopes.
    Prelu,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Xor,
}

/// Runs `$body` with `$f` as the [`Binary`] of `$kind`, known to the compiler.
macro_rules! with_kind {
    ($kind:expr, $f:ident => $body:expr, $($name:ident)*) => {
        match $kind {
            $(Binary::$name => {
                let $f = Pair::<{ Binary::$name as u32 }>;
                $body
            })*
        }
    };
}

/// f(a, b), the shapes broadcast as numpy's.
pub(crate) fn binary(kind: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Check::new("binary", "").device(a, &[("b", b)])?;
    let shape = match a.shape() == b.shape() {
        true => a.shape().to_vec(),
        false => broadcast("binary", &[a.shape(), b.shape()])?,
    };
    let walk = Walk::new(
        "binary",
        &shape,
        |axis| [a, b].map(|x| broadcast_stride(x.shape(), &shape, axis)),
        [0; 2],
    )?;
    let y = Tensor::empty(shape, &a.device())?;
    if y.is_empty() {
        return Ok(y);
    }
    if let Some(gpu) = a.gpu() {
        let constants = [("KIND", kind as u32)];
        launch(gpu, &KERNEL, &constants, &walk.words([0; 3]), &[Some(a), Some(b), Some(&y)])?;
        return Ok(y);
    }
    let (a, b) = (a.cpu(), b.cpu());
    let width = match walk.is_one_run() {
        true => walk.len().min(GRAIN),
        false => walk.run(),
    };
    y.cpu_mut(|y| {
        with_kind!(kind, f => rows(&Pairs { f, walk, width, a: &a, b: &b }, [width], [y], 3 * width),
            Add Sub Mul Div IntDiv Pow Min Max Mod Fmod Prelu Equal Less LessOrEqual Greater
            GreaterOrEqual And Or Xor);
    });
    Ok(y)
}

/// Runs of the two, each a row: parts of the one run, or whole ones.
struct Pairs<'a, const KIND: u32> {
    f: Pair<KIND>,
    walk: Walk<2>,
    width: usize,
    a: &'a [f32],
    b: &'a [f32],
}

impl<const KIND: u32> Rows<1> for Pairs<'_, KIND> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let steps = self.walk.step();
        let [a, b] = match self.walk.is_one_run() {
            true => steps.map(|step| (row * self.width) * step as usize),
            false => self.walk.start(row),
        };
        let n = y.len();
        match steps {
            [1, 1] => map_part(simd, &self.f, 0, [&self.a[a..][..n], &self.b[b..][..n]], [y]),
            [1, 0] => map_part(simd, &Right(self.f, self.b[b]), 0, [&self.a[a..][..n]], [y]),
            [0, 1] => map_part(simd, &Left(self.f, self.a[a]), 0, [&self.b[b..][..n]], [y]),
            // Both are dense and broadcast, so that each stride is 0 or at least 1.
            [step_a, step_b] => {
                let mut buffers = [[0.0; MANY]; 2];
                for (part, y) in y.chunks_mut(MANY).enumerate() {
                    let [pa, pb] = &mut buffers;
                    for i in 0..y.len() {
                        let at = part * MANY + i;
                        pa[i] = self.a[a + at * step_a as usize];
                        pb[i] = self.b[b + at * step_b as usize];
                    }
                    map_part(simd, &self.f, 0, [&pa[..y.len()], &pb[..y.len()]], [y]);
                }
            }
        }
    }
}

/// The numbers that are put side by side at a time.
const MANY: usize = 64;

/// A [`Binary`] of vectors.
#[derive(Clone, Copy)]
struct Pair<const KIND: u32>;

/// With the same b for all, or the same a.
struct Right<const KIND: u32>(Pair<KIND>, f32);
struct Left<const KIND: u32>(Pair<KIND>, f32);

impl<const KIND: u32> Map<1, 1> for Right<KIND> {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, at: usize, [a]: [S::f32s; 1], y: [S::f32s; 1]) -> [S::f32s; 1] {
        self.0.of(simd, at, [a, simd.splat_f32s(self.1)], y)
    }
}

impl<const KIND: u32> Map<1, 1> for Left<KIND> {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, at: usize, [b]: [S::f32s; 1], y: [S::f32s; 1]) -> [S::f32s; 1] {
        self.0.of(simd, at, [simd.splat_f32s(self.1), b], y)
    }
}

/// `f` of each two lanes.
#[inline(always)]
fn lanes<S: Simd>(a: S::f32s, b: S::f32s, f: impl Fn(f32, f32) -> f32) -> S::f32s {
    let (mut a, b) = ([a], [b]);
    let lanes = pulp::bytemuck::cast_slice_mut::<S::f32s, f32>(&mut a);
    let others = pulp::bytemuck::cast_slice::<S::f32s, f32>(&b);
    lanes.iter_mut().zip(others).for_each(|(a, &b)| *a = f(*a, b));
    a[0]
}

/// The remainder with the sign of the divisor.
fn floored(a: f32, b: f32) -> f32 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
}

impl<const KIND: u32> Map<2, 1> for Pair<KIND> {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [a, b]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        const ADD: u32 = Binary::Add as u32;
        const SUB: u32 = Binary::Sub as u32;
        const MUL: u32 = Binary::Mul as u32;
        const DIV: u32 = Binary::Div as u32;
        const INT_DIV: u32 = Binary::IntDiv as u32;
        const POW: u32 = Binary::Pow as u32;
        const MIN: u32 = Binary::Min as u32;
        const MAX: u32 = Binary::Max as u32;
        const MOD: u32 = Binary::Mod as u32;
        const FMOD: u32 = Binary::Fmod as u32;
        const PRELU: u32 = Binary::Prelu as u32;
        const EQUAL: u32 = Binary::Equal as u32;
        const LESS: u32 = Binary::Less as u32;
        const LESS_OR_EQUAL: u32 = Binary::LessOrEqual as u32;
        const GREATER: u32 = Binary::Greater as u32;
        const GREATER_OR_EQUAL: u32 = Binary::GreaterOrEqual as u32;
        const AND: u32 = Binary::And as u32;
        const OR: u32 = Binary::Or as u32;
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let truth = |is: S::m32s| simd.select_f32s(is, one, zero);
        // One of them, or the NaN.
        let either = |first: S::m32s| {
            let y = simd.select_f32s(first, a, b);
            simd.select_f32s(simd.equal_f32s(a, a), y, a)
        };
        [match KIND {
            ADD => simd.add_f32s(a, b),
            SUB => simd.sub_f32s(a, b),
            MUL => simd.mul_f32s(a, b),
            DIV => simd.div_f32s(a, b),
            INT_DIV => lanes::<S>(a, b, |a, b| (a / b).trunc()),
            POW => lanes::<S>(a, b, |a, b| match b {
                2.0 => a * a,
                _ => a.powf(b),
            }),
            MIN => either(simd.less_than_f32s(a, b)),
            MAX => either(simd.greater_than_f32s(a, b)),
            MOD => lanes::<S>(a, b, floored),
            FMOD => lanes::<S>(a, b, |a, b| a % b),
            PRELU => simd.select_f32s(simd.less_than_f32s(a, zero), simd.mul_f32s(a, b), a),
            EQUAL => truth(simd.equal_f32s(a, b)),
            LESS => truth(simd.less_than_f32s(a, b)),
            LESS_OR_EQUAL => truth(simd.less_than_or_equal_f32s(a, b)),
            GREATER => truth(simd.greater_than_f32s(a, b)),
            GREATER_OR_EQUAL => truth(simd.greater_than_or_equal_f32s(a, b)),
            AND => lanes::<S>(a, b, |a, b| f32::from(a != 0.0 && b != 0.0)),
            OR => lanes::<S>(a, b, |a, b| f32::from(a != 0.0 || b != 0.0)),
            _ => lanes::<S>(a, b, |a, b| f32::from((a != 0.0) != (b != 0.0))),
        }]
    }
}
