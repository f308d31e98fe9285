// lstm_persistent_bwd: all timesteps of an LSTM layer's backward pass in one dispatch, R^T spread
// over the workgroups.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward, from the last step to the first
//
// Shapes  lstm/parts/backward.wgsl, but the gates stay as they are; exchange: [frames,H,4], then
//         the words of lstm/parts/exchange.wgsl: d_a
// Grid    as lstm_persistent. d_c in registers, d_a of the step behind in shared memory. Steps count
//         from the last one backwards; behind the first, one more gives d_h of the state before
// Twin    src/ops/lstm/cpu/

@group(0) @binding(7) var<storage, read_write> exchange: array<atomic<u32>>;  // [frames,H,4], and those of lstm/parts/exchange.wgsl

var<workgroup> d_a: array<vec4<f32>, STAGED>;  // [TILE][K SPLIT] of vec4 (i,f,g,o)
var<workgroup> parts: array<f32, PARTS>;       // [TILE][SPLIT][UNITS]

fn weight(k: u32, unit: u32) -> Gates { return rt[way * dims.r_way + k * H + unit]; }

fn keep_d_a(at: u32, d: vec4<f32>) {
    publish(4u * at, d.x);
    publish(4u * at + 1u, d.y);
    publish(4u * at + 2u, d.z);
    publish(4u * at + 3u, d.w);
}

// Peepholes are a variant's.
fn add_d_peepholes(at: u32, d: vec4<f32>) {}

// Where a row's d_a of a step lies.
fn words_of(row: Row, step: u32) -> u32 { return 4u * place(row, step, 0u); }

// d_a of a step, of a tile of rows from `row` of the team on, into shared memory; 0 past a row's end. The first of
// its words are on their way. Neighbours take neighbouring words: a line of the cache is fetched once.
fn stage(ahead: ptr<function, Ahead>, row: u32, step: u32, lane: u32) {
    let padded = 4u * K * SPLIT;
    for (var first = 0u; first < padded; first += EACH * WG) {
        if first > 0u { forget(ahead); }
        wait_for(ahead, row, step, first, lane);
        for (var j = 0u; j < EACH; j++) {
            let word = first + lane + j * WG;
            if word < padded {
                for (var i = 0u; i < TILE; i++) {
                    d_a[i * K * SPLIT + word / 4u][word % 4u] = bitcast<f32>((*ahead)[i * EACH + j]);
                }
            }
        }
    }
}

// What unit k of the step behind adds to d_h of a tile's rows.
fn multiply(d_h: ptr<function, vec4<f32>>, k: u32, w: vec4<f32>) {
    (*d_h).x += dot(d_a[k], w);
    if TILE > 1u { (*d_h).y += dot(d_a[K * SPLIT + k], w); }
    if TILE > 2u {
        (*d_h).z += dot(d_a[2u * K * SPLIT + k], w);
        (*d_h).w += dot(d_a[3u * K * SPLIT + k], w);
    }
}

fn load_d_c(row: u32, unit: u32) -> f32 {
    let here = find_row(row);
    return select(0.0, d_state[d_c_place(here, unit)], here.steps > 0u);
}

fn store_d_c(row: u32, unit: u32, d_c: f32) {
    let here = find_row(row);
    if here.steps > 0u { d_state[d_c_place(here, unit)] = d_c; }
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
    let steps = find_row(row0).steps;
    let turns = min(steps + dims.before, dims.until);
    let begin = first_step(share, tiles, lane);
    if begin >= turns { return; }

    let part = lane / UNITS;
    let column = lane % UNITS;
    let row = row0 + part;
    var unit = share.first * UNITS + column;
    var kept: array<Gates, REGISTERS>;
    var ahead: Ahead;
    var d_c = 0.0;
    let carries = !recover && part < dims.team_rows && unit < H;
    if carries { d_c = load_d_c(row, unit); }
    find_team(row0, lane);
    workgroupBarrier();
    var done = turns * tiles;
    for (var turn = begin; turn < turns; turn++) {
        for (var tile = 0u; tile < tiles; tile++) {
            if lane == 0u && tile == 0u { fail_here(share.first, turn); }
            let mine = part / TILE == tile;
            var loaded: Loaded;
            if mine && unit < H && turn < steps && !recover { loaded = load_step(row, steps - 1u - turn, unit); }
            // Of the last step there is nothing behind.
            stage(&ahead, tile * TILE, steps - turn, lane);
            if !all_here() {
                done = turn * tiles + tile;
                break;
            }
            // The next tile's words come while this one's are used; of a tile alone they are yet to be made.
            forget(&ahead);
            let next = turn * tiles + tile + 1u;
            if tiles > 1u { look(&ahead, next % tiles * TILE, steps - min(next / tiles, steps), 0u, lane); }
            for (var member = share.first; member < share.end; member++) {
                // Written once: it is long.
                if recover || turn * tiles + tile == begin * tiles {
                    unit = member * UNITS + column;
                    keep_slice(&kept, part, unit, lane);
                }
                var d_h = vec4(0.0);
                if ROLLED {
                    for (var j = 0u; j < KR; j++) { multiply(&d_h, j * SPLIT + part, vec4<f32>(kept[j])); }
                } else {
                    //@ for s in 0..32
                    if $su < KR { multiply(&d_h, $su * SPLIT + part, vec4<f32>(kept[$s])); }
                    //@ end
                }
                for (var j = 0u; j < KS; j++) {
                    multiply(&d_h, (KR + j) * SPLIT + part, vec4<f32>(slice[j * WG + lane]));
                }
                // All four are on their way before the first is used.
                for (var j = KR + KS; j + 3u < K; j += 4u) {
                    //@ for i in 0..4
                    let w$i = weight_from((j + $iu) * SPLIT + part, unit);
                    //@ end
                    //@ for i in 0..4
                    multiply(&d_h, (j + $iu) * SPLIT + part, vec4<f32>(w$i));
                    //@ end
                }
                for (var j = K - (K - KR - KS) % 4u; j < K; j++) {
                    let k = j * SPLIT + part;
                    multiply(&d_h, k, vec4<f32>(weight_from(k, unit)));
                }
                for (var j = 0u; j < TILE; j++) { parts[part_place(j, part, column)] = d_h[j]; }
                workgroupBarrier();
                // What a member did before its team failed stays.
                let open = !recover || turn * tiles + tile >= progress_of(share.team * TEAM + member);
                if mine && unit < H && open {
                    if recover {
                        d_c = load_d_c(row, unit);
                        if turn < steps { loaded = load_step(row, steps - 1u - turn, unit); }
                    }
                    var sum = 0.0;
                    for (var p = 0u; p < SPLIT; p++) { sum += parts[part_place(part % TILE, p, column)]; }
                    if turn < steps {
                        d_c = differentiate_loaded(row, steps - 1u - turn, unit, sum, d_c, loaded).d_c;
                    } else {
                        end_d_h(row, unit, sum);
                    }
                    if recover { store_d_c(row, unit, d_c); }
                }
                if recover { workgroupBarrier(); }
            }
        }
        if done < turns * tiles { break; }
    }
    if carries { store_d_c(row, unit, d_c); }
    if lane == 0u {
        for (var member = share.first; member < share.end; member++) {
            set_progress(share.team * TEAM + member, done);
        }
    }
}
