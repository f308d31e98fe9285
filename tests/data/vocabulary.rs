//! Vocabularies, against scikit-learn's counts and Keras' numbers.

use super::{json, option};
use serde_json::Value;
use wgpu_lstm::Error;
use wgpu_lstm::data::{TextSplit, Truncating, Vocabulary};

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The same tokens of each text, and the most frequent first.
#[test]
fn tokens_and_their_order_are_those_of_scikit_learn() {
    let made = json("vocabulary.json");
    let texts = strings(&made["texts"]);
    for (name, vocabulary) in
        [("words", Vocabulary::words()), ("characters", Vocabulary::characters())]
    {
        let counts: Vec<(String, u64)> = serde_json::from_value(made[name].clone()).unwrap();
        let all = vocabulary.clone().fit(&texts).unwrap();
        let expected = ["", "[UNK]"].into_iter().chain(counts.iter().map(|(token, _)| &token[..]));
        assert!(all.tokens().iter().eq(expected), "{name}: {:?}", all.tokens());
        for (text, tokens) in texts.iter().zip(made[format!("{name}_tokens")].as_array().unwrap()) {
            let numbers: Vec<_> = strings(tokens).iter().map(|t| all.number(t).unwrap()).collect();
            assert_eq!(all.encode(text), numbers, "{text}");
            let between = if name == "words" { " " } else { "" };
            assert_eq!(all.decode(&numbers).unwrap(), strings(tokens).join(between));
        }
        // The most frequent ones alone; of all others there is one number.
        let few = vocabulary.max_tokens(7).fit(&texts).unwrap();
        assert_eq!(few.tokens(), &all.tokens()[..7]);
        for text in &texts {
            let cut: Vec<_> = all
                .encode(text)
                .iter()
                .map(|&n| if n < 7 { n } else { Vocabulary::UNKNOWN })
                .collect();
            assert_eq!(few.encode(text), cut);
        }
    }
}

#[test]
fn numbers_are_those_of_keras() {
    let (made, texts) = (json("vocabulary_keras.json"), strings(&json("vocabulary.json")["texts"]));
    let keras = || Vocabulary::new(TextSplit::Keras);
    for (name, vocabulary) in [
        ("all", keras()),
        ("ten", keras().max_tokens(10)),
        ("cut", keras().max_length(4, Truncating::Post)),
        ("characters", Vocabulary::characters()),
    ] {
        let tokens = strings(&made[name]["vocabulary"]);
        let theirs = vocabulary.clone().with_tokens(&tokens[2..]).unwrap();
        assert_eq!((theirs.tokens(), theirs.len()), (&tokens[..], tokens.len()));
        for (text, numbers) in texts.iter().zip(made[name]["numbers"].as_array().unwrap()) {
            let numbers: Vec<u32> = serde_json::from_value(numbers.clone()).unwrap();
            let mut found = theirs.encode(text);
            // Keras pads each text to that length.
            found.resize(numbers.len().max(found.len()), Vocabulary::PADDING);
            assert_eq!(found, numbers, "{name}: {text}");
        }
        // Fitted here: the same tokens, where the number does not cut among equally frequent ones.
        if name != "ten" {
            let mut ours = vocabulary.fit(&texts).unwrap().tokens().to_vec();
            let mut tokens = tokens;
            ours.sort();
            tokens.sort();
            assert_eq!(ours, tokens, "{name}");
        }
    }
}

/// What the documentation says of words that scikit-learn's pattern cuts.
#[test]
fn words_are_those_of_unicode() {
    let vocabulary = Vocabulary::words().fit(["Don't pay 3.14 (well-known) ¿Qué? cafe\u{301} 猫"]);
    let mut tokens = vocabulary.unwrap().tokens()[2..].to_vec();
    tokens.sort();
    let mut expected =
        ["don't", "pay", "3.14", "well", "known", "qué", "cafe\u{301}", "猫"].map(String::from);
    expected.sort();
    assert_eq!(tokens, expected);
    let plain = Vocabulary::new(TextSplit::Whitespace).lowercase(false).fit(["A, b  A,\u{a0}c"]);
    assert_eq!(plain.unwrap().tokens()[2..], ["A,", "b", "c"]);
}

#[test]
fn long_texts_are_cut_at_either_end() {
    let fit = |vocabulary: Vocabulary| vocabulary.fit(["a b c d"]).unwrap();
    let first = fit(Vocabulary::words().max_length(3, Truncating::Post));
    let last = fit(Vocabulary::words().max_length(3, Truncating::Pre));
    assert_eq!(first.encode("a b c d"), [2, 3, 4]);
    assert_eq!(last.encode("a b c d"), [3, 4, 5]);
    assert_eq!((first.encode("b"), last.encode("")), (vec![3], vec![]));
    let x = last.sequences(["d c b a", "", "?!", "e"]).unwrap();
    let frames: Vec<_> = (0..4).map(|i| x.get(i).to_vec()).collect();
    assert_eq!(frames, [vec![4.0, 3.0, 2.0], vec![1.0], vec![1.0], vec![1.0]]);
}

#[test]
fn rare_tokens_are_unknown() {
    let texts = ["a b c a", "b a d"];
    let all = Vocabulary::words().fit(texts).unwrap();
    for count in [0, 1] {
        let same = Vocabulary::words().min_count(count).fit(texts).unwrap();
        assert_eq!(same.tokens(), all.tokens());
    }
    let twice = Vocabulary::words().min_count(2).fit(texts).unwrap();
    assert_eq!(twice.tokens()[2..], ["a", "b"]);
    assert_eq!(twice.encode("d a c b"), [1, 2, 1, 3]);
    let both = Vocabulary::words().min_count(2).max_tokens(3).fit(texts).unwrap();
    assert_eq!(both.tokens()[2..], ["a"]);
    let json = serde_json::to_string(&both).unwrap();
    assert!(json.contains(r#""max_tokens":3,"min_count":2,"#), "{json}");
    assert_eq!(serde_json::from_str::<Vocabulary>(&json).unwrap(), both);
}

#[test]
fn what_is_no_vocabulary_is_told() {
    let words = Vocabulary::words;
    assert_eq!(option(words().max_tokens(2).fit(["a"])), ("Vocabulary::max_tokens", "2".into()));
    assert_eq!(option(words().fit(["", "?"])).0, "Vocabulary::fit, texts");
    assert_eq!(option(words().with_tokens(["a", "b", "a"])).1, "\"a\" twice");
    assert_eq!(option(words().with_tokens(["a", ""])).1, "the empty token 3");
    assert_eq!(option(words().max_tokens(3).with_tokens(["a", "b"])).1, "4 tokens");
    let cut = words().max_length(0, Truncating::Pre).fit(["a"]);
    assert_eq!(option(cut).0, "Vocabulary::max_length");
    let error = words().fit(["a b"]).unwrap().decode(&[2, 4]).unwrap_err();
    assert_eq!(error, Error::Token { sequence: 0, place: 1, found: 4.0, tokens: 4 });
    let rare = words().min_count(3).fit(["a b", "a"]).unwrap_err();
    let text =
        "Vocabulary::min_count is 3, expected at most 2, as often as the most frequent token comes";
    assert_eq!(rare.to_string(), text);
    // Fitted again, the tokens of before are gone.
    let again = words().fit(["a"]).unwrap().fit(["b"]).unwrap();
    assert_eq!(again.tokens(), ["", "[UNK]", "b"]);
    assert_eq!(again.decode(&[1, 2, 0, 0]).unwrap(), "[UNK] b");
}

#[test]
fn it_is_kept_as_json() {
    let fitted = Vocabulary::words().max_tokens(4).max_length(9, Truncating::Pre);
    let fitted = fitted.fit(["the \"b\" the a"]).unwrap();
    let json = serde_json::to_string(&fitted).unwrap();
    assert_eq!(
        json,
        r#"{"split":"words","lowercase":true,"max_tokens":4,"max_length":[9,"pre"],"tokens":["","[UNK]","the","a"]}"#
    );
    let back: Vocabulary = serde_json::from_str(&json).unwrap();
    assert_eq!((back.encode("The b a"), &back), (vec![2, 1, 3], &fitted));
    for (from, to) in
        [("\"a\"", "\"the\""), ("[UNK]", "unk"), ("\"\",", ""), ("[9", "[0"), ("4", "3")]
    {
        let bad = json.replace(from, to);
        assert!(serde_json::from_str::<Vocabulary>(&bad).is_err(), "{bad}");
    }
}
