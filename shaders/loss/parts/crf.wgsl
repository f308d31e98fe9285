// What the kernels of a linear-chain CRF share. The chain of a row are its frames that count, one after the other.

// The logarithm of nothing.
const NEVER: f32 = -1e30;

struct Dims {
    n: u32, t: u32, k: u32,
    each: u32,  // 1 if each row's loss has a gradient of its own, else 0
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [B,T,K]
@group(0) @binding(2) var<storage, read> scores: array<f32>;  // [K+2,K]: from each tag to each; of the first; of the last
@group(0) @binding(3) var<storage, read> chain: array<u32>;   // [B,2+2T]: frames, scale, then of each its place in [B,T] and tag

fn begin_of(row: u32) -> u32 { return row * (2u * dims.t + 2u); }

fn frames_of(row: u32) -> u32 { return chain[begin_of(row)]; }

fn scale_of(row: u32) -> f32 { return bitcast<f32>(chain[begin_of(row) + 1u]); }

fn place_of(row: u32, i: u32) -> u32 { return chain[begin_of(row) + 2u * i + 2u]; }

fn tag_of(row: u32, i: u32) -> u32 { return chain[begin_of(row) + 2u * i + 3u]; }

// Nothing is less likely than NEVER. A NaN stays: a driver may take the bare comparison for a maximum.
fn at_least(v: f32) -> f32 { return select(v, NEVER, v < NEVER && !is_nan(v)); }

fn emission(place: u32, tag: u32) -> f32 { return at_least(x[place * dims.k + tag]); }

fn score_of(before: u32, tag: u32) -> f32 { return at_least(scores[before * dims.k + tag]); }

fn at_first(tag: u32) -> f32 { return score_of(dims.k, tag); }

fn at_last(tag: u32) -> f32 { return score_of(dims.k + 1u, tag); }
