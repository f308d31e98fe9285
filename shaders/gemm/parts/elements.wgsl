// The operands of a matrix product, element by element.

fn load_a(row: u32, k: u32) -> f32 {
    if TRANS_A { return f32(a[dims.a_offset + k * dims.lda + row]); }
    return f32(a[dims.a_offset + row * dims.lda + k]);
}

fn load_b(k: u32, column: u32) -> f32 {
    if TRANS_B { return f32(b[dims.b_offset + column * dims.ldb + k]); }
    return f32(b[dims.b_offset + k * dims.ldb + column]);
}
