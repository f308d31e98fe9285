//! Tokens of a `tokenizer.json`, against Hugging Face's own library in Python.

use super::{folder, json, vectors, wrong};
use wgpu_lstm::Error;
use wgpu_lstm::data::Tokenizer;

#[test]
fn byte_pairs_are_those_of_the_library() {
    let path = vectors("tokenizer.json");
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    let made = json("tokenizer_numbers.json");
    assert_eq!(tokenizer.len(), made["len"].as_u64().unwrap() as usize);
    let mut texts = Vec::new();
    for case in made["texts"].as_array().unwrap() {
        let numbers: Vec<u32> = serde_json::from_value(case["numbers"].clone()).unwrap();
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), numbers, "{text:?}");
        assert_eq!(tokenizer.decode(&numbers).unwrap(), case["decoded"].as_str().unwrap());
        let tokens: Vec<_> = numbers.iter().map(|&n| tokenizer.token(n).unwrap()).collect();
        assert_eq!(serde_json::json!(tokens), case["tokens"]);
        assert!(tokens.iter().zip(&numbers).all(|(t, &n)| tokenizer.number(t) == Some(n)));
        texts.push((text, numbers));
    }
    let x = tokenizer.sequences(texts.iter().map(|(text, _)| text)).unwrap();
    for (i, (_, numbers)) in texts.iter().enumerate() {
        assert!(x.get(i).iter().map(|&v| v as u32).eq(numbers.iter().copied()));
    }
    // Kept beside a model, and brought back.
    let kept = serde_json::to_string(&tokenizer).unwrap();
    let back: Tokenizer = serde_json::from_str(&kept).unwrap();
    assert_eq!(back.encode(texts[0].0).unwrap(), texts[0].1);
    let back = Tokenizer::from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(back.encode(texts[0].0).unwrap(), texts[0].1);
}

#[test]
fn what_is_no_tokenizer_is_told() {
    let folder = folder("tokenizer");
    let path = folder.path().join("tokenizer.json");
    for text in ["", "{}", "[1]", r#"{"version":"1.0","model":{"type":"BPE"}}"#, "\u{0}"] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(wrong(Tokenizer::from_file(&path)).0, "the tokenizer", "{text}");
        assert_eq!(wrong(Tokenizer::from_json(text)).0, "the tokenizer", "{text}");
    }
    let whole = std::fs::read_to_string(vectors("tokenizer.json")).unwrap();
    for cut in (0..whole.len()).step_by(97).filter(|&cut| whole.is_char_boundary(cut)) {
        assert_eq!(wrong(Tokenizer::from_json(&whole[..cut])).0, "the tokenizer");
    }
    assert!(matches!(Tokenizer::from_file(folder.path().join("no")), Err(Error::Io { .. })));
    let tokenizer = Tokenizer::from_json(&whole).unwrap();
    assert_eq!((tokenizer.token(100_000), tokenizer.number("never")), (None, None));
    assert_eq!(tokenizer.decode(&[100_000]).unwrap(), "");
}

/// Each part of a file in turn is another thing: a tokenizer that works, or an error.
#[test]
fn any_part_may_be_another() {
    let whole = json("tokenizer.json");
    let mut places = Vec::new();
    parts(&whole, String::new(), &mut places);
    assert!(places.len() > 50, "{places:?}");
    let mut refused = 0;
    for place in &places {
        for other in ["null", "-1", "9", "\"x\"", "[]", "{}", "true", "[[1]]", "\"\""] {
            let mut changed = whole.clone();
            *changed.pointer_mut(place).unwrap() = serde_json::from_str(other).unwrap();
            match Tokenizer::from_json(&changed.to_string()) {
                Ok(tokenizer) => {
                    let numbers = tokenizer.encode("the cat [CLS] Käse").unwrap_or(vec![0, 9]);
                    let _ = (tokenizer.decode(&numbers), tokenizer.len());
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > places.len(), "{refused}");
}

/// The places of some parts: of a long list or table the first few.
fn parts(value: &serde_json::Value, place: String, places: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(list) => {
            for (i, part) in list.iter().enumerate().take(4) {
                parts(part, format!("{place}/{i}"), places);
            }
        }
        serde_json::Value::Object(table) => {
            for (name, part) in table.iter().filter(|(name, _)| !name.contains(['/', '~'])).take(14)
            {
                parts(part, format!("{place}/{name}"), places);
            }
        }
        _ => {}
    }
    places.push(place);
}
