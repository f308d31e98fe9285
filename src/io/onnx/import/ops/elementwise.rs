//! Functions of each number, and of two or more with their shapes broadcast.

use super::super::node::Node;
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::{Element, Ints, Value};
use crate::ops::nd::{self, Binary, Unary};
use crate::{Result, Tensor};
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    if let Some(run) = unary(node, op)? {
        return Ok(Some(run));
    }
    Ok(Some(match op {
        "Identity" => Arc::new(|args| Ok(vec![args.get(0)?.clone()])),
        "Not" => Arc::new(|args| {
            Ok(vec![Value::Ints(args.ints(0)?.map(Element::Bool, |v| i64::from(v == 0))?)])
        }),
        "IsNaN" => Arc::new(|args| Ok(vec![tests(args.floats(0)?, f32::is_nan)?])),
        "IsInf" => {
            let negative = node.flag("detect_negative", true)?;
            let positive = node.flag("detect_positive", true)?;
            Arc::new(move |args| {
                let is = |v: f32| v.is_infinite() && if v < 0.0 { negative } else { positive };
                Ok(vec![tests(args.floats(0)?, is)?])
            })
        }
        "Clip" => clip(node)?,
        "Dropout" => dropout(node)?,
        "Add" => arithmetic(Binary::Add),
        "Sub" => arithmetic(Binary::Sub),
        "Mul" => arithmetic(Binary::Mul),
        "Div" => arithmetic(Binary::Div),
        "Pow" => {
            let known = match node.constant(1) {
                Some(Value::Floats(power)) if power.len() == 1 => power.to_vec()?.first().copied(),
                _ => None,
            };
            Arc::new(move |args| {
                // What exporters write for squares.
                if let (Some(2.0), Value::Floats(x), Some(Value::Floats(power))) =
                    (known, args.get(0)?, args.opt(1))
                    && power.shape().len() <= x.shape().len()
                {
                    return Ok(vec![Value::Floats(nd::binary(Binary::Mul, x, x)?)]);
                }
                power(args).map(|y| vec![y])
            })
        }
        "Mod" => match node.flag("fmod", false)? {
            true => arithmetic(Binary::Fmod),
            false => arithmetic(Binary::Mod),
        },
        "PRelu" => Arc::new(|args| {
            let (x, slope) = (args.floats(0)?, args.floats(1)?);
            Ok(vec![floats(args, Binary::Prelu, x, slope)?])
        }),
        "Equal" => arithmetic(Binary::Equal),
        "Less" => arithmetic(Binary::Less),
        "LessOrEqual" => arithmetic(Binary::LessOrEqual),
        "Greater" => arithmetic(Binary::Greater),
        "GreaterOrEqual" => arithmetic(Binary::GreaterOrEqual),
        "And" => arithmetic(Binary::And),
        "Or" => arithmetic(Binary::Or),
        "Xor" => arithmetic(Binary::Xor),
        "Min" => many(Binary::Min, false),
        "Max" => many(Binary::Max, false),
        "Sum" => many(Binary::Add, false),
        "Mean" => many(Binary::Add, true),
        "Where" => Arc::new(choose),
        _ => return Ok(None),
    }))
}

/// The exponent may be of another type than the base, which the result has.
fn power(args: &Args<'_>) -> Result<Value> {
    match (args.get(0)?, args.get(1)?) {
        (Value::Floats(a), b) => floats(args, Binary::Pow, a, &as_floats(args, b)?),
        (Value::Ints(a), Value::Ints(b)) => ints(args, Binary::Pow, a, b),
        (Value::Ints(a), Value::Floats(b)) => {
            let base = as_floats(args, args.get(0)?)?;
            let Value::Floats(power) = floats(args, Binary::Pow, &base, b)? else {
                return Err(wrong(1, "a number", "another"));
            };
            let values = power.to_vec()?.into_iter().map(|v| a.kind.wrap(v as i64)).collect();
            Ok(Value::Ints(Ints::new(a.kind, power.shape().to_vec(), values)?))
        }
    }
}

/// Those of ONNX Runtime.
pub(super) fn build_microsoft(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "Gelu" => of_floats(Unary::Gelu),
        "FastGelu" if !node.has_input(1) => of_floats(Unary::GeluTanh),
        "QuickGelu" => of_floats(Unary::Swish(node.float("alpha", 1.702)?)),
        _ => return Ok(None),
    }))
}

fn unary(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    let alpha = |default| node.float("alpha", default);
    let kind = match op {
        "Neg" => return Ok(Some(of_both(Unary::Neg, i64::wrapping_neg))),
        "Abs" => return Ok(Some(of_both(Unary::Abs, i64::wrapping_abs))),
        "Sign" => return Ok(Some(of_both(Unary::Sign, i64::signum))),
        "Relu" => return Ok(Some(of_both(Unary::Relu, |v| v.max(0)))),
        "Sqrt" => Unary::Sqrt,
        "Exp" => Unary::Exp,
        "Log" => Unary::Log,
        "Reciprocal" => Unary::Reciprocal,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        "Round" => Unary::Round,
        "Sin" => Unary::Sin,
        "Cos" => Unary::Cos,
        "Tan" => Unary::Tan,
        "Asin" => Unary::Asin,
        "Acos" => Unary::Acos,
        "Atan" => Unary::Atan,
        "Sinh" => Unary::Sinh,
        "Cosh" => Unary::Cosh,
        "Tanh" => Unary::Tanh,
        "Asinh" => Unary::Asinh,
        "Acosh" => Unary::Acosh,
        "Atanh" => Unary::Atanh,
        "Erf" => Unary::Erf,
        "Sigmoid" => Unary::Sigmoid,
        "HardSwish" => Unary::HardSwish,
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "Mish" => Unary::Mish,
        "LeakyRelu" => Unary::LeakyRelu(alpha(0.01)?),
        "ThresholdedRelu" => Unary::ThresholdedRelu(alpha(1.0)?),
        "Elu" => Unary::Elu(alpha(1.0)?),
        // The numbers are those of the specification, which no shorter ones stand for.
        "Selu" if node.version < 6 => Unary::Selu(alpha(1.6732)?, node.float("gamma", 1.0507)?),
        "Selu" => Unary::Selu(alpha(1.673_263_2)?, node.float("gamma", 1.050_701)?),
        "Celu" => Unary::Celu(alpha(1.0)?),
        "HardSigmoid" => Unary::HardSigmoid(alpha(0.2)?, node.float("beta", 0.5)?),
        "Swish" => Unary::Swish(alpha(1.0)?),
        "Shrink" => Unary::Shrink(node.float("bias", 0.0)?, node.float("lambd", 0.5)?),
        "Gelu" => match node.text("approximate", "none")? {
            "none" => Unary::Gelu,
            "tanh" => Unary::GeluTanh,
            other => return Err(node.bad("none or tanh as approximate", other)),
        },
        _ => return Ok(None),
    };
    Ok(Some(of_floats(kind)))
}

fn of_floats(kind: Unary) -> Run {
    Arc::new(move |args| Ok(vec![Value::Floats(nd::unary(kind, args.floats(0)?)?)]))
}

fn of_both(kind: Unary, f: impl Fn(i64) -> i64 + Send + Sync + 'static) -> Run {
    Arc::new(move |args| {
        Ok(vec![match args.get(0)? {
            Value::Floats(x) => Value::Floats(nd::unary(kind, x)?),
            Value::Ints(x) => Value::Ints(x.map(x.kind, &f)?),
        }])
    })
}

/// A question to each float, answered on the host.
fn tests(x: &Tensor, is: impl Fn(f32) -> bool) -> Result<Value> {
    let values = x.to_vec()?.into_iter().map(|v| is(v).into()).collect();
    Ok(Value::Ints(Ints::new(Element::Bool, x.shape().to_vec(), values)?))
}

/// A value as floats, whatever it holds.
pub(super) fn as_floats(args: &Args<'_>, value: &Value) -> Result<Tensor> {
    match value {
        Value::Floats(tensor) => Ok(tensor.clone()),
        Value::Ints(ints) => {
            let floats: Vec<f32> = match ints.kind {
                Element::U64 => ints.values().iter().map(|&v| v as u64 as f32).collect(),
                _ => ints.values().iter().map(|&v| v as f32).collect(),
            };
            Tensor::from_slice(&floats, ints.shape().to_vec(), args.device)
        }
    }
}

fn is_question(kind: Binary) -> bool {
    use Binary::{And, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Or, Xor};
    matches!(kind, Equal | Less | LessOrEqual | Greater | GreaterOrEqual | And | Or | Xor)
}

fn floats(args: &Args<'_>, kind: Binary, a: &Tensor, b: &Tensor) -> Result<Value> {
    if a.shape() != b.shape() {
        args.room(&nd::broadcast("a node", &[a.shape(), b.shape()])?)?;
    }
    let result = nd::binary(kind, a, b)?;
    if is_question(kind) {
        return tests(&result, |v| v != 0.0);
    }
    Ok(Value::Floats(result))
}

fn ints(args: &Args<'_>, kind: Binary, a: &Ints, b: &Ints) -> Result<Value> {
    if a.kind != b.kind && kind != Binary::Pow {
        return Err(wrong(1, format!("of {}, as input 0", a.kind), b.kind));
    }
    if a.shape() != b.shape() {
        args.room(&nd::broadcast("a node", &[a.shape(), b.shape()])?)?;
    }
    let (x, y) = (a.wide(), b.wide());
    let unsigned = a.kind == Element::U64;
    if kind == Binary::Div || kind == Binary::Mod || kind == Binary::Fmod {
        if y.data.contains(&0) {
            return Err(wrong(1, "of integers other than 0, to divide by", "with a 0"));
        }
        if unsigned && x.data.iter().chain(&y.data).any(|&v| v < 0) {
            return Err(wrong(0, "of integers below 2^63", "beyond"));
        }
    }
    if is_question(kind) {
        let less = |a: i64, b: i64| if unsigned { (a as u64) < b as u64 } else { a < b };
        let is = |&a: &i64, &b: &i64| match kind {
            Binary::Equal => a == b,
            Binary::Less => less(a, b),
            Binary::LessOrEqual => !less(b, a),
            Binary::Greater => less(b, a),
            Binary::GreaterOrEqual => !less(a, b),
            Binary::And => a != 0 && b != 0,
            Binary::Or => a != 0 || b != 0,
            _ => (a != 0) != (b != 0),
        };
        return Ok(Value::Ints(Ints::from_bools(x.zip(&y, |a, b| is(&a, &b))?)));
    }
    let f = |a: i64, b: i64| match kind {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::Div => a.wrapping_div(b),
        // With the sign of b.
        Binary::Mod => {
            let rest = a.wrapping_rem(b);
            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
        }
        Binary::Fmod => a.wrapping_rem(b),
        Binary::Min => {
            if unsigned {
                (a as u64).min(b as u64) as i64
            } else {
                a.min(b)
            }
        }
        Binary::Max => {
            if unsigned {
                (a as u64).max(b as u64) as i64
            } else {
                a.max(b)
            }
        }
        _ => match u32::try_from(b) {
            Ok(power) => a.wrapping_pow(power),
            // 1 divided by it, as whole numbers are divided.
            Err(_) => match a {
                1 => 1,
                -1 => {
                    if b % 2 == 0 {
                        1
                    } else {
                        -1
                    }
                }
                _ => 0,
            },
        },
    };
    Ok(Value::Ints(Ints::from_array(a.kind, x.zip(&y, |u, v| a.kind.wrap(f(u, v)))?)?))
}

fn both(args: &Args<'_>, kind: Binary, a: &Value, b: &Value) -> Result<Value> {
    match (a, b) {
        (Value::Floats(a), Value::Floats(b)) => floats(args, kind, a, b),
        (Value::Ints(a), Value::Ints(b)) => ints(args, kind, a, b),
        (a, b) => Err(wrong(1, format!("of {}, as input 0", a.element()), b.element())),
    }
}

fn arithmetic(kind: Binary) -> Run {
    Arc::new(move |args| Ok(vec![both(args, kind, args.get(0)?, args.get(1)?)?]))
}

/// Of any number of values, one after the other.
fn many(kind: Binary, mean: bool) -> Run {
    Arc::new(move |args| {
        let mut sum = args.get(0)?.clone();
        for at in 1..args.len() {
            sum = both(args, kind, &sum, args.get(at)?)?;
        }
        if mean && let Value::Floats(x) = &sum {
            let count = Tensor::from_slice(&[args.len() as f32], [], args.device)?;
            sum = floats(args, Binary::Div, x, &count)?;
        }
        Ok(vec![sum])
    })
}

fn choose(args: &Args<'_>) -> Result<Vec<Value>> {
    let (condition, a, b) = (args.ints(0)?, args.get(1)?, args.get(2)?);
    args.room(&nd::broadcast("Where", &[condition.shape(), a.shape(), b.shape()])?)?;
    Ok(vec![match (a, b) {
        (Value::Floats(a), Value::Floats(b)) => {
            Value::Floats(nd::select(&as_floats(args, args.get(0)?)?, a, b)?)
        }
        (Value::Ints(a), Value::Ints(b)) if a.kind == b.kind => {
            let is = condition.wide().map(|v| v != 0);
            Value::Ints(Ints::from_array(
                a.kind,
                nd::host::Array::select(&is, &a.wide(), &b.wide())?,
            )?)
        }
        (a, b) => return Err(wrong(2, format!("of {}, as input 1", a.element()), b.element())),
    }])
}

fn clip(node: &Node<'_>) -> Result<Run> {
    if node.version < 11 {
        let kind = Unary::Clip(node.float("min", f32::MIN)?, node.float("max", f32::MAX)?);
        return Ok(of_floats(kind));
    }
    let bound = |at: usize| match node.constant(at) {
        Some(Value::Floats(bound)) => bound.to_vec().map(|v| v.first().copied()),
        _ => Ok(None),
    };
    // Read once, if it does not change.
    let known = [bound(1)?, bound(2)?];
    Ok(Arc::new(move |args| {
        let x = match args.get(0)? {
            Value::Floats(x) => x,
            Value::Ints(x) => {
                let bound = |at: usize| args.opt(at).map(|_| args.int(at)).transpose();
                let (low, high) = (bound(1)?, bound(2)?);
                let clip = |v: i64| v.max(low.unwrap_or(i64::MIN)).min(high.unwrap_or(i64::MAX));
                return Ok(vec![Value::Ints(x.map(x.kind, clip)?)]);
            }
        };
        let bound = |at: usize| match (known[at - 1], args.opt(at)) {
            (Some(bound), _) => Ok(Some(bound)),
            (None, Some(_)) => args.float(at).map(Some),
            (None, None) => Ok(None),
        };
        let low = bound(1)?.unwrap_or(f32::NEG_INFINITY);
        let high = bound(2)?.unwrap_or(f32::INFINITY);
        Ok(vec![Value::Floats(nd::unary(Unary::Clip(low, high), x)?)])
    }))
}

fn dropout(node: &Node<'_>) -> Result<Run> {
    node.ignore(&["seed", "ratio"]);
    if node.version < 7 && !node.flag("is_test", false)? {
        return Err(node.bad("is_test, as for inference", "a Dropout for training"));
    }
    let masked = node.has_output(1);
    Ok(Arc::new(move |args| {
        if args.opt_ints(2)?.is_some_and(|training| training.values().iter().any(|&v| v != 0)) {
            return Err(refused("training_mode", "false", "true"));
        }
        let x = args.get(0)?;
        let mut outputs = vec![x.clone()];
        if masked {
            args.room(x.shape())?;
            outputs.push(Value::Ints(Ints::new(
                Element::Bool,
                x.shape().to_vec(),
                vec![1; x.len()],
            )?));
        }
        Ok(outputs)
    }))
}
