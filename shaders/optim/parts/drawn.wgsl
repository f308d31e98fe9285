// Which parameters an optimizer's kernel moves: all of a window of them, or with ROWS some rows of a
// table. Then g is the gradient of those rows alone, one after the other, and rows[i] the number of row i;
// those from `skip` elements on lie in the window of the table that begins at row `base`.

override ROWS: bool;

// Where element i of g lies in p, and in what is kept for it.
fn place_of(i: u32) -> u32 {
    if ROWS { return (rows[i / dims.size] - dims.base) * dims.size + i % dims.size; }
    return i;
}
