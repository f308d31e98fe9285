// The operands of a matrix product, element by element.

fn load_a(row: u32, k: u32) -> f32 {
    if TRANS_A { return f32(a[a_begin + k * dims.lda + row]); }
    return f32(a[a_begin + row * dims.lda + k]);
}

fn load_b(k: u32, column: u32) -> f32 {
    if TRANS_B { return f32(b[b_begin + column * dims.ldb + k]); }
    return f32(b[b_begin + k * dims.ldb + column]);
}
