// Numbers in memory: 32 bits; and the gates i, f, g, o of a unit.
alias Real = f32;
alias Gates = vec4<f32>;

// How many of R an invocation of lstm_persistent keeps at most.
const REGISTERS = 32u;
