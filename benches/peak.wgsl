// peak: what a device reaches when nothing but arithmetic, or nothing but memory, is asked of it.
//
//   fma_peak   eight chains of vec4 multiply-adds, STEPS long: 64 STEPS multiply-adds an invocation
//   copy_peak  to = from, a vec4 an invocation
//
// Elem is f32 or f16 by a line of the host.

override STEPS: u32;

@group(0) @binding(0) var<storage, read> from_: array<vec4<Elem>>;
@group(0) @binding(1) var<storage, read_write> to_: array<vec4<Elem>>;

@compute @workgroup_size(64)
fn fma_peak(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = from_[0];
    let b = from_[1];
    var a0 = from_[2 + id.x % 8];
    var a1 = a0 + b;
    var a2 = a1 + b;
    var a3 = a2 + b;
    var a4 = a3 + b;
    var a5 = a4 + b;
    var a6 = a5 + b;
    var a7 = a6 + b;
    for (var i = 0u; i < STEPS; i++) {
        a0 = fma(a0, m, b); a1 = fma(a1, m, b); a2 = fma(a2, m, b); a3 = fma(a3, m, b);
        a4 = fma(a4, m, b); a5 = fma(a5, m, b); a6 = fma(a6, m, b); a7 = fma(a7, m, b);
        a0 = fma(a0, m, b); a1 = fma(a1, m, b); a2 = fma(a2, m, b); a3 = fma(a3, m, b);
        a4 = fma(a4, m, b); a5 = fma(a5, m, b); a6 = fma(a6, m, b); a7 = fma(a7, m, b);
    }
    to_[id.x] = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
}

@compute @workgroup_size(64)
fn copy_peak(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = id.y * groups.x * 64 + id.x;
    if at < arrayLength(&from_) {
        to_[at] = from_[at];
    }
}
