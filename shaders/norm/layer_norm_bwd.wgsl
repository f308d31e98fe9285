// layer_norm_bwd: with z = (x - mean) root and g = d_y gain, for each row
//   d_x = root (g - mean(g) - z mean(g z))
//
// Shapes  x, d_y, d_x: [N,C]; gain: [C]; stats: [N,2]
// Grid    row_shared
// Twin    src/ops/norm/layer_norm.rs

struct Dims { n: u32, c: u32, lanes: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [N,C]
@group(0) @binding(2) var<storage, read> gain: array<f32>;          // [C]
@group(0) @binding(3) var<storage, read> stats: array<f32>;         // [N,2]
@group(0) @binding(4) var<storage, read> d_y: array<f32>;           // [N,C]
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;     // [N,C]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    let mean = stats[2u * row];
    let root = stats[2u * row + 1u];
    var gradients = LongSum();
    var products = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        var part = 0.0;
        var part_dot = 0.0;
        let end = min(c, first + PART * dims.lanes);
        for (var j = first; j < end; j += dims.lanes) {
            let g = d_y[begin + j] * gain[j];
            part += g;
            part_dot += g * (x[begin + j] - mean) * root;
        }
        add_part(&gradients, part);
        add_part(&products, part_dot);
    }
    let sum = row_sum(all_parts(gradients)) / f32(dims.c);
    let dot = row_sum(all_parts(products)) / f32(dims.c);
    for (var j = lane; j < c; j += dims.lanes) {
        let z = (x[begin + j] - mean) * root;
        d_x[begin + j] = root * (d_y[begin + j] * gain[j] - sum - z * dot);
    }
}
