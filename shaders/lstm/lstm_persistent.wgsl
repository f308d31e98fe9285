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

var<workgroup> h: array<f32, STAGED>;           // [K SPLIT][TILE]
var<workgroup> parts: array<vec4<f32>, PARTS>;  // [TILE][SPLIT][UNITS]

fn weight(k: u32, unit: u32) -> Gates { return r[way * dims.r_way + k * H + unit]; }

fn keep_before(at: u32, step: u32, h: f32, c: f32) {
    if step == 0u { publish(at, h); }
    c_before[at] = c;
}

// h before a step, of a tile of rows from `row` of the team on, into shared memory.
fn stage(row0: u32, row: u32, step: u32, lane: u32) {
    let padded = K * SPLIT;
    for (var first = lane; first < STAGED; first += 4u * WG) {
        var at: vec4<u32>;
        var wanted: vec4<bool>;
        for (var j = 0u; j < 4u; j++) {
            let word = first + j * WG;
            let here = team_row[row + min(word / padded, TILE - 1u)];
            let k = word % padded;
            at[j] = place(here, step, min(k, H - 1u));
            wanted[j] = word < STAGED && k < H && step > 0u && step < here.steps;
        }
        var values = wait_for4(at, wanted);
        for (var j = 0u; j < 4u; j++) {
            let word = first + j * WG;
            if word < STAGED {
                let k = word % padded;
                if step == 0u && k < H { values[j] = initial_h(row0 + row + word / padded, k); }
                h[k * TILE + word / padded] = values[j];
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
    let at = k * TILE;
    *a0 += h[at] * w;
    if TILE > 1u { *a1 += h[at + 1u] * w; }
    if TILE > 2u {
        *a2 += h[at + 2u] * w;
        *a3 += h[at + 3u] * w;
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
    var carry = vec2(0.0);  // h, c
    let carries = !recover && part < dims.team_rows && unit < H;
    if !recover { keep_slice(&kept, part, unit, lane); }
    if carries { carry = state_before(row, begin, unit); }
    find_team(row0, lane);
    workgroupBarrier();
    var done = steps * tiles;
    for (var step = begin; step < steps; step++) {
        for (var tile = 0u; tile < tiles; tile++) {
            let mine = part / TILE == tile;
            var x = vec4(0.0);
            if mine && unit < H { x = x_part(row, step, unit); }
            if lane == 0u && tile == 0u { fail_here(share.first, step); }
            stage(row0, tile * TILE, step, lane);
            if !all_here(lane) {
                done = step * tiles + tile;
                break;
            }
            for (var member = share.first; member < share.end; member++) {
                if recover {
                    unit = member * UNITS + column;
                    keep_slice(&kept, part, unit, lane);
                }
                var a0 = vec4(0.0);
                var a1 = vec4(0.0);
                var a2 = vec4(0.0);
                var a3 = vec4(0.0);
                for (var j = 0u; j < KR; j++) {
                    multiply(&a0, &a1, &a2, &a3, j * SPLIT + part, vec4<f32>(kept[j]));
                }
                for (var j = 0u; j < KS; j++) {
                    multiply(&a0, &a1, &a2, &a3, (KR + j) * SPLIT + part, vec4<f32>(slice[j * WG + lane]));
                }
                for (var j = KR + KS; j < K; j++) {
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
