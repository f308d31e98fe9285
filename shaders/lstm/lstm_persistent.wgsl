// lstm_persistent: all timesteps of an LSTM layer in one dispatch, R spread over the workgroups.
//
//   a = x_part + R h    then the cell, for each step in turn
//
// Shapes  lstm/parts/forward.wgsl; exchange: [frames,H], then the words of lstm/parts/exchange.wgsl:
//         h before each step, as R meets it
// Grid    teams TEAM, 1, 1, a team of workgroups takes team_rows rows of a way: lstm/parts/team.wgsl;
//         teams, 1, 1 to recover. h and c in registers, h of the step before in shared memory
// Twin    src/ops/lstm/cpu/
// Source  Diamos et al. 2016 (persistent RNN, its bounded wait and relaunch)

@group(0) @binding(3) var<storage, read_write> exchange: array<atomic<u32>>;  // [frames,H], and those of lstm/parts/exchange.wgsl

var<workgroup> h: array<vec4<f32>, STAGED>;     // [K SPLIT][TILE], in vec4s
var<workgroup> parts: array<vec4<f32>, PARTS>;  // [TILE][SPLIT][UNITS]

fn weight(k: u32, unit: u32) -> Gates { return r[way * dims.r_way + k * H + unit]; }

fn keep_before(at: u32, step: u32, h: f32, c: f32) {
    if step == 0u { publish(at, h); }
    keep_c(at, c);
}

// Where a row's h before a step lies.
fn words_of(row: Row, step: u32) -> u32 { return place(row, step, 0u); }

// h before the first step of a tile of rows.
fn stage_initial(row0: u32, row: u32, lane: u32) {
    let padded = K * SPLIT;
    for (var word = lane; word < padded * TILE; word += WG) {
        let k = word % padded;
        var value = 0.0;
        if k < H { value = initial_h(row0 + row + word / padded, k); }
        let at = k * TILE + word / padded;
        h[at / 4u][at % 4u] = value;
    }
}

// h before a step, of a tile of rows from `row` of the team on, into shared memory. The first of its words are on
// their way.
fn stage(ahead: ptr<function, Ahead>, row: u32, step: u32, lane: u32) {
    for (var first = 0u; first < K * SPLIT; first += EACH * WG) {
        if first > 0u { forget(ahead); }
        wait_for(ahead, row, step, first, lane);
        for (var j = 0u; j < EACH; j++) {
            let k = first + lane + j * WG;
            if k < K * SPLIT {
                if TILE == 4u {
                    h[k] = bitcast<vec4<f32>>(vec4(
                        (*ahead)[j], (*ahead)[EACH + j], (*ahead)[2u * EACH + j], (*ahead)[3u * EACH + j],
                    ));
                } else {
                    for (var i = 0u; i < TILE; i++) {
                        let at = k * TILE + i;
                        h[at / 4u][at % 4u] = bitcast<f32>((*ahead)[i * EACH + j]);
                    }
                }
            }
        }
    }
}

// What unit k of the step before adds to the gates of a tile's rows.
fn multiply(
    a0: ptr<function, vec4<f32>>, a1: ptr<function, vec4<f32>>,
    a2: ptr<function, vec4<f32>>, a3: ptr<function, vec4<f32>>,
    k: u32, w: vec4<f32>,
) {
    if TILE == 4u {
        let by_row = h[k];
        *a0 += by_row.x * w;
        *a1 += by_row.y * w;
        *a2 += by_row.z * w;
        *a3 += by_row.w * w;
    } else {
        let at = k * TILE;
        *a0 += h[at / 4u][at % 4u] * w;
        if TILE > 1u { *a1 += h[(at + 1u) / 4u][(at + 1u) % 4u] * w; }
    }
}

// h and c before a step that a launch or a recovery begins with.
fn state_before(row: u32, step: u32, unit: u32) -> vec2<f32> {
    if step == 0u { return vec2(initial_h(row, unit), initial_c(row, unit)); }
    let here = find_row(row);
    if here.steps == 0u { return vec2(0.0); }
    let at = state_place(dims.state_out, here, unit);
    return vec2(state[at], state[at + dims.c_offset]);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = enter_together(lane, group.x, groups.x);
    if number == NOBODY { return; }
    let share = share_of(number);
    let recover = share.recover;
    let tiles = dims.team_rows / TILE;
    let row0 = enter_way(share.team);
    // The first row is the longest.
    let steps = min(find_row(row0).steps, dims.until);
    let begin = first_step(share, tiles, lane);
    if begin >= steps { return; }

    let part = lane / UNITS;
    let column = lane % UNITS;
    let row = row0 + part;
    var unit = share.first * UNITS + column;
    var kept: array<Gates, REGISTERS>;
    var ahead: Ahead;
    var carry = vec2(0.0);  // h, c
    let carries = !recover && part < dims.team_rows && unit < H;
    if carries { carry = state_before(row, begin, unit); }
    find_team(row0, lane);
    workgroupBarrier();
    var done = steps * tiles;
    for (var step = begin; step < steps; step++) {
        if FUSED && !recover && (step - begin) % AHEAD == 0u {
            // Nobody needs those of the block before any more.
            workgroupBarrier();
            make_sums(step, part, column, unit);
        }
        for (var tile = 0u; tile < tiles; tile++) {
            let mine = part / TILE == tile;
            var x = vec4(0.0);
            if !FUSED && mine && unit < H { x = x_part(row, step, unit); }
            if lane == 0u && tile == 0u { fail_here(share.first, step); }
            if step == 0u {
                stage_initial(row0, tile * TILE, lane);
            } else {
                stage(&ahead, tile * TILE, step, lane);
            }
            if !all_here() {
                done = step * tiles + tile;
                break;
            }
            // The next tile's words come while this one's are used; of a tile alone they are yet to be made.
            forget(&ahead);
            let next = step * tiles + tile + 1u;
            if tiles > 1u && next >= tiles { look(&ahead, next % tiles * TILE, next / tiles, 0u, lane); }
            for (var member = share.first; member < share.end; member++) {
                // Written once: it is long.
                if recover || step * tiles + tile == begin * tiles {
                    unit = member * UNITS + column;
                    keep_slice(&kept, part, unit, lane);
                }
                var a0 = vec4(0.0);
                var a1 = vec4(0.0);
                var a2 = vec4(0.0);
                var a3 = vec4(0.0);
                if ROLLED {
                    for (var j = 0u; j < KR; j++) {
                        multiply(&a0, &a1, &a2, &a3, j * SPLIT + part, vec4<f32>(kept[j]));
                    }
                } else {
                    //@ for s in 0..32
                    if $su < KR { multiply(&a0, &a1, &a2, &a3, $su * SPLIT + part, vec4<f32>(kept[$s])); }
                    //@ end
                }
                for (var j = 0u; j < KS; j++) {
                    multiply(&a0, &a1, &a2, &a3, (KR + j) * SPLIT + part, vec4<f32>(slice[j * WG + lane]));
                }
                // All four are on their way before the first is used.
                for (var j = KR + KS; j + 3u < K; j += 4u) {
                    //@ for i in 0..4
                    let w$i = weight_from((j + $iu) * SPLIT + part, unit);
                    //@ end
                    //@ for i in 0..4
                    multiply(&a0, &a1, &a2, &a3, (j + $iu) * SPLIT + part, vec4<f32>(w$i));
                    //@ end
                }
                for (var j = K - (K - KR - KS) % 4u; j < K; j++) {
                    let k = j * SPLIT + part;
                    multiply(&a0, &a1, &a2, &a3, k, vec4<f32>(weight_from(k, unit)));
                }
                parts[part_place(0u, part, column)] = a0;
                if TILE > 1u { parts[part_place(1u, part, column)] = a1; }
                if TILE > 2u {
                    parts[part_place(2u, part, column)] = a2;
                    parts[part_place(3u, part, column)] = a3;
                }
                workgroupBarrier();
                // What a member did before its team failed stays.
                let open = !recover || step * tiles + tile >= progress_of(share.team * TEAM + member);
                if mine && unit < H && open {
                    if recover {
                        carry = state_before(row, step, unit);
                        x = x_part(row, step, unit);
                    } else if FUSED {
                        x = made_sum(part, (step - begin) % AHEAD, column);
                    }
                    var a = x;
                    for (var p = 0u; p < SPLIT; p++) { a += parts[part_place(part % TILE, p, column)]; }
                    carry = finish(row, step, unit, a, carry.x, carry.y);
                    let here = team_row[part];
                    if step + 1u < here.steps { publish(place(here, step + 1u, unit), carry.x); }
                    if recover { store_state(row, unit, carry.x, carry.y); }
                }
                if recover { workgroupBarrier(); }
            }
        }
        if done < steps * tiles { break; }
    }
    if carries { store_state(row, unit, carry.x, carry.y); }
    if lane == 0u {
        for (var member = share.first; member < share.end; member++) {
            set_progress(share.team * TEAM + member, done);
        }
    }
}
