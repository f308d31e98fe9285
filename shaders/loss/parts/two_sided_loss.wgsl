// What both passes of the losses with two sides share. Without WEIGHTS w = 1.

override KIND: u32;
override WEIGHTS: bool;

@group(0) @binding(1) var<storage, read> x: array<f32>;            // [N,C]
@group(0) @binding(2) var<storage, read> y: array<f32>;            // [N,C/each]
@group(0) @binding(3) var<storage, read> sides: array<vec2<f32>>;  // [C]
@group(0) @binding(4) var<storage, read> weights: array<f32>;      // [N]
