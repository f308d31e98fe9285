// In the place of shaders/gemm/parts/cooperative.wgsl, for devices without such matrices: the same by
// plain arithmetic, with LANES invocations (16, 32 or 64, by a line of the test) for a subgroup.
//
// An invocation holds 256/LANES sums of each of its subgroup's tiles. A and B stay where they are
// staged until they are multiplied, which is before the next barrier; sums lie in private memory, where
// a tile's begin at some place. Loops are rolled up and values few, since drivers take long for more.

const HELD = 256u / LANES;

alias Left = u32;
alias Right = u32;
alias Sums = u32;

var<private> hand: u32;  // this invocation's number in its subgroup
var<private> held: array<f32, 8u * HELD>;
var<private> places: u32;
var<private> turns: u32;

fn load_left(at: u32) -> Left {
    return at;
}

fn load_right(at: u32) -> Right {
    return at;
}

fn no_sums() -> Sums {
    let sums = places;
    places += HELD;
    for (var i = 0u; i < turns; i++) {
        held[sums + i] = c_tile[hand + i * LANES];
    }
    return sums;
}

fn add_product(a: Left, b: Right, sums: Sums) -> Sums {
    for (var i = 0u; i < turns; i++) {
        let here = hand + i * LANES;
        let row = a + here / 16u * STRIDE;
        let column = b + here % 16u * STRIDE;
        var sum = held[sums + i];
        for (var k = 0u; k < max(16u, turns); k++) {
            sum += f32(a_tile[row + k / 4u][k % 4u]) * f32(b_tile[column + k / 4u][k % 4u]);
        }
        held[sums + i] = sum;
    }
    return sums;
}

fn store_sums(sums: Sums, at: u32) {
    for (var i = 0u; i < turns; i++) {
        let here = hand + i * LANES;
        c_tile[at + here / 16u * SIDE + here % 16u] = held[sums + i];
    }
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    hand = lane % LANES;
    // 0 and HELD, which no compiler knows.
    places = select(0u, 1u, dims.m == 0u);
    turns = HELD + places;
    tile(group, lane, lane / LANES, 128u / LANES);
}
