// top_k: the K largest elements of each row, the largest first and of equals the first, with the logarithm of
// each one's softmax.
//
//   y = x - max x - log sum exp(x - max x)
//
// The elements are dealt to 64 groups. K times the best of the groups' best is taken, and all invocations
// look for what is then the best of its group: whatever a row holds, that is K short searches.
// All y of a row with a NaN, or whose largest is infinite, are NaN; its places are of no use.
//
// Shapes  x: [N,C]; best: [N,K,2], the bits of y and the place in the row; K <= C
// Grid    rowwise, n = N: a row
// Twin    src/ops/norm/top_k.rs

struct Dims { n: u32, c: u32, k: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [N,C]
@group(0) @binding(2) var<storage, read_write> best: array<u32>;   // [N,K,2]

// An element and its place; C as the place stands for none.
struct Element { x: f32, at: u32 }

var<workgroup> of_group: array<Element, 64>;  // what is left of elements g, g + 64, ...: the best
var<workgroup> of_lane: array<Element, 64>;   // the best that each invocation saw

// Whether a comes before b.
fn before(a: Element, b: Element) -> bool {
    if a.at == dims.c || b.at == dims.c { return a.at < b.at; }
    return a.x > b.x || (a.x == b.x && a.at < b.at);
}

fn take_row(row: u32, lane: u32) {
    let begin = row * dims.c;
    var largest = x[begin];
    var own = Element(0.0, dims.c);
    for (var j = lane; j < dims.c; j += 64u) {
        let element = Element(x[begin + j], j);
        largest = larger(largest, element.x);
        if before(element, own) { own = element; }
    }
    of_group[lane] = own;
    largest = workgroup_max(lane, largest);
    var exps = LongSum();
    for (var first = lane; first < dims.c; first += PART * 64u) {
        var part = 0.0;
        let end = min(dims.c, first + PART * 64u);
        for (var j = first; j < end; j += 64u) { part += exp1(x[begin + j] - largest); }
        add_part(&exps, part);
    }
    let log_sum = log1(workgroup_sum(lane, all_parts(exps)));
    for (var i = 0u; i < dims.k; i++) {
        var group = 0u;
        for (var g = 1u; g < 64u; g++) {
            if before(of_group[g], of_group[group]) { group = g; }
        }
        let found = of_group[group];
        if lane == 0u {
            let to = (row * dims.k + i) * 2u;
            best[to] = bitcast<u32>((found.x - largest) - log_sum);
            best[to + 1u] = found.at;
        }
        if i + 1u < dims.k {
            own = Element(0.0, dims.c);
            for (var j = group + 64u * lane; j < dims.c; j += 64u * 64u) {
                let element = Element(x[begin + j], j);
                if before(found, element) && before(element, own) { own = element; }
            }
            of_lane[lane] = own;
            workgroupBarrier();
            if lane == 0u {
                for (var l = 1u; l < 64u; l++) {
                    if before(of_lane[l], own) { own = of_lane[l]; }
                }
                of_group[group] = own;
            }
            workgroupBarrier();
        }
    }
}
