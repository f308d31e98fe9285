//! The names of functions and classes that a pickle may have, and what becomes of them. None is ever called: what
//! is not on this list is refused.

use crate::io::pytorch::dtype::DType;

/// What a name in a pickle stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Name {
    /// A type of number.
    Type(DType),
    /// A storage of numbers of a type.
    Storage(DType),
    /// Makes a tensor of a storage and its view.
    Tensor,
    /// The same, with a type of its own.
    TypedTensor,
    /// Makes of its first argument that argument: a parameter of a tensor.
    First,
    /// Calls another of these: its first argument, with those of its third.
    Other,
    /// A tensor that is none of numbers side by side, and of which kind it is.
    Unusable(&'static str),
    /// A dictionary.
    Dictionary,
    /// An object of a TorchScript class.
    Object,
    /// A value that can hold no tensor of interest.
    Opaque,
}

impl Name {
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::TypedTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::First,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::Other,
            ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
                Self::Unusable("a sparse tensor")
            }
            ("torch._utils", "_rebuild_qtensor") => Self::Unusable("a quantized tensor"),
            ("torch._utils", "_rebuild_nested_tensor") => Self::Unusable("a nested tensor"),
            ("torch._utils", "_rebuild_meta_tensor_no_storage") => {
                Self::Unusable("a tensor of the device `meta`, which has no values")
            }
            (
                "torch._utils",
                "_rebuild_device_tensor_from_numpy"
                | "_rebuild_device_tensor_from_cpu_tensor"
                | "_rebuild_wrapper_subclass"
                | "_rebuild_xla_tensor",
            ) => Self::Unusable("a tensor of a device or class of its own"),
            ("torch", "Size") | ("torch.jit._pickle", "restore_type_tag" | "build_tensorlist") => {
                Self::First
            }
            ("torch.jit._pickle", "build_intlist" | "build_doublelist" | "build_boollist") => {
                Self::Opaque
            }
            ("torch" | "torch.storage", _) => return Self::of_torch(name),
            ("collections", "OrderedDict" | "defaultdict") => Self::Dictionary,
            ("builtins" | "__builtin__", "dict") => Self::Dictionary,
            ("builtins" | "__builtin__", name) if BUILTINS.contains(&name) => Self::Opaque,
            (module, _) if module == "__torch__" || module.starts_with("__torch__.") => {
                Self::Object
            }
            _ if OPAQUE.contains(&(module, name)) => Self::Opaque,
            _ => return None,
        })
    }

    fn of_torch(name: &str) -> Option<Self> {
        let number = || DType::called(name).map(Self::Type);
        let storage = || DType::of_storage(name).map(Self::Storage);
        let opaque = || OF_TORCH.contains(&name).then_some(Self::Opaque);
        number().or_else(storage).or_else(opaque)
    }
}

/// What people keep beside tensors.
const OPAQUE: [(&str, &str); 20] = [
    ("_codecs", "encode"),
    ("argparse", "Namespace"),
    ("collections", "Counter"),
    ("collections", "deque"),
    ("copy_reg", "_reconstructor"),
    ("copyreg", "_reconstructor"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("pathlib", "Path"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib", "WindowsPath"),
    ("torch.serialization", "_get_layout"),
];

/// Types of Python that make values of no interest, such as the lists of a `defaultdict`.
const BUILTINS: [&str; 16] = [
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
];

/// Layouts, devices and schemes of quantized tensors.
const OF_TORCH: [&str; 10] = [
    "channels_last",
    "contiguous_format",
    "device",
    "per_channel_affine",
    "per_channel_affine_float_qparams",
    "per_tensor_affine",
    "preserve_format",
    "sparse_coo",
    "sparse_csr",
    "strided",
];
