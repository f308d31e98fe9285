// Reductions over the 64 invocations of a workgroup, in a fixed order.

var<workgroup> scratch: array<f32, 64>;

fn workgroup_max(lane: u32, value: f32) -> f32 {
    scratch[lane] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            // Not max(): a NaN in either operand stays.
            let a = scratch[lane];
            let b = scratch[lane + half];
            scratch[lane] = select(select(a, b, b > a), b, b != b);
        }
        workgroupBarrier();
    }
    let result = scratch[0];
    workgroupBarrier();
    return result;
}

fn workgroup_sum(lane: u32, value: f32) -> f32 {
    scratch[lane] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            scratch[lane] += scratch[lane + half];
        }
        workgroupBarrier();
    }
    let result = scratch[0];
    workgroupBarrier();
    return result;
}
