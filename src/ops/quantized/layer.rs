//! A layer of LSTM cells whose weights are of 8 bits: the op.

use super::call::Forward;
use super::gpu;
use super::recurrence::{self, Frames, Row};
use super::rows::Rows;
use crate::check::Check;
use crate::{DType, Result, Tensor};

/// The sizes of a call: rows, timesteps, and the frames of `x`.
struct Sizes {
    batch: usize,
    timesteps: usize,
    frames: usize,
}

/// Runs the directions of a layer over one input, and gives the last h and c `[B,H]` of each.
pub(crate) fn forward(calls: &[Forward<'_>]) -> Result<Vec<[Tensor; 2]>> {
    let Some(first) = calls.first() else { return Ok(Vec::new()) };
    let sizes = calls.iter().map(check).collect::<Result<Vec<_>>>()?;
    let frames = rows(first, &sizes[0]);
    if let Some(gpu) = first.x.gpu() {
        return calls.iter().map(|call| gpu::lstm(gpu, call, sizes[0].batch, &frames)).collect();
    }
    let x = first.x.cpu();
    let bytes = first.x.on_threads(|| Rows::of_floats(&x, first.weight_ih.terms()))?;
    calls.iter().map(|call| one(call, sizes[0].batch, &bytes, &frames)).collect()
}

fn check(call: &Forward<'_>) -> Result<Sizes> {
    let check = Check::new("lstm", "the layer was built for that input_size");
    check.dtype("x", call.x, DType::F32)?;
    let terms = call.weight_ih.terms();
    let (batch, timesteps) = match (call.lengths, call.x.shape()) {
        (Some(lengths), [_, _]) => {
            check.shape("x", call.x, "[frames,I]", &[lengths.frames(), terms])?;
            (lengths.values().len(), lengths.longest())
        }
        _ => {
            let [batch, timesteps, _] = check.dims("x", call.x, "[B,T,I]")?;
            check.shape("x", call.x, "[B,T,I]", &[batch, timesteps, terms])?;
            (batch, timesteps)
        }
    };
    let mut others = Vec::new();
    if let Some(lengths) = call.lengths {
        others.push(("lengths", &lengths.tensor));
        lengths.check("lstm", batch, timesteps)?;
    }
    if let Some(states) = call.state {
        let check = Check::new("lstm", "one state for each row of the batch");
        for (arg, state) in ["h_0", "c_0"].into_iter().zip(states) {
            check.dtype(arg, state, DType::F32)?;
            check.shape(arg, state, "[B,H]", &[batch, call.hidden_size])?;
            others.push((arg, state));
        }
    }
    check.device(call.x, &others)?;
    Ok(Sizes { batch, timesteps, frames: call.x.len() / terms.max(1) })
}

/// The rows of the input, the longest first.
fn rows(call: &Forward<'_>, sizes: &Sizes) -> Frames {
    let &Sizes { batch, timesteps, frames } = sizes;
    let y_packed = call.y.is_some_and(|y| y.is_packed());
    let all = (0..batch).map(|at| {
        let start = at * timesteps;
        Row { at, start, to: start, length: timesteps }
    });
    let rows = match call.lengths {
        None => all.collect(),
        Some(lengths) => {
            let packed = call.x.shape().len() == 2;
            let row = |row: &crate::lengths::PackedRow| Row {
                at: row.at,
                start: if packed { row.start } else { row.at * (frames / batch.max(1)) },
                to: if y_packed { row.start } else { row.at * timesteps },
                length: row.length,
            };
            lengths.rows().iter().map(row).collect()
        }
    };
    Frames { rows, stride: 1 }
}

/// Runs a direction on the CPU.
fn one(call: &Forward<'_>, batch: usize, bytes: &Rows, frames: &Frames) -> Result<[Tensor; 2]> {
    let (size, device) = (call.hidden_size, call.x.device());
    let ends = [0, 1].map(|part| -> Result<Tensor> {
        let end = Tensor::empty([batch, size], &device)?;
        match call.state {
            Some(states) => end.overwrite(&states[part].cpu())?,
            None => end.fill(0.0)?,
        }
        Ok(end)
    });
    let [h, c] = ends;
    let (h, c) = (h?, c?);
    let bias = call.bias.as_ref().map(|bias| {
        let bias = bias.cpu();
        let places = recurrence::in_blocks(size, [0, 1, 2, 3]);
        // In memory the gates of a unit lie side by side.
        let of = |n: usize| bias[n % size * 4 + n / size];
        places.into_iter().map(|place| place.map_or(0.0, of)).collect::<Vec<_>>()
    });
    let direction = recurrence::Direction {
        hidden_size: size,
        w: call.weight_ih.packed()?,
        r: call.weight_hh.packed()?,
        bias: bias.as_deref(),
        reverse: call.reverse,
        range: recurrence::HRange::Row,
    };
    let run = |y: Option<(&mut [f32], usize, usize)>| {
        h.cpu_mut(|h| c.cpu_mut(|c| recurrence::run(&direction, bytes, frames, [h, c], y)))
    };
    match call.y {
        Some(y) => y.tensor.cpu_mut(|words| run(Some((words, y.stride(), y.first))))?,
        None => run(None)?,
    }
    Ok([h, c])
}
