// column_sum: y (+)= sum of the rows of x, in a fixed order: the gradient of a bias.
//
// Shapes  x: [N,C] of Real: f32 or f16 in memory, named by the host; y: [slices,C]
// Grid    ceil(C/16), slices, 1: a workgroup of 16 columns x 16 groups of the rows of a slice. More
//         columns than a grid has room for take several, from a `first` one on.
// Twin    src/ops/sums/column_sum.rs

override ACCUMULATE: bool;

struct Dims { n: u32, c: u32, slice: u32, first: u32 }  // slice: its rows; first: the first column

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<Real>;       // [N,C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [slices,C]

var<workgroup> partials: array<f32, 256>;  // [16 groups][16 columns]

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) id: vec3<u32>,
) {
    let column = dims.first + group.x * 16u + id.x;
    var all = LongSum();
    let begin = group.y * dims.slice;
    let end = min(dims.n, begin + dims.slice);
    if column < dims.c {
        for (var first = begin + id.y; first < end; first += PART * 16u) {
            var part = 0.0;
            let last = min(end, first + PART * 16u);
            for (var row = first; row < last; row += 16u) { part += f32(x[row * dims.c + column]); }
            add_part(&all, part);
        }
    }
    partials[id.y * 16u + id.x] = all_parts(all);
    workgroupBarrier();
    if id.y == 0u && column < dims.c {
        var sum = 0.0;
        for (var i = 0u; i < 16u; i++) { sum += partials[i * 16u + id.x]; }
        let at = group.y * dims.c + column;
        if ACCUMULATE { sum += y[at]; }
        y[at] = sum;
    }
}
