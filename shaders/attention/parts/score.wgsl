// How well a query and a key go together, and what a query's or key's element has to do with it.
//
//   KIND 0, product:   score = sum_h q_h k_h                 (Luong et al. 2015)
//   KIND 1, additive:  score = sum_h v_h tanh(q_h + k_h)     (Bahdanau et al. 2015)

override KIND: u32;

struct Dims { n: u32, u: u32, t: u32, h: u32, v: u32 }

// The score's part of one element.
fn part(q: f32, k: f32, v: f32) -> f32 {
    if KIND == 0u { return q * k; }
    return v * tanh1(q + k);
}

// Its slope by the other's element: by q_h if `other` is k_h, and the other way round.
fn slope(mine: f32, other: f32, v: f32) -> f32 {
    if KIND == 0u { return other; }
    let e = tanh1(mine + other);
    return v * (1.0 - e * e);
}
