// As common/f32.wgsl, in half the memory. What is computed with them has 32 bits.
enable f16;
alias Real = f16;
alias Gates = vec4<f16>;

const REGISTERS = 64u;
