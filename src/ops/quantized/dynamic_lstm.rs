//! The operator DynamicQuantizeLSTM of ONNX Runtime (domain com.microsoft): an LSTM of 8-bit weights, whose inputs are
//! quantised at run time, X as a whole and h as a whole at each step.
//!
//! Source: the operator's specification in ONNX Runtime's docs/ContribOperators.md.

use super::lines::{Lines, Places, Weight};
use super::onnx::Bytes;
use super::recurrence::{Direction, Frames, HRange, Row, in_blocks, run};
use super::rows::Rows;
use crate::check::Check;
use crate::{DType, Error, Result, Tensor};

const OP: &str = "DynamicQuantizeLSTM";

/// One of the weights of all directions, with its scales and zero points: of each direction, or of each of its 4H
/// outputs. No zero points are those of 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    /// `[D,I,4H]`, or `[D,H,4H]`, in the order i, o, f, c.
    pub(crate) values: Bytes<'a>,
    /// `[D]` or `[D,4H]`
    pub(crate) scale: &'a [f32],
    pub(crate) zero: Option<Bytes<'a>>,
}

/// The weights, packed once for many runs.
#[derive(Debug, Clone)]
pub(crate) struct DynamicLstm {
    hidden_size: usize,
    input_size: usize,
    directions: Vec<Packed>,
}

#[derive(Debug, Clone)]
struct Packed {
    w: Weight,
    r: Weight,
    bias: Option<Vec<f32>>,
    reverse: bool,
}

/// Outputs: Y `[T,D,B,H]`, and Y_h and Y_c `[D,B,H]`.
pub(crate) struct Outputs {
    pub(crate) y: Tensor,
    pub(crate) h: Tensor,
    pub(crate) c: Tensor,
}

impl DynamicLstm {
    /// Directions of which each is in reverse or not; `bias` is ONNX's B, `[D,8H]`.
    ///
    /// # Errors
    /// [`Error::Count`] for more or fewer numbers than the sizes say; [`Error::OutOfMemory`].
    pub(crate) fn new(
        [input_size, hidden_size]: [usize; 2],
        w: Side<'_>,
        r: Side<'_>,
        bias: Option<&[f32]>,
        reverse: &[bool],
    ) -> Result<Self> {
        let gates = 4 * hidden_size;
        let count = |shape: &[usize], found: usize| {
            let expected = crate::tensor::count(shape);
            if found == expected {
                return Ok(());
            }
            Err(Error::Count { op: OP, shape: shape.to_vec(), expected, found })
        };
        let number = reverse.len();
        count(&[number, input_size, gates], w.values.bytes.len())?;
        count(&[number, hidden_size, gates], r.values.bytes.len())?;
        bias.map_or(Ok(()), |bias| count(&[number, 2 * gates], bias.len()))?;
        for side in [w, r] {
            for found in
                [Some(side.scale.len()), side.zero.map(|z| z.bytes.len())].into_iter().flatten()
            {
                if found != number {
                    count(&[number, gates], found)?;
                }
            }
        }
        let places = in_blocks(hidden_size, [0, 2, 3, 1]);
        let directions = reverse.iter().enumerate().map(|(d, &reverse)| {
            let bias = bias.map(|bias| {
                let [w, r] = [0, gates].map(|at| &bias[2 * gates * d + at..][..gates]);
                places.iter().map(|place| place.map_or(0.0, |n| w[n] + r[n])).collect()
            });
            let pack = |side: Side<'_>, terms| packed(side, (d, number), &places, [terms, gates]);
            Ok(Packed { w: pack(w, input_size)?, r: pack(r, hidden_size)?, bias, reverse })
        });
        Ok(Self { hidden_size, input_size, directions: directions.collect::<Result<_>>()? })
    }

    /// Runs all directions over `x` `[T,B,I]`, from states `[D,B,H]` or from zeros. Rows may be shorter than T: their
    /// outputs are 0 from then on. Frames behind the longest row do not count. Whether Y is wanted decides, in ONNX
    /// Runtime, by which rows h is quantised, so it does here. On a GPU the numbers come to the host and go back.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Shape`], [`Error::DType`]; [`Error::Length`]; [`Error::OutOfMemory`]; those of the
    /// device.
    pub(crate) fn run(
        &self,
        x: &Tensor,
        lengths: Option<&[usize]>,
        states: [Option<&Tensor>; 2],
        wants_y: bool,
    ) -> Result<Outputs> {
        let check = Check::new(OP, "as the weights say");
        check.dtype("X", x, DType::F32)?;
        let [steps, batch, _] = check.dims("X", x, "[T,B,I]")?;
        check.shape("X", x, "[T,B,I]", &[steps, batch, self.input_size])?;
        let (size, number) = (self.hidden_size, self.directions.len());
        let shape = [number, batch, size];
        let states = ["initial_h", "initial_c"].into_iter().zip(states).map(|(arg, state)| {
            let Some(state) = state else { return Ok(vec![0.0; number * batch * size]) };
            check.shape(arg, state, "[D,B,H]", &shape)?;
            state.to_vec()
        });
        let mut states = states.collect::<Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        for at in 0..batch {
            let length = lengths.and_then(|l| l.get(at)).copied().unwrap_or(steps);
            if length > steps {
                return Err(Error::Length { row: at, found: length, max: steps });
            }
            rows.push(Row { at, start: at, to: at, length });
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.length));
        let frames = Frames { rows, stride: batch };
        let device = x.device();
        let words = x.to_vec()?;
        let mut y = vec![0.0; steps * number * batch * size];
        device.on_host(|| -> Result<()> {
            let mut bytes = Rows::zeros(steps * batch, self.input_size)?;
            let longest = frames.rows.first().map_or(0, |row| row.length);
            bytes.set_all(&words[..longest * batch * self.input_size]);
            let mut of_one = vec![0.0; steps * batch * size];
            let (h, c) = states.split_at_mut(1);
            for (d, packed) in self.directions.iter().enumerate() {
                of_one.fill(0.0);
                let direction = Direction {
                    hidden_size: size,
                    w: &packed.w,
                    r: &packed.r,
                    bias: packed.bias.as_deref(),
                    reverse: packed.reverse,
                    range: if wants_y { HRange::Running } else { HRange::All },
                };
                let of_direction = d * batch * size..(d + 1) * batch * size;
                let state = [&mut h[0][of_direction.clone()], &mut c[0][of_direction]];
                run(&direction, &bytes, &frames, state, Some((&mut of_one, size, 0)))?;
                let to = y.chunks_exact_mut((number * batch * size).max(1));
                for (to, from) in to.zip(of_one.chunks_exact((batch * size).max(1))) {
                    to[d * batch * size..][..batch * size].copy_from_slice(from);
                }
            }
            Ok(())
        })?;
        Ok(Outputs {
            y: Tensor::from_slice(&y, [steps, number, batch, size], &device)?,
            h: Tensor::from_slice(&states[0], shape, &device)?,
            c: Tensor::from_slice(&states[1], shape, &device)?,
        })
    }
}

/// A weight of a direction in blocks of units.
fn packed(
    side: Side<'_>,
    (d, number): (usize, usize),
    places: &[Option<usize>],
    [terms, gates]: [usize; 2],
) -> Result<Weight> {
    let Side { values, scale, zero } = side;
    let bytes = &values.bytes[d * terms * gates..][..terms * gates];
    let of = Places { outputs: places, terms, stride: gates };
    let lines = Lines::pack(bytes, of, !values.signed)?;
    let at = |count: usize, n: usize| if count == number { d } else { d * gates + n };
    let scale = places.iter().map(|place| place.map_or(0.0, |n| scale[at(scale.len(), n)]));
    // Unsigned numbers are packed less 128.
    let shift = if values.signed { 0 } else { 128 };
    let given: Vec<_> = zero.into_iter().flat_map(Bytes::integers).collect();
    let zero = places.iter().map(|place| match place {
        Some(n) => given.get(at(given.len(), *n)).copied().unwrap_or(0) - shift,
        None => 0,
    });
    let zero: Vec<_> = zero.collect();
    let any = zero.iter().any(|&zero| zero != 0);
    Ok(Weight { lines, scale: scale.collect(), zero: any.then_some(zero) })
}
