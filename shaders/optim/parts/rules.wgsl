// The rules by which optimizers move parameters: those of `Kind` in src/ops/optim/rule.rs, in its order.

override RULE: u32;

const DESCENT = 0u;
const MOMENTUM = 1u;
const NESTEROV = 2u;
const ADAM = 3u;
const AMSGRAD = 4u;
const ADAMAX = 5u;
const NADAM = 6u;
const RADAM = 7u;
const RMSPROP = 8u;
const RMSPROP_MOMENTUM = 9u;
const RMSPROP_CENTERED = 10u;
const RMSPROP_CENTERED_MOMENTUM = 11u;
const ADAGRAD = 12u;
const ADADELTA = 13u;
const LION = 14u;
