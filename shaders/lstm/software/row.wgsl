// What both kernels for one row share: R, or R transposed, as far as private memory holds it, and the sum
// over it. How 32 terms are added is the kernel's, add32.

const KEPT = 480u;  // units whose part of R private memory holds, within WGSL's 8 KiB
override WG: u32;   // invocations: H, up to a multiple of 32
override H: u32;

// From place to place in it no compiler may have to compute: the eight lanes' values of a place that
// it knows lie side by side, and cost one load instead of eight.
var<private> kept_r: array<vec4<f32>, KEPT>;

// Adds what the units give whose part of R is kept; from `now` on lies what it is multiplied by.
fn add_kept(sum: vec4<f32>, now: u32, hand: u32) -> vec4<f32> {
    var a = add32(sum, now, 0u, hand);
    if H > 32u { a = add32(a, now, 32u, hand); }
    if H > 64u { a = add32(a, now, 64u, hand); }
    if H > 96u { a = add32(a, now, 96u, hand); }
    if H > 128u { a = add32(a, now, 128u, hand); }
    if H > 160u { a = add32(a, now, 160u, hand); }
    if H > 192u { a = add32(a, now, 192u, hand); }
    if H > 224u { a = add32(a, now, 224u, hand); }
    if H > 256u { a = add32(a, now, 256u, hand); }
    if H > 288u { a = add32(a, now, 288u, hand); }
    if H > 320u { a = add32(a, now, 320u, hand); }
    if H > 352u { a = add32(a, now, 352u, hand); }
    if H > 384u { a = add32(a, now, 384u, hand); }
    if H > 416u { a = add32(a, now, 416u, hand); }
    if H > 448u { a = add32(a, now, 448u, hand); }
    return a;
}

