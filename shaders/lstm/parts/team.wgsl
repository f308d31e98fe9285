// A team: the workgroups that take dims.team_rows rows of the LSTM through all steps together, each
// for UNITS units, whose slice of R it keeps as near as it can: in registers, then in shared memory;
// what does not fit comes from the cache.
//
// An invocation has the share `part` of the sum of one unit, `lane % UNITS` of its workgroup's: the
// units k = part, part + SPLIT, .. of the step before. It also finishes that unit for row `part` of
// the team's, so it carries one state. Rows go in tiles of TILE, so that one tile's words are on
// their way while another is computed.

override WG: u32;      // invocations: UNITS SPLIT
override H: u32;
override TEAM: u32;    // workgroups: ceil(H / UNITS)
override UNITS: u32;
override SPLIT: u32;
override TILE: u32;    // rows: 1, 2 or 4
override K: u32;       // ceil(H / SPLIT), of which
override KR: u32;      // are kept in registers, at most REGISTERS
override KS: u32;      // and in shared memory
override STAGED: u32;  // vec4s of a tile: of h K SPLIT TILE / 4, of d_a K SPLIT TILE
override WORDS: u32;   // that a row hands on at a step
override EACH: u32;    // of a row that an invocation has on their way at a time
override PARTS: u32;   // WG TILE
override SHARED: u32;  // max(KS WG, 1)

override ROLLED: bool; // whether those in registers are gone through by a loop

// The most of R that an invocation keeps in registers. As many in 16 bits as in 32: compilers convert them once, ahead
// of all steps. Their places are constants, by loops that are written out, since where a compiler unrolls none they lie
// in memory; but a software adapter, which has no registers for them, compiles those for minutes.
const REGISTERS = 32u;

var<workgroup> slice: array<Gates, SHARED>;  // [KS][WG]

var<workgroup> team_row: array<Row, SPLIT>;      // those there are

// The first row of a team, whose way becomes this workgroup's.
fn enter_way(team: u32) -> u32 {
    let teams = (dims.b + dims.team_rows - 1u) / dims.team_rows;
    way = team / teams;
    return team % teams * dims.team_rows;
}

// Where the team's rows lie: once, instead of at each step. A barrier has to follow.
fn find_team(row: u32, lane: u32) {
    if lane < SPLIT { team_row[lane] = find_row(row + lane); }
}

// A value of the slice, from memory; 0 where there is none.
fn weight_from(k: u32, unit: u32) -> Gates {
    return select(Gates(), weight(min(k, H - 1u), min(unit, H - 1u)), k < H && unit < H);
}

fn keep_slice(kept: ptr<function, array<Gates, REGISTERS>>, part: u32, unit: u32, lane: u32) {
    if ROLLED {
        for (var j = 0u; j < KR; j++) { (*kept)[j] = weight_from(j * SPLIT + part, unit); }
    } else {
        //@ for s in 0..32
        if $su < KR { (*kept)[$s] = weight_from($su * SPLIT + part, unit); }
        //@ end
    }
    for (var j = 0u; j < KS; j++) { slice[j * WG + lane] = weight_from((KR + j) * SPLIT + part, unit); }
}

// Where an invocation leaves its share of a row's sums.
fn part_place(row: u32, part: u32, column: u32) -> u32 {
    return (row * SPLIT + part) * UNITS + column;
}

// What a workgroup takes: of a team the members from `first` up to `end`, which is itself or, where it
// recovers, the whole team.
struct Share { recover: bool, team: u32, first: u32, end: u32 }

fn share_of(number: u32) -> Share {
    let recover = dims.mode != RUN;
    let team = select(number / TEAM, number, recover);
    let first = select(number % TEAM, 0u, recover);
    return Share(recover, team, first, select(first + 1u, TEAM, recover));
}

// The step that it begins with: that of the launch, or where its team's last one gave up. A barrier.
fn first_step(share: Share, tiles: u32, lane: u32) -> u32 {
    var step = dims.step;
    if share.recover {
        if lane == 0u { told = least_progress(share.team) / tiles; }
        step = workgroupUniformLoad(&told);
    }
    return step;
}
