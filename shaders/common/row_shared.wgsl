// The entry of kernels in which dims.lanes invocations of a workgroup of 64 take a row by themselves, one of
// dims.n with dims.c elements, by `take_row` of theirs: the shorter the rows are, the more of them share a
// workgroup. Invocations past the last row go along to the barriers, with a row of no elements. Behind
// common/row_reduce.wgsl.
//
// Grid    folded ceil(dims.n * dims.lanes / 64)

// Whether lanes is more than 1. Where it is not there are no barriers at all.
override SHARED: bool;

var<private> local: u32;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    local = index;
    let bits = countTrailingZeros(dims.lanes);
    let first = linear_index(group, groups, 0u, 64u >> bits);
    if first < dims.n {
        let row = first + (index >> bits);
        let c = select(0u, dims.c, row < dims.n);
        take_row(min(row, dims.n - 1u), index & (dims.lanes - 1u), c);
    }
}

// Over the invocations of a row.
fn row_max(value: f32) -> f32 {
    if !SHARED { return value; }
    return largest_of(local, dims.lanes, value);
}

fn row_sum(value: f32) -> f32 {
    if !SHARED { return value; }
    return sum_of(local, dims.lanes, value);
}
