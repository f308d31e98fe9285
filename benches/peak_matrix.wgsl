// peak_matrix: what the matrix units of a device reach when nothing but products is asked of them.
//
// Eight chains of products of 16 x 16 matrices; the subgroups of a workgroup share out STEPS turns of
// them, so that a workgroup makes as many with subgroups of any size.

enable f16;
enable wgpu_cooperative_matrix;

override STEPS: u32;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;

@group(0) @binding(0) var<storage, read> from_: array<f16>;
@group(0) @binding(1) var<storage, read_write> to_: array<f32>;

@compute @workgroup_size(256)
fn matrix_peak(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_id) team: u32,
    @builtin(num_subgroups) teams: u32,
) {
    let a0 = coopLoadT<Left>(&from_[0], 16u);
    let a1 = coopLoadT<Left>(&from_[256], 16u);
    let a2 = coopLoadT<Left>(&from_[512], 16u);
    let a3 = coopLoadT<Left>(&from_[768], 16u);
    let b0 = coopLoadT<Right>(&from_[1024], 16u);
    let b1 = coopLoadT<Right>(&from_[1280], 16u);
    let at = (group.x * teams + team) * 256u;
    var s0 = coopLoadT<Sums>(&to_[at], 16u);
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;
    var s4 = s0;
    var s5 = s0;
    var s6 = s0;
    var s7 = s0;
    for (var i = team; i < STEPS; i += teams) {
        s0 = coopMultiplyAdd(a0, b0, s0);
        s1 = coopMultiplyAdd(a0, b1, s1);
        s2 = coopMultiplyAdd(a1, b0, s2);
        s3 = coopMultiplyAdd(a1, b1, s3);
        s4 = coopMultiplyAdd(a2, b0, s4);
        s5 = coopMultiplyAdd(a2, b1, s5);
        s6 = coopMultiplyAdd(a3, b0, s6);
        s7 = coopMultiplyAdd(a3, b1, s7);
    }
    coopStoreT(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7, &to_[at], 16u);
}
