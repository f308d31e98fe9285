// attention_additive: scores = sum_h score_h tanh(q_h + k_h), of every query and key of a row.
//
// Shapes  q: [B,U,H], k: [B,T,H], score: [H]; scores: [B,U,T]
// Grid    rowwise, n = B ceil(U/GROUP) ceil(T/64): a tile of a group of queries and 64 keys, an invocation a
//         key; H in turns of 16
// Twin    src/ops/attention/cpu/additive.rs
// Source  Bahdanau et al. 2015, arXiv 1409.0473

override GROUP: u32;  // queries that a workgroup takes, 1 or 8

struct Dims { n: u32, u: u32, t: u32, h: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> q: array<f32>;             // [B,U,H]
@group(0) @binding(2) var<storage, read> k: array<f32>;             // [B,T,H]
@group(0) @binding(3) var<storage, read> score: array<f32>;         // [H]
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;  // [B,U,T]

const KEYS = 64u;
const UNITS = 16u;   // of H in a turn
const STRIDE = 68u;  // of a unit's keys: more than there are, so that neighbours lie in different banks

var<workgroup> q_tile: array<f32, 128>;   // [UNITS][GROUP]
var<workgroup> k_tile: array<f32, 1088>;  // [UNITS][STRIDE]

fn take_row(tile: u32, lane: u32) {
    let tiles = (dims.t + KEYS - 1u) / KEYS;
    let groups = (dims.u + GROUP - 1u) / GROUP;
    let t = tile % tiles * KEYS;
    let u = tile / tiles % groups * GROUP;
    let row = tile / tiles / groups;
    let queries = min(GROUP, dims.u - u);
    let keys = min(KEYS, dims.t - t);
    let first_query = row * dims.u + u;
    let first_key = row * dims.t + t;
    let unit = lane % UNITS;
    //@ for i in 0..8
    var s$i = 0.0;
    //@ end
    for (var h = 0u; h < dims.h; h += UNITS) {
        let units = min(UNITS, dims.h - h);
        // Neighbours along the memory.
        if unit < units {
            // Queries past the last one are computed as it is, but not stored.
            for (var i = lane / UNITS; i < GROUP; i += KEYS / UNITS) {
                let query = first_query + min(i, queries - 1u);
                q_tile[unit * GROUP + i] = q[query * dims.h + h + unit];
            }
            for (var i = lane / UNITS; i < keys; i += KEYS / UNITS) {
                k_tile[unit * STRIDE + i] = k[(first_key + i) * dims.h + h + unit];
            }
        }
        workgroupBarrier();
        if lane < keys {
            for (var j = 0u; j < units; j++) {
                let key = k_tile[j * STRIDE + lane];
                let slope = score[h + j];
                //@ for i in 0..8
                if $iu < GROUP { s$i += slope * tanh1(q_tile[j * GROUP + $iu] + key); }
                //@ end
            }
        }
        workgroupBarrier();
    }
    if lane < keys {
        let at = first_query * dims.t + t + lane;
        //@ for i in 0..8
        if $iu < queries { scores[at + $iu * dims.t] = s$i; }
        //@ end
    }
}
