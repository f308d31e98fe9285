// Reductions over `lanes` invocations of a workgroup of 64, a power of two of them side by side, in a fixed
// order. In two steps, since barriers are dear: each of the first few adds up eight values, and then all of
// them these few sums. Behind common/is_nan.wgsl.

var<workgroup> scratch: array<f32, 64>;
var<workgroup> eighths: array<f32, 64>;

fn largest_of(local: u32, lanes: u32, value: f32) -> f32 {
    scratch[local] = value;
    workgroupBarrier();
    let lane = local & (lanes - 1u);
    let first = local - lane;
    let few = min(lanes, 8u);
    if lane * few < lanes {
        let begin = first + lane * few;
        var largest = scratch[begin];
        for (var i = 1u; i < few; i++) { largest = larger(largest, scratch[begin + i]); }
        eighths[first + lane] = largest;
    }
    workgroupBarrier();
    var largest = eighths[first];
    for (var i = 1u; i < (lanes + 7u) / 8u; i++) { largest = larger(largest, eighths[first + i]); }
    return largest;
}

fn sum_of(local: u32, lanes: u32, value: f32) -> f32 {
    scratch[local] = value;
    workgroupBarrier();
    let lane = local & (lanes - 1u);
    let first = local - lane;
    let few = min(lanes, 8u);
    if lane * few < lanes {
        let begin = first + lane * few;
        var sum = scratch[begin];
        for (var i = 1u; i < few; i++) { sum += scratch[begin + i]; }
        eighths[first + lane] = sum;
    }
    workgroupBarrier();
    var sum = eighths[first];
    for (var i = 1u; i < (lanes + 7u) / 8u; i++) { sum += eighths[first + i]; }
    return sum;
}

fn workgroup_max(lane: u32, value: f32) -> f32 { return largest_of(lane, 64u, value); }

fn workgroup_sum(lane: u32, value: f32) -> f32 { return sum_of(lane, 64u, value); }
