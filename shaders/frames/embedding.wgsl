// embedding: y = table[id], for each id; NaN where there is no such row. Of a table that is larger than
// a binding one window after the other is here, and the others' rows are left to them.
//
// Shapes  ids: [N], as numbers or, with FLOAT, as floats; table: [V,E], of which rows first..first+count
//         are here; y: [N,E]
// Grid    elementwise, n = N*E
// Twin    src/ops/frames/embedding.rs

override FLOAT: bool;

struct Dims { n: u32, rows: u32, size: u32, nan: f32, first: u32, count: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> ids: array<u32>;      // [N]
@group(0) @binding(2) var<storage, read> table: array<f32>;    // [count,E]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [N,E]

fn element(i: u32) {
    var id = ids[i / dims.size];
    if FLOAT {
        let value = bitcast<f32>(id);
        // False for NaN as well.
        let is_row = value >= 0.0 && value < f32(dims.rows) && value == floor(value);
        id = select(dims.rows, u32(select(0.0, value, is_row)), is_row);
    }
    if id >= dims.rows {
        if dims.first == 0u { y[i] = dims.nan; }
    } else if id >= dims.first && id - dims.first < dims.count {
        y[i] = table[(id - dims.first) * dims.size + i % dims.size];
    }
}
