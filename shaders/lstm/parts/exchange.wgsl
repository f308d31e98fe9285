// How workgroups that run at the same time hand each other words without a barrier: a word is its
// own flag. All bits 0 mean "not there yet", so +0.0 is handed over as -0.0; the host clears the
// words before the pass. Relaxed atomics suffice, since no reader concludes anything from one word
// about another.
//
// Nobody waits for ever: whoever has polled dims.polls times gives up and says so, and all who wait
// see that at once. The launches of a pass are, in this order:
//
//   RUN      some teams take their rows through the steps, as many as run at once; numbered by
//            ticket, so that those of the lowest numbers have started
//   RECOVER  one workgroup a team; returns at once if nobody gave up, else does what is left of
//            the team's work with the same code, so the results have the same bits
//   ALONE    instead of both, where workgroups were seen to wait in vain: as RECOVER, from the begin
//   PROBE    apart from a pass: counts how many workgroups of this kernel run at once
//
// Shapes  exchange: the words, then from dims.control on: a ticket; whether somebody gave up; for
//         each workgroup how far it came, in tiles of steps. timeout_flag: [2]: whether a pass on this
//         device had to be recovered; whether a recovery failed, which nothing should make it
// Fault   dims.fault, for tests, of each team's last workgroup: 2 + 2 step it gives up at that step;
//         3 + 2 step it sleeps there, until the others gave up or several times their patience;
//         1 it does so before it starts

const RUN = 0u;
const RECOVER = 1u;
const PROBE = 2u;
const ALONE = 3u;

const TICKET = 0u;
const FAILED = 1u;
const PROGRESS = 2u;

const NOBODY = 0xffffffffu;

@group(0) @binding(8) var<storage, read_write> timeout_flag: array<atomic<u32>>;  // [2]

var<workgroup> told: u32;           // by invocation 0 to all
var<workgroup> lost: atomic<u32>;   // whether an invocation gave up

fn publish(at: u32, value: f32) {
    let bits = bitcast<u32>(value);
    atomicStore(&exchange[at], select(bits, 0x80000000u, bits == 0u));
}

fn somebody_failed() -> bool {
    return atomicLoad(&exchange[dims.control + FAILED]) != 0u;
}

fn give_up() {
    atomicStore(&lost, 1u);
    if dims.mode != RUN {
        atomicStore(&timeout_flag[1], 1u);
    } else {
        atomicStore(&exchange[dims.control + FAILED], 1u);
    }
}

// The words that an invocation has on their way: of each row of a tile EACH, WG apart.
const SLOTS = 36u;
alias Ahead = array<u32, SLOTS>;

// What stands for a word of 0 that nobody waits for.
const NONE = 0x80000000u;

// Asks for the words of `width` of a tile's rows from word `lane + first` of each on, all at once; of `row` on
// in the team's, at a step before or behind which they were made. NONE for those that are not wanted.
fn look(ahead: ptr<function, Ahead>, row: u32, step: u32, first: u32, lane: u32) {
    //@ for s in 0..36
    if $su < TILE * EACH {
        let word = first + lane + ($su % EACH) * WG;
        let here = team_row[row + $su / EACH];
        let at = words_of(here, step) + min(word, WORDS - 1u);
        (*ahead)[$su] = select(NONE, atomicLoad(&exchange[at]), word < WORDS && step < here.steps);
    }
    //@ end
}

fn is_missing(ahead: ptr<function, Ahead>) -> bool {
    var missing = false;
    //@ for s in 0..36
    if $su < TILE * EACH { missing = missing || (*ahead)[$su] == 0u; }
    //@ end
    return missing;
}

fn forget(ahead: ptr<function, Ahead>) {
    //@ for s in 0..36
    if $su < TILE * EACH { (*ahead)[$su] = 0u; }
    //@ end
}

// Waits until all of them are there.
fn wait_for(ahead: ptr<function, Ahead>, row: u32, step: u32, first: u32, lane: u32) {
    for (var polls = 0u; is_missing(ahead); polls++) {
        // Asked for together with the words: both take their time.
        var failed = false;
        if dims.mode == RUN { failed = somebody_failed(); }
        look(ahead, row, step, first, lane);
        if polls > dims.polls || failed {
            give_up();
            break;
        }
    }
}

// Whether no invocation of the workgroup gave up. A barrier.
fn all_here() -> bool {
    return workgroupUniformLoad(&lost) == 0u;
}

fn progress_of(workgroup: u32) -> u32 {
    return atomicLoad(&exchange[dims.control + PROGRESS + workgroup]);
}

fn set_progress(workgroup: u32, tiles: u32) {
    atomicStore(&exchange[dims.control + PROGRESS + workgroup], tiles);
}

fn least_progress(team: u32) -> u32 {
    var least = NOBODY;
    for (var member = 0u; member < TEAM; member++) { least = min(least, progress_of(team * TEAM + member)); }
    return least;
}

fn probe(groups: u32) {
    if somebody_failed() { return; }
    atomicAdd(&exchange[dims.control + TICKET], 1u);
    for (var polls = 0u; polls < dims.polls; polls++) {
        if atomicLoad(&exchange[dims.control + TICKET]) >= groups || somebody_failed() { return; }
    }
    atomicStore(&exchange[dims.control + FAILED], 1u);
}

fn sleep() {
    for (var polls = 0u; polls < 8u * dims.polls; polls++) {
        if somebody_failed() { return; }
    }
}

// What a workgroup is to do: a number, or nothing.
fn enter(group: u32, groups: u32) -> u32 {
    if dims.mode == RUN {
        let number = atomicAdd(&exchange[dims.control + TICKET], 1u) + dims.offset;
        if dims.fault == 1u && number % TEAM == TEAM - 1u { sleep(); }
        return select(number, NOBODY, somebody_failed());
    }
    if dims.mode == PROBE {
        probe(groups);
        return NOBODY;
    }
    if dims.mode == RECOVER && !somebody_failed() { return NOBODY; }
    atomicStore(&timeout_flag[0], 1u);
    return group;
}

// The same, told to all of a workgroup. A barrier.
fn enter_together(lane: u32, group: u32, groups: u32) -> u32 {
    if lane == 0u {
        atomicStore(&lost, 0u);
        told = enter(group, groups);
    }
    return workgroupUniformLoad(&told);
}

// A test's fault at this step, if this is the workgroup.
fn fail_here(member: u32, step: u32) {
    if dims.mode != RUN || member != TEAM - 1u || dims.fault / 2u != step + 1u { return; }
    if dims.fault % 2u == 0u { give_up(); } else { sleep(); }
}
