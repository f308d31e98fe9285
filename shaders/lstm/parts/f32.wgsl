// Numbers in memory: 32 bits; and the gates i, f, g, o of a unit.
alias Gates = vec4<f32>;

// By what two numbers are told apart of which a device computed one and the host the other, relative
// and at least: half a step of rounding in memory, or what exp may be off.
const HALF_STEP = vec2(1e-5, 0.0);
