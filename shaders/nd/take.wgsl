// take: places of an axis by their numbers; of numbers past the last place a value.
//
// Shapes  x: [..,size,inner]; numbers: [count]; y: [..,count,inner]
// Grid    elementwise, n = all of y
// Twin    src/ops/nd/take.rs

struct Dims { n: u32, size: u32, count: u32, inner: u32, value: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> numbers: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    let frame = i / dims.inner;
    let number = numbers[frame % dims.count];
    if number < dims.size {
        y[i] = x[(frame / dims.count * dims.size + number) * dims.inner + i % dims.inner];
    } else {
        y[i] = dims.value;
    }
}
