//! The stack machine that a pickle is a program for, as far as state dicts need it.

use super::cursor::Cursor;
use super::names::Name;
use super::value::{Pickle, Value};
use super::{STACK, VALUES};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// The state between two opcodes.
pub(super) struct Machine<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) stack: Vec<Value>,
    /// Where on the stack each open bracket is.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    /// The values that are kept in nodes and in the memo.
    kept: usize,
    pub(super) pickle: Pickle,
    /// The storages that there are, by their keys, types and first numbers.
    pub(super) storages: HashMap<(Arc<str>, &'static str, u64), u32>,
}

/// The bytes of the number with which files before PyTorch 1.6 begin: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

impl<'a> Machine<'a> {
    /// Runs a pickle to its end. Returns it, and the byte behind it.
    pub(super) fn run(cursor: Cursor<'a>) -> Result<(Pickle, u64)> {
        let (nodes, storages, tensors) = (Vec::new(), Vec::new(), Vec::new());
        let mut machine = Self {
            cursor,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            kept: 0,
            pickle: Pickle { root: Value::Opaque, nodes, storages, tensors },
            storages: HashMap::new(),
        };
        while machine.step()? {}
        Ok((machine.pickle, machine.cursor.at()))
    }

    /// The error of a pickle that is no state dict's.
    pub(super) fn bad(&self, expected: &str, found: impl Into<String>) -> Error {
        self.cursor.bad(expected, found)
    }

    /// Runs an opcode; returns whether there are more.
    fn step(&mut self) -> Result<bool> {
        let code = self.cursor.byte()?;
        match code {
            // PROTO, FRAME.
            0x80 => match self.cursor.byte()? {
                0..=5 => {}
                other => return Err(self.bad("of protocol 5 at most", format!("protocol {other}"))),
            },
            0x95 => self.cursor.skip(8)?,
            b'.' => {
                self.pickle.root = self.pop()?;
                return Ok(false);
            }
            b'(' => {
                if self.marks.len() >= STACK {
                    return Err(self.bad("fewer brackets", "too many that are open"));
                }
                self.marks.push(self.stack.len());
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.to_mark()?),
            b'2' => self.push(self.top()?.clone())?,
            b'N' => self.push(Value::Opaque)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'G' => {
                self.cursor.skip(8)?;
                self.push(Value::Opaque)?;
            }
            b'F' => {
                self.cursor.line()?;
                self.push(Value::Opaque)?;
            }
            b'I' | b'L' | b'J' | b'K' | b'M' | 0x8a | 0x8b => self.int(code)?,
            b'S' | b'V' | b'T' | b'U' | b'X' | 0x8c | 0x8d => self.text(code)?,
            b'B' | b'C' | 0x8e | 0x96 => {
                let len = match code {
                    b'C' => self.cursor.byte()?.into(),
                    b'B' => u32::from_le_bytes(self.cursor.array()?).into(),
                    _ => u64::from_le_bytes(self.cursor.array()?),
                };
                self.cursor.skip(len)?;
                self.push(Value::Opaque)?;
            }
            b')' | b't' | 0x85 | 0x86 | 0x87 => self.tuple(code)?,
            b']' | b'l' | b'}' | b'd' => self.container(code)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(code)?,
            0x8f => self.push(Value::Opaque)?,
            0x91 => {
                self.to_mark()?;
                self.push(Value::Opaque)?;
            }
            b'c' => {
                let (module, name) = (self.cursor.line()?, self.cursor.line()?);
                self.name(&module, &name)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.name(&module, &name)?,
                _ => return Err(self.bad("the name of a class", "another value")),
            },
            b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.call(code)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(code)?,
            other => {
                let expected = "of the opcodes that a state dict needs";
                return Err(self.bad(expected, format!("opcode 0x{other:02x}")));
            }
        }
        Ok(true)
    }

    pub(super) fn push(&mut self, value: Value) -> Result<()> {
        if self.stack.len() >= STACK {
            return Err(self.bad("fewer values on the stack", format!("{STACK} of them")));
        }
        self.stack.push(value);
        Ok(())
    }

    /// The last mark's place on the stack, below which an opcode does not reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<&Value> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        top.ok_or_else(|| self.bad("a value on the stack", "none"))
    }

    pub(super) fn pop(&mut self) -> Result<Value> {
        let top = if self.stack.len() > self.floor() { self.stack.pop() } else { None };
        top.ok_or_else(|| self.bad("a value on the stack", "none"))
    }

    fn to_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| self.bad("an open bracket", "none"))?;
        Ok(self.stack.split_off(mark))
    }

    /// Counts values that are kept.
    pub(super) fn keep(&mut self, values: usize) -> Result<()> {
        self.kept += values;
        if self.kept > VALUES {
            return Err(self.bad("of a few million values at most", "more than those"));
        }
        Ok(())
    }

    /// A new node of these values.
    pub(super) fn node(&mut self, items: Vec<Value>) -> Result<u32> {
        self.keep(1 + items.len())?;
        self.pickle.nodes.push(items);
        Ok((self.pickle.nodes.len() - 1) as u32)
    }

    fn int(&mut self, code: u8) -> Result<()> {
        let number = match code {
            b'K' => i64::from(self.cursor.byte()?),
            b'M' => u16::from_le_bytes(self.cursor.array()?).into(),
            b'J' => i32::from_le_bytes(self.cursor.array()?).into(),
            b'I' | b'L' => {
                let line = self.cursor.line()?;
                let value = match (code, &*line) {
                    (b'I', "00") => Value::Bool(false),
                    (b'I', "01") => Value::Bool(true),
                    _ => line.trim_end_matches('L').parse().map_or(Value::Opaque, Value::Int),
                };
                return self.push(value);
            }
            _ => {
                let len = match code {
                    0x8a => self.cursor.byte()?.into(),
                    _ => u64::from(u32::from_le_bytes(self.cursor.array()?)),
                };
                return self.long(len);
            }
        };
        self.push(Value::Int(number))
    }

    /// A number of so many bytes, the lowest first.
    fn long(&mut self, len: u64) -> Result<()> {
        let value = match len {
            0..=8 => {
                let mut bytes = [0; 8];
                for byte in &mut bytes[..len as usize] {
                    *byte = self.cursor.byte()?;
                }
                let spare = 64 - 8 * len as u32;
                let high = i64::from_le_bytes(bytes).checked_shl(spare).unwrap_or(0);
                Value::Int(high.checked_shr(spare).unwrap_or(0))
            }
            10 => match self.cursor.array::<10>()? {
                MAGIC => Value::Magic,
                _ => Value::Opaque,
            },
            _ => {
                self.cursor.skip(len)?;
                Value::Opaque
            }
        };
        self.push(value)
    }

    fn text(&mut self, code: u8) -> Result<()> {
        let text = match code {
            b'S' | b'V' => {
                let line = self.cursor.line()?;
                let quoted = |quote| line.strip_prefix(quote)?.strip_suffix(quote);
                quoted('\'').or_else(|| quoted('"')).unwrap_or(&line).into()
            }
            _ => {
                let len = match code {
                    b'U' | 0x8c => self.cursor.byte()?.into(),
                    b'T' | b'X' => u32::from_le_bytes(self.cursor.array()?).into(),
                    _ => u64::from_le_bytes(self.cursor.array()?),
                };
                self.cursor.text(len)?
            }
        };
        self.push(Value::Text(text))
    }

    fn tuple(&mut self, code: u8) -> Result<()> {
        let items = match code {
            b't' => self.to_mark()?,
            b')' => Vec::new(),
            _ => {
                let count = usize::from(code - 0x84);
                let first = self.stack.len().checked_sub(count).filter(|&at| at >= self.floor());
                let first = first.ok_or_else(|| self.bad("more values on the stack", "too few"))?;
                self.stack.split_off(first)
            }
        };
        let node = self.node(items)?;
        self.push(Value::Tuple(node))
    }

    fn container(&mut self, code: u8) -> Result<()> {
        let items = if matches!(code, b'l' | b'd') { self.to_mark()? } else { Vec::new() };
        if code == b'd' && !items.len().is_multiple_of(2) {
            return Err(self.bad("a value for each key", "a key alone"));
        }
        let node = self.node(items)?;
        self.push(if matches!(code, b'l' | b']') {
            Value::List(node)
        } else {
            Value::Dictionary(node)
        })
    }

    /// Puts values into a list, a dictionary or a set.
    fn fill(&mut self, code: u8) -> Result<()> {
        let items = match code {
            b'e' | b'u' | 0x90 => self.to_mark()?,
            b'a' => vec![self.pop()?],
            _ => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
        };
        let pairs = matches!(code, b's' | b'u');
        let node = match (*self.top()?).clone() {
            Value::List(node) if !pairs => node,
            Value::Dictionary(node) if pairs && items.len().is_multiple_of(2) => node,
            // What an object of another class holds.
            Value::Opaque => return Ok(()),
            _ => return Err(self.bad("a list or a dictionary", "another value")),
        };
        self.keep(items.len())?;
        self.pickle.nodes[node as usize].extend(items);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<()> {
        match Name::find(module, name) {
            Some(found) => self.push(Value::Name(found)),
            None => {
                let expected = "the names that a state dict needs: save model.state_dict(), not a \
                                model or other objects";
                Err(self.bad(expected, format!("the name {module}.{name}")))
            }
        }
    }

    fn remember(&mut self, code: u8) -> Result<()> {
        let number = match code {
            b'p' | b'g' => {
                let line = self.cursor.line()?;
                line.parse().map_err(|_| self.bad("a number", format!("{line:?}")))?
            }
            b'q' | b'h' => self.cursor.byte()?.into(),
            0x94 => self.memo.len() as u32,
            _ => u32::from_le_bytes(self.cursor.array()?),
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let value = self.memo.get(&number).cloned();
            let value = value.ok_or_else(|| {
                self.bad("a value that was kept", format!("number {number}, which was not"))
            })?;
            return self.push(value);
        }
        let value = self.top()?.clone();
        if self.memo.insert(number, value).is_none() {
            self.keep(1)?;
        }
        Ok(())
    }
}
