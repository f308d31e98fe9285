// Numbers in memory: 32 bits; and the gates i, f, g, o of a unit.
alias Gates = vec4<f32>;

// By what two numbers that lie in memory are told apart: a step of rounding or more, half of it,
// relative and at least.
const HALF_STEP = vec2(1e-6, 0.0);

// How many of R an invocation of lstm_persistent keeps at most.
const REGISTERS = 32u;
