// pool1d: one frame of the frames under each window.
//
//   KIND 0, mean   KIND 1, mean with padding as zeros   KIND 2, largest
//
// Shapes  x: [B,T,C]; y, found: [B,steps,C], of which `found` holds the number of the tap that was taken or, for
//         the means, how many there are. A window without a frame gives 0.
// Grid    elementwise, n = B*steps*C
// Twin    src/ops/conv/pool1d.rs

override KIND: u32;

struct Dims {
    n: u32, size: u32, stride: u32, dilation: u32, before: u32, t: u32, c: u32, steps: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [B,T,C]
@group(0) @binding(2) var<storage, read> steps: array<u32>;        // common/steps.wgsl
@group(0) @binding(3) var<storage, read_write> y: array<f32>;      // [B,steps,C]
@group(0) @binding(4) var<storage, read_write> found: array<f32>;  // [B,steps,C]

fn element(i: u32) {
    let row = i / dims.c / dims.steps;
    let first = i / dims.c % dims.steps * dims.stride;
    var value = 0.0;
    var all = LongSum();
    var number = 0u;
    var taken = dims.size;
    for (var tap = 0u; tap < dims.size; tap++) {
        let t = first + tap * dims.dilation;
        if t < dims.before || t - dims.before >= dims.t { continue; }
        if !counts(row, t - dims.before, dims.t) { continue; }
        let v = x[(row * dims.t + t - dims.before) * dims.c + i % dims.c];
        if KIND < 2u {
            value += v;
            if number % PART == PART - 1u {
                add_part(&all, value);
                value = 0.0;
            }
        } else if number == 0u || v > value || is_nan(v) {
            // A NaN stays, since nothing is larger.
            value = v;
            taken = tap;
        }
        number++;
    }
    if KIND < 2u {
        taken = select(dims.size, max(number, 1u), KIND == 0u);
        value = (all_parts(all) + value) / f32(taken);
    }
    y[i] = value;
    found[i] = f32(taken);
}
