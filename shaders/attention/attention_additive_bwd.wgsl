// attention_additive_bwd: the gradients of the queries or, if KEYS, of the keys, here called mine:
//
//   e = tanh(mine_h + other_h)
//   d_mine_h = score_h sum d_scores (1 - e e)   over the others
//   d_score_h = sum d_scores e                  over the others and this group of queries; not if KEYS
//
// Shapes  mine: [B,M,H], others: [B,N,H], score: [H]; d_scores: [B,M,N] or, if KEYS, [B,N,M];
//         d_mine: [B,M,H]; d_score: [B,ceil(M/GROUP),H]
// Grid    rowwise, n = B ceil(M/GROUP) ceil(H/64): a group of mine, an invocation a unit; the others in
//         turns of 64, whose sums are added up by themselves
// Twin    src/ops/attention/cpu/additive.rs

override KEYS: bool;
override GROUP: u32;  // of mine that a workgroup takes, 1 or 8

struct Dims { n: u32, mine: u32, others: u32, h: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> mine: array<f32>;           // [B,M,H]
@group(0) @binding(2) var<storage, read> others: array<f32>;         // [B,N,H]
@group(0) @binding(3) var<storage, read> score: array<f32>;          // [H]
@group(0) @binding(4) var<storage, read> d_scores: array<f32>;       // [B,M,N], or [B,N,M]
@group(0) @binding(5) var<storage, read_write> d_mine: array<f32>;   // [B,M,H]
@group(0) @binding(6) var<storage, read_write> d_score: array<f32>;  // [B,ceil(M/GROUP),H]

const TURN = 64u;

var<workgroup> d_tile: array<f32, 512>;  // [TURN][GROUP]

fn take_row(tile: u32, lane: u32) {
    let blocks = (dims.h + TURN - 1u) / TURN;
    let groups = (dims.mine + GROUP - 1u) / GROUP;
    let h = tile % blocks * TURN + lane;
    let group = tile / blocks;
    let row = group / groups;
    let first = group % groups * GROUP;
    let count = min(GROUP, dims.mine - first);
    // Units and rows past the last one are computed as it is, but not stored.
    let unit = min(h, dims.h - 1u);
    let here = (row * dims.mine + first) * dims.h + unit;
    //@ for i in 0..8
    let x$i = mine[here + min($iu, count - 1u) * dims.h];
    var d$i = 0.0;
    //@ end
    var e_sum = 0.0;
    for (var o = 0u; o < dims.others; o += TURN) {
        let turn = min(TURN, dims.others - o);
        // Neighbours along the memory.
        if KEYS {
            let i = lane % GROUP;
            for (var j = lane / GROUP; j < turn; j += TURN / GROUP) {
                let at = (row * dims.others + o + j) * dims.mine + first;
                d_tile[j * GROUP + i] = 0.0;
                if i < count { d_tile[j * GROUP + i] = d_scores[at + i]; }
            }
        } else if lane < turn {
            for (var i = 0u; i < GROUP; i++) {
                let at = (row * dims.mine + first) * dims.others + o + lane;
                d_tile[lane * GROUP + i] = 0.0;
                if i < count { d_tile[lane * GROUP + i] = d_scores[at + i * dims.others]; }
            }
        }
        workgroupBarrier();
        //@ for i in 0..8
        var part$i = 0.0;
        //@ end
        var e_part = 0.0;
        for (var j = 0u; j < turn; j++) {
            let other = others[(row * dims.others + o + j) * dims.h + unit];
            //@ for i in 0..8
            if $iu < GROUP {
                let d = d_tile[j * GROUP + $iu];
                // A NaN counts not where nothing does.
                let e = select(tanh1(x$i + other), 0.0, d == 0.0);
                part$i += d * (1.0 - e * e);
                if !KEYS { e_part += d * e; }
            }
            //@ end
        }
        //@ for i in 0..8
        d$i += part$i;
        //@ end
        e_sum += e_part;
        workgroupBarrier();
    }
    if h >= dims.h { return; }
    let slope = score[unit];
    //@ for i in 0..8
    if $iu < count { d_mine[here + $iu * dims.h] = select(slope * d$i, 0.0, d$i == 0.0); }
    //@ end
    if !KEYS { d_score[group * dims.h + unit] = e_sum; }
}
