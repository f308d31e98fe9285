// What both passes of the LSTM share: the sizes and options of a call, and where a row lies.
//
// A chunk is `b` rows and `t` steps. gates, h_before and c_before hold the chunk's frames alone,
// a row's one after another; y and the states hold the whole batch.
//
// A dispatch runs one direction of a layer, or both, or several layers of a stack, each of its
// workgroups one of them: its `way`. What they have apart lies one way's after the other's.

override LENGTHS: bool;  // rows differ in length: `rows` is [B,3]: row, length, first frame; the
                         // longest first

struct Dims {
    b: u32, t: u32, h: u32,
    first_row: u32,    // in the order of `rows`
    first_frame: u32,  // what `rows` counts as the chunk's first
    first_step: u32,
    timesteps: u32,    // of the batch
    step: u32,         // of the chunk, in the kernels of one step
    c_offset: u32,     // from h to c in a state
    state_in: u32, state_out: u32,
    y_stride: u32, y_offset: u32,  // words from frame to frame, first column
    sequences: u32,    // whether there is a y
    initial: u32,      // whether there is a state before the first step; else it is 0
    reverse: u32,      // by bits, for each way: from a row's last step to its first
    packed: u32,       // whether y has no padding: [frames,..], as `rows` counts them
    deal: u32,         // how many shares of a grid's workgroups are run at a time: see dealt
    before: u32,       // whether d_h of the state before the chunk is wanted
    frames: u32,       // from a way's frames to the next's, in gates, h_before and c_before
    r_way: u32, p_way: u32,    // from a way's R to the next's, and its peepholes, in vec4
    y_way: u32,        // from a way's outputs to the next's
    key2: u32, key3: u32,      // of the second way
    key0: u32, key1: u32,
    dropout: f32, zoneout_h: f32, zoneout_c: f32,
    training: u32,
    recurrent: u32, recurrent_alpha: f32, recurrent_beta: f32,
    input: u32, input_alpha: f32, input_beta: f32,
    output: u32, output_alpha: f32, output_beta: f32,
    coupled: u32,
    clip: f32, cell_clip: f32,
    held_low: f32, held_high: f32, held_g_low: f32, held_g_high: f32,  // see cell/variant
    peepholes: u32,
    // Of the persistent schedule alone: see lstm/parts/exchange.wgsl.
    until: u32, control: u32, mode: u32, polls: u32, fault: u32, team_rows: u32, offset: u32,
    inputs: u32, w_at: u32, w_way: u32, bias_at: u32, bias_way: u32,  // see lstm/parts/fused.wgsl
}

var<private> way: u32;

struct Row {
    at: u32,     // in the batch
    steps: u32,  // of the chunk; 0 past the chunk's rows
    start: u32,  // its first frame in the chunk, of its way
}

// Without branches, here and below: a software adapter pays for each as for some twenty
// instructions, once for each row and unit that a workgroup takes.
fn find_row(row: u32) -> Row {
    let inside = row < dims.b;
    let first = way * dims.frames;
    if LENGTHS {
        let entry = 3u * (dims.first_row + min(row, dims.b - 1u));
        let steps = min(rows[entry + 1u] - dims.first_step, dims.t);
        return Row(rows[entry], select(0u, steps, inside), first + rows[entry + 2u] - dims.first_frame);
    }
    return Row(dims.first_row + row, select(0u, dims.t, inside), first + select(0u, row * dims.t, inside));
}

// The rows that a workgroup of a sequence takes, in workgroups' worths. A software adapter gives each
// of its threads a run of workgroups, so the long rows are dealt to all runs, to and fro.
fn dealt(group: u32, groups: u32) -> u32 {
    let each = groups / dims.deal;
    let run = group / max(each, 1u);
    if run >= dims.deal { return group; }
    let round = group % max(each, 1u);
    return round * dims.deal + select(run, dims.deal - 1u - run, round % 2u == 1u);
}

// The frame that a row's step takes; of a step past its end, one that is there.
fn frame(row: Row, step: u32) -> u32 {
    let last = max(row.steps, 1u) - 1u;
    let here = min(step, last);
    return select(here, last - here, ((dims.reverse >> way) & 1u) != 0u);
}

// Where a unit's value of this step lies in the chunk.
fn place(row: Row, step: u32, unit: u32) -> u32 {
    return (row.start + frame(row, step)) * dims.h + unit;
}

// Where this step lies in the batch.
fn batch_frame(row: Row, step: u32) -> u32 {
    return row.at * dims.timesteps + dims.first_step + frame(row, step);
}

fn y_place(row: Row, step: u32, unit: u32) -> u32 {
    // `rows` counts a row's frames from its first step.
    let first = row.start - way * dims.frames + dims.first_frame + dims.first_step;
    let at = select(batch_frame(row, step), first + frame(row, step), dims.packed != 0u);
    return at * dims.y_stride + dims.y_offset + way * dims.y_way + unit;
}

// n, as a number that no compiler knows and so unrolls no loop by: a cell's code is long, and each
// copy of it takes a software adapter half a second to compile.
fn rolled(n: u32) -> u32 {
    return min(dims.b, 1u) * n;
}
