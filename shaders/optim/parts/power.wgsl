// Squares that neither overflow nor vanish: those of values over a power of two near the largest of them,
// which is exact.

fn exponent_of(largest: f32) -> u32 { return clamp(bitcast<u32>(largest) >> 23u, 1u, 253u); }

// The power of two that is at most `largest`, and one over it.
fn power_of(largest: f32) -> f32 { return bitcast<f32>(exponent_of(largest) << 23u); }
fn inverse_power_of(largest: f32) -> f32 { return bitcast<f32>((254u - exponent_of(largest)) << 23u); }

// By its bits: a compiler may take every number for finite.
fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
