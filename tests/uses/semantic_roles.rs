//! Who did what to whom?

#[path = "../../examples/semantic_roles/main.rs"]
#[allow(dead_code)]
mod program;

use program::data::examples;

#[test]
fn roles_are_learned_from_a_grammar() {
    let scores = super::short("semantic_roles", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("the grammar's sentences, F1 with CRF") > 0.7, "{scores:?}");
    let learned = of("sentences by hand, F1 constrained");
    assert!(learned > of("sentences by hand, F1 of the rule") + 0.15, "{scores:?}");
}

/// The same sentence in all notations, of which the roles of two verbs are told.
#[test]
fn roles_are_read_from_columns_and_frames() {
    let ours = "[A0 She] [V said] [A1 that he left] .\nShe said that [A0 he] [V left] .\n";
    let of_2005 = "\
She   PRP -    (A0*) *\n\
said  VBD say  (V*)  *\n\
that  IN  -    (A1*  *\n\
he    PRP -    *     (A0*)\n\
left  VBD left *)    (V*)\n\
.     .   -    *     *\n";
    let of_2012 = "\
#begin document (a/b); part 000\n\
a/b 0 0 She  PRP (TOP(S(NP*) -     -  - Ann * (ARG0*) *       (1)\n\
a/b 0 1 said VBD (VP*        say   01 1 Ann * (V*)    *       -\n\
a/b 0 2 that IN  (SBAR*      -     -  - Ann * (ARG1*  *       -\n\
a/b 0 3 he   PRP (S(NP*)     -     -  - Ann * *       (ARG0*) (2)\n\
a/b 0 4 left VBD (VP*))))    leave 02 1 Ann * *)      (V*)    -\n\
a/b 0 5 .    .   *))         -     -  - Ann * *       *       -\n\
\n\
#end document\n";
    let frames = "<frameset><example name=\"x\"><text>She said that he left .</text><propbank>\
        <rel relloc=\"1\">said</rel><arg type=\"ARG0\" start=\"0\" end=\"0\">She</arg>\
        <arg type=\"ARG1\" start=\"2\" end=\"4\">that he left</arg></propbank></example></frameset>";
    let tags = ["B-A0", "B-V", "B-A1", "I-A1", "I-A1", "O"];
    for (text, count) in [(ours, 2), (of_2005, 2), (of_2012, 2), (frames, 1)] {
        let found = examples(text);
        assert_eq!(found.len(), count, "{text}");
        assert_eq!(found[0].words, ["She", "said", "that", "he", "left", "."]);
        assert_eq!(
            (found[0].verb, &found[0].tags[..]),
            (1, &tags.map(str::to_owned)[..]),
            "{text}"
        );
    }
    assert_eq!(examples(ours)[1].tags, ["O", "O", "O", "B-A0", "B-V", "O"]);
}
