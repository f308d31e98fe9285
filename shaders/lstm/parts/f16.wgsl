// As lstm/parts/f32.wgsl, in half the memory. What is computed with them has 32 bits.
enable f16;
alias Gates = vec4<f16>;

const HALF_STEP = vec2(0.0005, 3e-8);
