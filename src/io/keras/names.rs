//! How Keras calls layers in files.

use std::collections::HashMap;

/// Keras' name of a class in files.
pub(super) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut name = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let word = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| before.is_lowercase() || (word && before != '_'));
        if begins {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The name of the next layer of a class: `lstm`, `lstm_1` …
pub(super) fn next_name(seen: &mut HashMap<String, usize>, class: &str) -> String {
    let count = seen.entry(class.to_owned()).or_default();
    *count += 1;
    match *count - 1 {
        0 => class.to_owned(),
        number => format!("{class}_{number}"),
    }
}

/// Class and number of a name that [`next_name`] gave.
pub(super) fn numbered(name: &str) -> (&str, usize) {
    let parts = name.rsplit_once('_');
    let parts = parts.and_then(|(class, number)| Some((class, number.parse().ok()?)));
    parts.unwrap_or((name, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_called_as_in_keras() {
        for (class, name) in [
            ("LSTM", "lstm"),
            ("SimpleRNN", "simple_rnn"),
            ("Conv1D", "conv1d"),
            ("GlobalMaxPooling1D", "global_max_pooling1d"),
            ("TimeDistributed", "time_distributed"),
            ("AttentionWeightedAverage", "attention_weighted_average"),
            ("ReLU", "re_lu"),
            ("ELU", "elu"),
            ("LeakyReLU", "leaky_re_lu"),
        ] {
            assert_eq!(snake_case(class), name);
        }
        assert_eq!(numbered("lstm_12"), ("lstm", 12));
        assert_eq!(numbered("simple_rnn"), ("simple_rnn", 0));
    }
}
