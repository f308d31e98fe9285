// copy_columns: some columns of x into some columns of y.
//
// Shapes  x: [rows, x_stride], y: [rows, y_stride]; `width` columns from x_first, y_first on
// Grid    elementwise, n = rows*width
// Twin    src/ops/frames/copy_columns.rs

struct Dims { n: u32, width: u32, x_stride: u32, x_first: u32, y_stride: u32, y_first: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [rows,x_stride]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [rows,y_stride]

fn element(i: u32) {
    let row = i / dims.width;
    let column = i % dims.width;
    y[row * dims.y_stride + dims.y_first + column] = x[row * dims.x_stride + dims.x_first + column];
}
