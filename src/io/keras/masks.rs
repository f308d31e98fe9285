//! Which mask a layer is given by name: Keras 3 writes masks as operations, and programs make such ones of their own.

use super::node::{INPUT, Mask, Node, is_model};
use serde_json::Value;
use std::collections::HashMap;

/// What an operation gives.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    Mask(Mask),
    Zeros,
}

/// The masks that nodes give which are made as Keras makes those of an Embedding and a Masking, and of layers that take
/// several inputs of one mask. All others are none.
pub(super) fn masks(
    nodes: &[Node],
    calls: &[Vec<Value>],
    names: &HashMap<String, usize>,
) -> Vec<Option<Mask>> {
    let mut given = Vec::with_capacity(nodes.len());
    for (node, calls) in nodes.iter().zip(calls) {
        given.push(match &calls[..] {
            [call] => operation(node, call, names, &given),
            _ => None,
        });
    }
    let mask = |given| match given {
        Some(Given::Mask(mask)) => Some(mask),
        _ => None,
    };
    given.into_iter().map(mask).collect()
}

fn operation(
    node: &Node,
    call: &Value,
    names: &HashMap<String, usize>,
    given: &[Option<Given>],
) -> Option<Given> {
    let mut args = Vec::new();
    flat(call.get("args")?, &mut args);
    let tensor = |value: &Value| {
        let history = value.get("config")?.get("keras_history")?;
        let first = history.get(1)?.as_u64() == Some(0) && history.get(2)?.as_u64() == Some(0);
        names.get(history.get(0)?.as_str()?).copied().filter(|_| first)
    };
    let of = |value: &Value| given.get(tensor(value)?).copied().flatten();
    let mask = |value: &Value| match of(value) {
        Some(Given::Mask(mask)) => Some(mask),
        _ => None,
    };
    let last = node.config.get("axis").and_then(Value::as_i64) == Some(-1);
    let keeps = node.config.get("keepdims").and_then(Value::as_bool) == Some(true);
    let made = match (&node.class[..], &args[..]) {
        ("NotEqual", &[tokens, number]) => {
            Mask { value: number.as_f64()? as f32, ..Mask::of_tokens(tensor(tokens)?) }
        }
        ("Any", &[one]) if last && !keeps => match mask(one)? {
            mask @ Mask { wide: true, .. } => Mask { wide: false, ..mask },
            mask @ Mask { any: false, .. } => Mask { any: true, ..mask },
            _ => return None,
        },
        ("ExpandDims", &[one]) if last => {
            Mask { wide: true, ..mask(one).filter(|mask| !mask.wide)? }
        }
        ("ZerosLike", &[_]) => return Some(Given::Zeros),
        ("LogicalOr", &[one, other]) => match (mask(one)?, of(other)?) {
            (mask, Given::Zeros) if mask.wide => mask,
            (mask, other) if other == Given::Mask(mask) => mask,
            _ => return None,
        },
        ("Concatenate", &[first, ref others @ ..]) if last => {
            let wide = mask(first).filter(|mask| mask.wide)?;
            let same = others.iter().all(|other| mask(other) == Some(wide));
            same.then_some(wide)?
        }
        _ => return None,
    };
    Some(Given::Mask(made))
}

/// The arguments of a call, whose lists are one.
fn flat<'a>(value: &'a Value, all: &mut Vec<&'a Value>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| flat(value, all)),
        value => all.push(value),
    }
}

/// Says of nodes what they take, and of their masks what they are made of, behind what passes on its input.
pub(super) fn trace(nodes: &mut [Node], order: &[usize]) {
    let mut from: Vec<_> = (0..nodes.len()).collect();
    for &at in order {
        let node = &nodes[at];
        // Its inputs are before it.
        let input = node.inputs.first().map(|&input| from[input]);
        nodes[at].from = input.unwrap_or(at);
        let passes = nodes[at].class == INPUT || is_model(&nodes[at].class);
        from[at] = input.filter(|_| passes).unwrap_or(at);
    }
    for mask in nodes.iter_mut().filter_map(|node| node.mask.as_mut()) {
        mask.of = from.get(mask.of).copied().unwrap_or(mask.of);
    }
}

#[cfg(test)]
mod tests {
    use super::super::activations::Version;
    use super::super::{config, import};
    use crate::Result;
    use crate::io::Source;
    use serde_json::{Value, json};

    fn tensor(name: &str) -> Value {
        json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [name, 0, 0] } })
    }

    fn layer(class: &str, name: &str, config: Value, args: Value, mask: Option<&str>) -> Value {
        let kwargs = mask.map_or(json!({}), |mask| json!({ "mask": tensor(mask) }));
        let mut config = config;
        config["trainable"] = json!(true);
        json!({ "class_name": class, "name": name, "config": config, "inbound_nodes": [{ "args": args, "kwargs": kwargs }] })
    }

    fn operation(class: &str, name: &str, args: Value) -> Value {
        let config = json!({ "name": name, "axis": -1, "keepdims": false });
        json!({ "class_name": class, "name": name, "config": config, "inbound_nodes": [{ "args": args, "kwargs": {} }] })
    }

    fn not_equal(name: &str, of: &str, number: f64) -> Value {
        operation("NotEqual", name, json!([tensor(of), number]))
    }

    fn any(name: &str, of: &str) -> Value {
        operation("Any", name, json!([tensor(of)]))
    }

    fn or(name: &str, of: [&str; 2]) -> Value {
        operation("LogicalOr", name, json!([tensor(of[0]), tensor(of[1])]))
    }

    fn masking(name: &str, value: f64) -> Value {
        layer("Masking", name, json!({ "mask_value": value }), json!([tensor("x")]), None)
    }

    fn lstm(name: &str, of: &str, mask: &str) -> Value {
        let config = json!({ "units": 3, "return_sequences": true });
        layer("LSTM", name, config, json!([tensor(of)]), Some(mask))
    }

    fn join(class: &str, name: &str, of: &[&str]) -> Value {
        let of: Vec<_> = of.iter().map(|name| tensor(name)).collect();
        layer(class, name, json!({}), json!([of]), None)
    }

    /// A model of frames, or of tokens, whose last layer is its output.
    fn model(shape: Value, layers: &[Value]) -> Result<import::Layers> {
        let mut all = vec![
            json!({ "class_name": "InputLayer", "name": "x", "config": { "batch_shape": shape }, "inbound_nodes": [] }),
        ];
        all.extend_from_slice(layers);
        let output = json!([layers[layers.len() - 1]["name"], 0, 0]);
        let config = json!({ "layers": all, "input_layers": ["x", 0, 0], "output_layers": output });
        let text = json!({ "class_name": "Functional", "config": config }).to_string();
        let source = Source::memory("model", *b"");
        import::layers(&source, &config::read(&source, &text)?, Version::Three)
    }

    /// A model of frames that a Masking leaves out where they are 0: of its mask, an LSTM, and more layers.
    fn masked(layers: &[Value]) -> Result<import::Layers> {
        let mut all = vec![not_equal("n", "x", 0.0), masking("m", 0.0), any("any", "n")];
        all.push(lstm("a", "m", "any"));
        all.extend_from_slice(layers);
        model(json!([null, 5, 3]), &all)
    }

    #[track_caller]
    fn refused(found: Result<import::Layers>, part: &str) {
        let error = found.map(|(_, layers)| layers.len()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn masks_that_a_program_made_are_refused() {
        masked(&[lstm("b", "a", "any")]).unwrap();
        let another = "the mask of the layer \"b\"";
        let made = "the program made";
        let own = |class: &str, of: &str, number: f64| {
            masked(&[
                operation(class, "o", json!([tensor(of), number])),
                any("p", "o"),
                lstm("b", "a", "p"),
            ])
        };
        refused(own("NotEqual", "a", 0.0), another);
        refused(own("NotEqual", "x", 1.0), another);
        refused(own("Greater", "x", 0.0), made);
        own("NotEqual", "x", 0.0).unwrap();
        // Of one feature alone, and of none.
        refused(masked(&[lstm("b", "a", "n")]), another);
        refused(masked(&[any("p", "any"), lstm("b", "a", "p")]), made);
        let mut first = any("p", "n");
        first["config"]["axis"] = json!(1);
        refused(masked(&[first, lstm("b", "a", "p")]), made);
        // That of another Masking.
        let other = [not_equal("o", "x", 1.0), any("p", "o"), masking("w", 1.0)];
        refused(masked(&[&other[..], &[lstm("b", "a", "p")]].concat()), another);
        let sum = join("Add", "b", &["m", "a"]);
        let own = [not_equal("o", "a", 0.0), any("p", "o"), sum, lstm("c", "b", "p")];
        refused(masked(&own), "the mask of the layer \"c\"");
        // Two masks, of which Keras takes what either has.
        let both = [or("q", ["any", "p"]), join("Add", "s", &["m", "w"]), lstm("b", "s", "q")];
        refused(masked(&[&other[..], &both].concat()), made);
    }

    #[test]
    fn masks_of_tokens_are_known_by_their_tokens() {
        let embedding = |name: &str| {
            let config = json!({ "input_dim": 9, "output_dim": 3, "mask_zero": true });
            layer("Embedding", name, config, json!([tensor("x")]), None)
        };
        let tokens = |layers: &[Value]| {
            let mut all = vec![embedding("e"), not_equal("n", "x", 0.0)];
            all.extend_from_slice(layers);
            model(json!([null, 7]), &all)
        };
        tokens(&[lstm("a", "e", "n")]).unwrap();
        let flip = operation("Flip", "f", json!([tensor("x")]));
        refused(
            tokens(&[flip, not_equal("o", "f", 0.0), lstm("a", "e", "o")]),
            "the mask of the layer",
        );
        let two = [
            embedding("d"),
            not_equal("o", "x", 0.0),
            join("Add", "s", &["e", "d"]),
            or("q", ["n", "o"]),
            lstm("a", "s", "q"),
        ];
        assert_eq!(tokens(&two).unwrap().1.len(), 2);
    }

    /// As Keras makes them of an Add of three, of one behind another, and of a Concatenate.
    #[test]
    fn the_mask_behind_a_join_is_that_before_it() {
        let first = [join("Add", "s", &["m", "a", "a"]), or("p", ["any", "any"])];
        let three = [or("q", ["p", "any"]), lstm("b", "s", "q")];
        masked(&[&first[..], &three].concat()).unwrap();
        let stack = [
            lstm("b", "s", "p"),
            join("Add", "t", &["s", "b"]),
            or("q", ["p", "p"]),
            lstm("c", "t", "q"),
        ];
        masked(&[&first[..], &stack].concat()).unwrap();
        let wide = |number: &str, of: &str| {
            let name = |what: &str| format!("{what}{number}");
            [
                operation("ExpandDims", &name("expand"), json!([tensor("any")])),
                operation("ZerosLike", &name("zeros"), json!([tensor(of)])),
                or(&name("or"), [&name("expand"), &name("zeros")]),
            ]
        };
        let concat = [
            operation("Concatenate", "masks", json!([[tensor("or1"), tensor("or2")]])),
            any("p", "masks"),
            join("Concatenate", "c", &["m", "a"]),
            lstm("b", "c", "p"),
        ];
        masked(&[&wide("1", "m")[..], &wide("2", "a"), &concat].concat()).unwrap();
    }

    /// A Masking within a model, and a mask that goes into one.
    #[test]
    fn masks_within_models_are_those_of_their_inputs() {
        let input = json!({ "class_name": "InputLayer", "name": "y", "config": { "batch_shape": [null, 5, 3] }, "inbound_nodes": [] });
        let mut layers = vec![input, not_equal("o", "y", 0.0), masking("w", 0.0), any("p", "o")];
        layers[2]["inbound_nodes"][0]["args"] = json!([tensor("y")]);
        layers.push(lstm("z", "w", "p"));
        let config =
            json!({ "layers": layers, "input_layers": ["y", 0, 0], "output_layers": ["z", 0, 0] });
        let inner = layer("Functional", "f", config, json!([tensor("x")]), None);
        let all = [inner, not_equal("n", "x", 0.0), any("any", "n"), lstm("b", "f", "any")];
        model(json!([null, 5, 3]), &all).unwrap();
    }
}
