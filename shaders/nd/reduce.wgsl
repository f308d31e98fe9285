// reduce: one number of each row. KIND 0: sum, 1: max, 2: min, 3: product, 4: sum of |x|, 5: sum of squares,
// 6: log sum exp. The numbers of a row are `inner` apart, and rows that begin side by side lie between them.
//
// Shapes  x: [outer,C,inner]; y: [outer,inner]
// Grid    row_shared, n = outer * inner
// Twin    src/ops/nd/reduce.rs

override KIND: u32;

struct Dims { n: u32, c: u32, lanes: u32, size: u32, inner: u32, factor: f32 }  // size: C, whatever takes a row

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [outer,C,inner]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [outer,inner]

var<workgroup> products: array<f32, 64>;

const INFINITY_BITS = 0x7f800000u;

// Of all lanes of a row, one after the other.
fn row_product(value: f32) -> f32 {
    if !SHARED { return value; }
    products[local] = value;
    workgroupBarrier();
    let first = local & ~(dims.lanes - 1u);
    var product = products[first];
    for (var i = 1u; i < dims.lanes; i++) { product *= products[first + i]; }
    return product;
}

fn term(v: f32, shift: f32) -> f32 {
    switch KIND {
        case 4u: { return abs(v); }
        case 5u: { return v * v; }
        case 6u: { return exp1(v - shift); }
        default: { return v; }
    }
}

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row / dims.inner * dims.size * dims.inner + row % dims.inner;
    var value = 0.0;
    if KIND == 1u || KIND == 2u || KIND == 6u {
        var most = bitcast<f32>((INFINITY_BITS | 0x80000000u) | (dims.n & 0u));
        for (var j = lane; j < c; j += dims.lanes) {
            let v = x[begin + j * dims.inner];
            most = larger(most, select(v, bitcast<f32>(bitcast<u32>(v) ^ 0x80000000u), KIND == 2u));
        }
        value = row_max(most);
        if KIND == 2u { value = bitcast<f32>(bitcast<u32>(value) ^ 0x80000000u); }
    } else if KIND == 3u {
        var product = 1.0;
        for (var j = lane; j < c; j += dims.lanes) { product *= x[begin + j * dims.inner]; }
        value = row_product(product);
    }
    if KIND == 0u || KIND >= 4u {
        // Of an infinity there is no difference to itself.
        let shift = select(value, 0.0, (bitcast<u32>(value) & 0x7fffffffu) == INFINITY_BITS);
        var all = LongSum();
        for (var first = lane; first < c; first += PART * dims.lanes) {
            let end = min(c, first + PART * dims.lanes);
            var part = 0.0;
            for (var j = first; j < end; j += dims.lanes) { part += term(x[begin + j * dims.inner], shift); }
            add_part(&all, part);
        }
        let sum = row_sum(all_parts(all));
        if KIND == 6u {
            value = select(log1(sum) + shift, value, shift != value);
        } else {
            value = sum * dims.factor;
        }
    }
    if lane == 0u && c > 0u { y[row] = value; }
}
