// The places of up to three arrays that belong to a place of a shape, by strides: src/ops/nd/walk.rs.

struct Dims {
    n: u32,
    axes: u32,
    first_a: u32,
    first_b: u32,
    first_c: u32,
    own: u32,    // what these are is said by the kernel
    more: u32,
    most: u32,
    axis: array<vec4<i32>, 8>,  // its size, and its stride in each array
}

@group(0) @binding(0) var<uniform> dims: Dims;

fn places(i: u32) -> vec3<u32> {
    var rest = i;
    var at = vec3<i32>(vec3(dims.first_a, dims.first_b, dims.first_c));
    for (var axis = dims.axes; axis > 0u; axis--) {
        let here = dims.axis[axis - 1u];
        let before = rest / u32(here.x);
        at += i32(rest - before * u32(here.x)) * here.yzw;
        rest = before;
    }
    return vec3<u32>(at);
}
