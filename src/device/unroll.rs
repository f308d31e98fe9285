//! Unrolls marked loops in the text of kernels: where sums must stay in registers, or an index into private
//! memory must be constant, no compiler is relied on to unroll.
//!
//! ```text
//! //@ for i in 0..2; c in x, y
//! a$i += b.$c;
//! //@ end
//! ```
//!
//! becomes `a0 += b.x; a0 += b.y; a1 += b.x; a1 += b.y;`, each on its own line. A loop runs over numbers or
//! words, or several variables over as many words a turn (`for i c in 0 x, 1 y`); a variable is one letter.
//! Text that is not a complete loop is left as it is; no compiler accepts the `$` in it.

use std::borrow::Cow;

/// The text with all loops unrolled.
pub(super) fn unrolled(text: &str) -> Cow<'_, str> {
    if !text.contains(FOR) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let mut out = String::with_capacity(4 * text.len());
    write_out(&lines, &mut out);
    Cow::Owned(out)
}

const FOR: &str = "//@ for ";
const END: &str = "//@ end";

fn write_out(lines: &[String], out: &mut String) {
    let mut rest = lines;
    while let Some((line, behind)) = rest.split_first() {
        match loops(line).zip(end_of(behind)) {
            Some((loops, end)) => {
                turns(&loops, &behind[..end], out);
                rest = &behind[end + 1..];
            }
            None => {
                out.push_str(line);
                out.push('\n');
                rest = behind;
            }
        }
    }
}

/// The variables of a loop, and their words for each turn.
struct Loop<'a> {
    names: &'a str,
    turns: Vec<String>,
}

/// The loops that a line opens, the outermost first.
fn loops(line: &str) -> Option<Vec<Loop<'_>>> {
    let one = |head| -> Option<Loop<'_>> {
        let (names, over) = str::split_once(head, " in ")?;
        let turns = match over.split_once("..") {
            Some((first, end)) => {
                let numbers = first.trim().parse::<u32>().ok()?..end.trim().parse().ok()?;
                numbers.map(|number| number.to_string()).collect()
            }
            None => over.split(',').map(str::to_owned).collect::<Vec<_>>(),
        };
        // As many words a turn as names, of a letter each, and at least one turn.
        let count = names.split_whitespace().count();
        let fits = names.split_whitespace().all(|name| name.len() == 1)
            && turns.iter().all(|turn| turn.split_whitespace().count() == count);
        (fits && count > 0 && !turns.is_empty()).then_some(Loop { names, turns })
    };
    line.trim_start().strip_prefix(FOR)?.split(';').map(one).collect()
}

/// The index of the line that ends a loop whose body begins with `body`.
fn end_of(body: &[String]) -> Option<usize> {
    let mut open = 1;
    body.iter().position(|line| {
        let line = line.trim();
        open += usize::from(line.starts_with(FOR));
        open -= usize::from(line == END);
        open == 0
    })
}

fn turns(loops: &[Loop<'_>], body: &[String], out: &mut String) {
    let Some((outer, inner)) = loops.split_first() else { return write_out(body, out) };
    for turn in &outer.turns {
        let mut body = body.to_vec();
        for (name, word) in outer.names.split_whitespace().zip(turn.split_whitespace()) {
            let name = format!("${name}");
            body.iter_mut().for_each(|line| *line = line.replace(&name, word));
        }
        turns(inner, &body, out);
    }
}

#[cfg(test)]
mod tests {
    use super::unrolled;

    #[test]
    fn loops_are_written_out() {
        let text = "\
fn main() {
    //@ for i in 0..2; c v in x i, y f
    let $v$i = low(a$i.$c);
    //@ for j in 3..5
    h$j_$i += $v$i * $ju;
    //@ end
    //@ end
}
";
        let expected = "\
fn main() {
    let i0 = low(a0.x);
    h3_0 += i0 * 3u;
    h4_0 += i0 * 4u;
    let f0 = low(a0.y);
    h3_0 += f0 * 3u;
    h4_0 += f0 * 4u;
    let i1 = low(a1.x);
    h3_1 += i1 * 3u;
    h4_1 += i1 * 4u;
    let f1 = low(a1.y);
    h3_1 += f1 * 3u;
    h4_1 += f1 * 4u;
}
";
        assert_eq!(unrolled(text), expected);
    }

    #[test]
    fn what_is_no_loop_stays() {
        for text in [
            "",
            "let a = 1;\n",
            "//@ end\n",
            "//@ for i in 0..2\nlet a$i = 1;\n",
            "//@ for i of 0..2\nlet a$i = 1;\n//@ end\n",
            "//@ for i in 8..0\nlet a$i = 1;\n//@ end\n",
            "//@ for ab in x, y\nlet a$ab = 1;\n//@ end\n",
            "//@ for a b in x 0, y\nlet a$a = $b;\n//@ end\n",
            "//@ for a in x 0, y\nlet a$a = 1;\n//@ end\n",
        ] {
            assert_eq!(unrolled(text), text);
        }
    }
}
