//! Rows of a table by their numbers, and the table's gradient.

use super::{INDEX, switches};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch, folded};
use crate::tensor::Words;
use crate::{DType, Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "embedding",
    parts: &[INDEX, include_str!("../../shaders/embedding.wgsl")],
    bindings: &[("ids", Read), ("table", Read), ("y", Write)],
    variants: || switches(["FLOAT"]),
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "embedding_bwd",
    parts: &[INDEX, include_str!("../../shaders/embedding_bwd.wgsl")],
    bindings: &[("ids", Read), ("d_y", Read), ("d_table", Write)],
    variants: || switches(["FLOAT"]),
};

/// The row that a word names, if there is such a row.
fn row(words: &Words, dtype: DType, place: usize, rows: usize) -> Option<usize> {
    match dtype {
        DType::U32 => Some(words.as_u32()[place] as usize).filter(|&id| id < rows),
        // NaN is in no range.
        DType::F32 | DType::F16 => {
            Some(words[place]).filter(|v| (0.0..rows as f32).contains(v)).map(|v| v as usize)
        }
    }
}

/// `ids` `[n]`, floats or numbers, of the rows of `table` `[V,E]`: `[n,E]`. NaN where there is no
/// such row.
pub(crate) fn embedding(ids: &Tensor, table: &Tensor, [rows, size]: [usize; 2]) -> Result<Tensor> {
    let y = Tensor::empty([ids.len(), size], &ids.device())?;
    let dtype = ids.dtype();
    if let Some(gpu) = ids.gpu() {
        gpu.run(&Launch {
            kernel: &FORWARD,
            grid: folded(y.len().div_ceil(64)),
            constants: &[("FLOAT", (dtype == DType::F32).into())],
            uniform: &[ids.len() as u32, rows as u32, size as u32, f32::NAN.to_bits()],
            tensors: &[Some(ids), Some(table), Some(&y)],
        })?;
        return Ok(y);
    }
    let (ids, table) = (ids.cpu(), table.cpu());
    y.cpu_mut(|y| {
        for (place, y) in y.chunks_exact_mut(size).enumerate() {
            match row(&ids, dtype, place, rows) {
                Some(id) => y.copy_from_slice(&table[id * size..][..size]),
                None => y.fill(f32::NAN),
            }
        }
    });
    Ok(y)
}

/// Adds the table's gradient to `d_table`, but for the row `padding`.
pub(crate) fn backward(
    ids: &Tensor,
    d_y: &Tensor,
    d_table: &Tensor,
    [rows, size]: [usize; 2],
    padding: Option<usize>,
) -> Result<()> {
    let dtype = ids.dtype();
    if let Some(gpu) = ids.gpu() {
        let padding = padding.map_or(u32::MAX, |p| p as u32);
        return gpu.run(&Launch {
            kernel: &BACKWARD,
            grid: folded(ids.len()),
            constants: &[("FLOAT", (dtype == DType::F32).into())],
            uniform: &[ids.len() as u32, rows as u32, size as u32, padding],
            tensors: &[Some(ids), Some(d_y), Some(d_table)],
        });
    }
    let (ids, d_y) = (ids.cpu(), d_y.cpu());
    d_table.cpu_mut(|d_table| {
        for (place, d_y) in d_y.chunks_exact(size).enumerate() {
            let id = row(&ids, dtype, place, rows).filter(|&id| Some(id) != padding);
            if let Some(id) = id {
                let to = &mut d_table[id * size..][..size];
                to.iter_mut().zip(d_y).for_each(|(to, d)| *to += d);
            }
        }
    });
    Ok(())
}
