// pool: one frame of each row's frames.
//
//   KIND 0, sum   KIND 1, mean   KIND 2, largest   KIND 3, last   KIND 4, first
//
// Shapes  x: [B,T,C]; y, found: [B,C], of which `found` holds the number of the frame that was
//         taken or, for KIND 1, how many count. A row without any gives 0.
// Grid    elementwise, n = B*C
// Twin    src/ops/frames/pool.rs

override KIND: u32;

struct Dims { n: u32, t: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [B,T,C]
@group(0) @binding(2) var<storage, read> steps: array<u32>;        // common/steps.wgsl
@group(0) @binding(3) var<storage, read_write> y: array<f32>;      // [B,C]
@group(0) @binding(4) var<storage, read_write> found: array<f32>;  // [B,C]

fn element(i: u32) {
    let row = i / dims.c;
    var value = 0.0;
    var part = 0.0;
    var all = LongSum();
    var number = 0u;
    var place = dims.t;
    for (var t = 0u; t < dims.t; t++) {
        if counts(row, t, dims.t) {
            let v = x[(row * dims.t + t) * dims.c + i % dims.c];
            if KIND < 2u {
                part += v;
                if number % PART == PART - 1u {
                    add_part(&all, part);
                    part = 0.0;
                }
            } else if KIND == 3u || number == 0u || (KIND == 2u && (v > value || is_nan(v))) {
                // A NaN stays, since nothing is larger.
                value = v;
                place = t;
            }
            number++;
        }
    }
    if KIND < 2u { value = all_parts(all) + part; }
    if KIND == 1u {
        value /= f32(max(number, 1u));
        place = number;
    }
    y[i] = value;
    found[i] = f32(place);
}
