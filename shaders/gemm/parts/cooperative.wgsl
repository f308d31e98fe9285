// Matrices of MAT x MAT that a subgroup holds together, by the matrix units of the device; and the entry
// of the kernels that use them. Tests have another text in its place that any device can run.
//
// Needs   wgpu_cooperative_matrix with 16-bit factors and 32-bit sums; Left, Right and Sums, named by the host

// MAT rows and MAT of K.
fn load_left(at: u32) -> Left {
    return coopLoadT<Left>(&a_tile[EACH * at], EACH * STRIDE);
}

// MAT columns and MAT of K: row by row of the staged tile, which are the matrix' columns.
fn load_right(at: u32) -> Right {
    return coopLoad<Right>(&b_tile[EACH * at], EACH * STRIDE);
}

// From memory that holds zeros: some compilers take `Sums()` for whatever is in the registers.
fn no_sums() -> Sums {
    return coopLoadT<Sums>(&c_tile[0], MAT);
}

fn add_product(a: Left, b: Right, sums: Sums) -> Sums {
    return coopMultiplyAdd(a, b, sums);
}

fn store_sums(sums: Sums, at: u32) {
    coopStoreT(sums, &c_tile[at], MAT);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) team: u32,
    @builtin(num_subgroups) teams: u32,
) {
    tile(group, lane, team, teams);
}
