// layer_norm_gain: d_gain (+)= the sum over the rows of d_y (x - mean) root, and d_bias (+)= that of d_y, in
// a fixed order.
//
// Shapes  x, d_y: [N,C]; stats: [N,2], as layer_norm leaves them; d_gain, d_bias: [slices,C]
// Grid    as column_sum
// Twin    src/ops/norm/layer_norm.rs

override ACCUMULATE: bool;
override BIAS: bool;

struct Dims { n: u32, c: u32, slice: u32, first: u32 }  // as in column_sum

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [N,C]
@group(0) @binding(2) var<storage, read> stats: array<f32>;         // [N,2]
@group(0) @binding(3) var<storage, read> d_y: array<f32>;           // [N,C]
@group(0) @binding(4) var<storage, read_write> d_gain: array<f32>;  // [slices,C]
@group(0) @binding(5) var<storage, read_write> d_bias: array<f32>;  // [slices,C], if BIAS

var<workgroup> partials: array<vec2<f32>, 256>;  // [16 groups][16 columns]

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) id: vec3<u32>,
) {
    let column = dims.first + group.x * 16u + id.x;
    var gains = LongSum();
    var biases = LongSum();
    let begin = group.y * dims.slice;
    let end = min(dims.n, begin + dims.slice);
    if column < dims.c {
        for (var first = begin + id.y; first < end; first += PART * 16u) {
            var gain = 0.0;
            var bias = 0.0;
            let last = min(end, first + PART * 16u);
            for (var row = first; row < last; row += 16u) {
                let at = row * dims.c + column;
                let d = d_y[at];
                gain += d * ((x[at] - stats[2u * row]) * stats[2u * row + 1u]);
                bias += d;
            }
            add_part(&gains, gain);
            add_part(&biases, bias);
        }
    }
    partials[id.y * 16u + id.x] = vec2(all_parts(gains), all_parts(biases));
    workgroupBarrier();
    if id.y == 0u && column < dims.c {
        var sum = vec2(0.0);
        for (var i = 0u; i < 16u; i++) { sum += partials[i * 16u + id.x]; }
        let at = group.y * dims.c + column;
        if ACCUMULATE { sum.x += d_gain[at]; }
        d_gain[at] = sum.x;
        if BIAS {
            if ACCUMULATE { sum.y += d_bias[at]; }
            d_bias[at] = sum.y;
        }
    }
}
