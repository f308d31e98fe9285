// As lstm/parts/f32.wgsl, in half the memory. What is computed with them has 32 bits.
enable f16;
alias Gates = vec4<f16>;

// Half of the distance of two neighbours, relative and at least.
const HALF_STEP = vec2(0.00048828125, 3e-8);

const REGISTERS = 64u;
