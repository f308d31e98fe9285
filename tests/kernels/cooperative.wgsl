// In the place of shaders/gemm/parts/cooperative.wgsl, for devices without such matrices: the same by
// plain arithmetic, with LANES invocations (16, 32 or 64, by a line of the test) for a subgroup.
//
// An invocation holds AREA/LANES sums of each of its subgroup's matrices. A and B stay where they are
// staged until they are multiplied, which is before the next barrier; sums lie in private memory, where
// a tile's begin at some place. Loops are rolled up and values few, since drivers take long for more.

const HELD = AREA / LANES;  // of a matrix
const MATRICES = 16u;       // of an invocation's subgroup, counted anew for each block

alias Left = u32;
alias Right = u32;
alias Sums = u32;

var<private> hand: u32;  // this invocation's number in its subgroup
var<private> held: array<f32, MATRICES * HELD>;
var<private> places: u32;
var<private> turns: u32;

fn load_left(at: u32) -> Left {
    return at;
}

fn load_right(at: u32) -> Right {
    return at;
}

fn no_sums() -> Sums {
    let sums = places % (MATRICES * HELD);
    places += HELD;
    for (var i = 0u; i < turns; i++) {
        held[sums + i] = c_tile[hand + i * LANES];
    }
    return sums;
}

fn add_product(a: Left, b: Right, sums: Sums) -> Sums {
    for (var i = 0u; i < turns; i++) {
        let here = hand + i * LANES;
        let row = a + here / MAT * STRIDE;
        let column = b + here % MAT * STRIDE;
        var sum = held[sums + i];
        for (var k = 0u; k < max(MAT, turns); k++) {
            sum += a_of(row + k / 4u, k % 4u) * b_of(column + k / 4u, k % 4u);
        }
        held[sums + i] = sum;
    }
    return sums;
}

fn store_sums(sums: Sums, at: u32) {
    for (var i = 0u; i < turns; i++) {
        let here = hand + i * LANES;
        c_tile[at + here] = held[sums + i];
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    hand = lane % LANES;
    // 0 and HELD, which no compiler knows; known() is a number of the uniform, never 0.
    places = select(0u, 1u, known() == 0u);
    turns = HELD + places;
    tile(group, lane, lane / LANES, INVOCATIONS / LANES);
}
