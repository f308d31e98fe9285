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
    //@ for n in 1..15
    if H > 32u * $nu { a = add32(a, now, 32u * $nu, hand); }
    //@ end
    return a;
}

