//! Dropout of whole words.

use crate::Result;
use crate::autograd::{Tape, Var};
use crate::nn::functions::map;
use crate::ops::elementwise::{dropout, multiply::multiply};
use crate::ops::frames::embedding as op;
use crate::ops::gemm::{Gemm, Matrix};
use crate::tensor::Tensor;

/// The vectors `y` of tokens with those of some tokens dropped, at all places of the batch where they stand: on a tape
/// that trains.
pub(super) fn drop_words(
    tape: &Tape,
    ids: &Tensor,
    y: Var,
    [tokens, size]: [usize; 2],
    rate: f32,
) -> Result<Var> {
    if rate == 0.0 || !tape.trains() {
        return Ok(y);
    }
    let device = ids.device();
    let ones = |shape: [usize; 2]| {
        let ones = Tensor::empty(shape, &device)?;
        ones.fill(1.0)?;
        Result::Ok(ones)
    };
    // The factor of each token, then of each place, then of each element.
    let factors = dropout::dropout(&ones([tokens, 1])?, rate, tape.params().next_key(), false)?;
    let own = op::embedding(ids, &factors, [tokens, 1])?;
    let all = Tensor::empty(y.shape(), &device)?;
    Gemm { m: own.len(), n: size, k: 1, bias: None, accumulate: false }.run(
        Matrix::new(&own, 1),
        Matrix::new(&ones([1, size])?, size),
        Matrix::new(&all, size),
    )?;
    let dropped = multiply(y.tensor(), &all)?;
    Ok(map(tape, &y, dropped, move |d_y| multiply(d_y, &all)).with_steps_of(&y))
}
