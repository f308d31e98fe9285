use super::*;

fn meaning(tree: &Tree, module: &str, path: &str) -> Vec<String> {
    let path: Vec<_> = path.split("::").map(str::to_owned).collect();
    let module = tree.modules.iter().position(|known| known.path.join("::") == module);
    let found = tree.resolve(module.unwrap(), &path, &mut Vec::new());
    let name = |found| match found {
        Found::Module(module) => format!("mod {}", tree.path(module)),
        Found::Item(item) => {
            let item: &Item = &tree.items[item];
            format!("{}::{}", tree.path(item.module), item.name)
        }
        Found::Outside(path) => path.join("::"),
    };
    found.into_iter().map(name).collect()
}

#[test]
fn paths_lead_to_what_they_name() {
    let source = "
        mod a { pub struct A; pub(crate) use super::b::B as C; pub mod inner { use super::*; } }
        mod b { pub struct B; use std::fmt::{self, Result as Formatted}; use rayon; }
        use a::A;
        pub use self::a::C;";
    let tree = Tree::of(source, &[]).unwrap();
    assert_eq!(meaning(&tree, "own", "A"), ["own::a::A"]);
    assert_eq!(meaning(&tree, "own", "C"), ["own::b::B"]);
    assert_eq!(meaning(&tree, "own::b", "super::a::inner"), ["mod own::a::inner"]);
    assert_eq!(meaning(&tree, "own::a::inner", "super::super::A"), ["own::a::A"]);
    assert_eq!(meaning(&tree, "own::a", "crate::C"), ["own::b::B"]);
    assert_eq!(meaning(&tree, "own::b", "fmt::Debug"), ["std::fmt::Debug"]);
    assert_eq!(meaning(&tree, "own::b", "Formatted"), ["std::fmt::Result"]);
    assert_eq!(meaning(&tree, "own::b", "rayon::Scope"), ["rayon::Scope"]);
    assert_eq!(meaning(&tree, "own", "wgpu::Device"), ["wgpu::Device"]);
    assert!(meaning(&tree, "own", "Vec").is_empty());
}

/// As `loss::ctc` is.
#[test]
fn a_function_may_have_its_modules_name() {
    let tree = Tree::of("mod ctc { pub fn ctc() {} } pub use ctc::ctc;", &[]).unwrap();
    assert_eq!(meaning(&tree, "own", "ctc"), ["mod own::ctc", "own::ctc::ctc"]);
    assert_eq!(meaning(&tree, "own", "ctc::ctc"), ["own::ctc::ctc"]);
}

#[test]
fn conditions_are_those_of_the_features() {
    let source = "
        #[cfg(test)] struct A1;
        #[cfg(feature = \"gpu\")] struct B;
        #[cfg(not(feature = \"gpu\"))] struct B1;
        #[cfg(all(feature = \"gpu\", not(target_arch = \"wasm32\")))] struct C;
        #[cfg(any(not(feature = \"gpu\"), target_arch = \"wasm32\"))] struct C1;
        #[cfg_attr(feature = \"gpu\", cfg(windows))] struct D1;
        #[cfg_attr(windows, cfg(test))] struct D;";
    let tree = Tree::of(source, &["gpu"]).unwrap();
    let names: Vec<_> = tree.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["B", "C", "D"]);
}
