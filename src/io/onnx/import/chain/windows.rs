//! Convolutions and pools along time as layers.

use super::super::node::Node;
use super::super::value::Value;
use super::Chain;
use crate::Result;
use crate::nn::{Conv1d, Padding, Pool1d};

impl Chain<'_> {
    /// The windows of a node along time: size, stride, dilation, padding.
    pub(super) fn window(
        &mut self,
        node: &Node<'_>,
        size: Option<usize>,
    ) -> Result<Option<(usize, usize, usize, Padding)>> {
        let list =
            |name: &str| -> Result<Option<Vec<i64>>> { Ok(node.ints(name)?.map(<[_]>::to_vec)) };
        let one = |list: Option<Vec<i64>>| match list.as_deref() {
            None => Some(1),
            Some(&[value]) => usize::try_from(value).ok(),
            Some(_) => None,
        };
        let kernel = match (list("kernel_shape")?, size) {
            (None, size) => size,
            (given, _) => one(given),
        };
        let (stride, dilation) = (one(list("strides")?), one(list("dilations")?));
        let pads = match list("pads")?.as_deref() {
            None | Some([0, 0]) => Some(Padding::Valid),
            Some(&[before, after]) => {
                Some(Padding::Explicit(before.max(0) as usize, after.max(0) as usize))
            }
            Some(_) => None,
        };
        let plain = matches!(node.text("auto_pad", "NOTSET")?, "NOTSET" | "VALID")
            && !node.flag("ceil_mode", false)?;
        let (Some(kernel), Some(stride), Some(dilation), Some(padding)) =
            (kernel, stride, dilation, pads)
        else {
            return Ok(None);
        };
        if !plain || !self.is_channels_first() {
            return Ok(None);
        }
        let around =
            if let Padding::Explicit(before, after) = padding { before + after } else { 0 };
        let reach = kernel.saturating_sub(1).saturating_mul(dilation) + 1;
        let Some(room) = (self.axes[2].1 + around).checked_sub(reach) else { return Ok(None) };
        self.axes[2].1 = room / stride.max(1) + 1;
        Ok(Some((kernel, stride, dilation, padding)))
    }

    pub(super) fn conv(&mut self, node: &Node<'_>) -> Result<bool> {
        let Some(Value::Floats(weight)) = node.constant(1) else { return Ok(false) };
        let &[channels, _, size] = weight.shape() else { return Ok(false) };
        let Some((size, stride, dilation, padding)) = self.window(node, Some(size))? else {
            return Ok(false);
        };
        let groups = usize::try_from(node.int("group", 1)?).unwrap_or(0);
        let layer = Conv1d::new(channels, size)
            .stride(stride)
            .dilation(dilation)
            .groups(groups)
            .padding(padding);
        match node.constant(2) {
            Some(Value::Floats(bias)) => self.add(layer, vec![weight.to_vec()?, bias.to_vec()?]),
            _ => self.add(layer.no_bias(), vec![weight.to_vec()?]),
        }
        self.axes[1].1 = channels;
        Ok(true)
    }

    pub(super) fn pool(&mut self, node: &Node<'_>) -> Result<bool> {
        let Some((size, stride, 1, padding)) = self.window(node, None)? else { return Ok(false) };
        let layer = match node.proto.op == "MaxPool" {
            true => Pool1d::max(size),
            false => Pool1d::average(size),
        };
        let layer = layer.stride(stride).padding(padding);
        let counts = node.flag("count_include_pad", false)?;
        self.add(if counts { layer.count_padding() } else { layer }, vec![]);
        Ok(true)
    }
}
