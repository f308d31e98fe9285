// embedding_bwd: for each row that is drawn, the sum of d_y over its places, in their order.
//
// Shapes  places: for each row drawn its number, and the begin and end of its places; the places of
//         all behind, from places_at on; d_y: [N,E]; d_table: [V,E], added to, of which the rows from
//         `base` on are here, or with ROWS [rows drawn,E], written
// Grid    rowwise, n rows drawn, from `first` on; no atomics, so that every run gives the same bits
// Twin    src/ops/frames/embedding.rs

override ROWS: bool;

struct Dims { n: u32, first: u32, size: u32, base: u32, places_at: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> places: array<u32>;         // of the rows drawn, then of their places
@group(0) @binding(2) var<storage, read> d_y: array<f32>;            // [N,E]
@group(0) @binding(3) var<storage, read_write> d_table: array<f32>;  // [V,E] or [rows drawn,E]

fn take_row(number: u32, lane: u32) {
    let head = 3u * (dims.first + number);
    let begin = places[head + 1u];
    let end = places[head + 2u];
    for (var j = lane; j < dims.size; j += 64u) {
        var all = LongSum();
        for (var at = begin; at < end; at += PART) {
            var part = 0.0;
            let last = min(end, at + PART);
            for (var i = at; i < last; i++) {
                part += d_y[places[dims.places_at + i] * dims.size + j];
            }
            add_part(&all, part);
        }
        let sum = all_parts(all);
        if ROWS {
            d_table[(dims.first + number) * dims.size + j] = sum;
        } else {
            d_table[(places[head] - dims.base) * dims.size + j] += sum;
        }
    }
}
