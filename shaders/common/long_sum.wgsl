// A sum of many terms, by levels: a float that grows term by term loses what each new term has below its
// last place, so sixteen terms make a part, sixteen parts one of the next level, and so on. Nothing that
// a compiler may reorder: loops and branches keep the levels apart.

// Terms of a part.
const PART = 16u;

struct LongSum { parts: u32, low: f32, middle: f32, high: f32, top: f32 }

fn add_part(sum: ptr<function, LongSum>, part: f32) {
    (*sum).low += part;
    (*sum).parts += 1u;
    if (*sum).parts % 16u == 0u {
        (*sum).middle += (*sum).low;
        (*sum).low = 0.0;
        if (*sum).parts % 256u == 0u {
            (*sum).high += (*sum).middle;
            (*sum).middle = 0.0;
            if (*sum).parts % 4096u == 0u {
                (*sum).top += (*sum).high;
                (*sum).high = 0.0;
            }
        }
    }
}

fn all_parts(sum: LongSum) -> f32 {
    return sum.top + (sum.high + (sum.middle + sum.low));
}

fn scale_parts(sum: ptr<function, LongSum>, factor: f32) {
    (*sum).low *= factor;
    (*sum).middle *= factor;
    (*sum).high *= factor;
    (*sum).top *= factor;
}
