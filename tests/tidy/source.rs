//! Reads the tree: every file of `src/` and `tests/` as parsed Rust.

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, Macro, Meta, spanned::Spanned};

/// One Rust file.
pub(crate) struct Source {
    /// From the repository's root, with slashes.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// What it holds, test items taken out.
    pub(crate) items: Vec<Item>,
    /// How many of its lines are tests.
    pub(crate) test_lines: usize,
}

impl Source {
    /// The modules that lead to it, from the crate's root: `src/session/http.rs` is `session::http`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut names: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if names.last().is_some_and(|name| name == "mod" || name == "lib") {
            names.pop();
        }
        names
    }

    /// The folder or file directly in `src/` that it belongs to; `lib.rs` belongs to none.
    pub(crate) fn unit(&self) -> Option<String> {
        self.module().into_iter().next()
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of the file at `path` from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below `folder` whose names end in `ending`, from the root, in order.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(from_root(&path));
            }
        }
    }
    found.sort();
    found
}

/// Every file of `src/` that is not a test.
pub(crate) fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut tests = Vec::new();
    for path in files("src", ".rs") {
        let text = read(&path);
        let mut source = Source { path, items: parse(&text), text, test_lines: 0 };
        let items = std::mem::take(&mut source.items);
        source.items = keep_untested(items, &source.module(), &mut source.test_lines, &mut tests);
        sources.push(source);
    }
    let is_test = |source: &Source| tests.iter().any(|module| source.module().starts_with(module));
    sources.retain(|source| !is_test(source));
    sources
}

/// The items of the file at `path`, tests included.
pub(crate) fn everything_in(path: &str) -> Vec<Item> {
    parse(&read(path))
}

fn parse(text: &str) -> Vec<Item> {
    syn::parse_file(text).expect("Rust that compiles is Rust that parses").items
}

/// Takes test items out of `items`: counts their lines, and notes test modules that are files of their own.
fn keep_untested(
    items: Vec<Item>,
    module: &[String],
    lines: &mut usize,
    tests: &mut Vec<Vec<String>>,
) -> Vec<Item> {
    let mut kept = Vec::new();
    for mut item in items {
        if attributes(&item).iter().any(is_for_tests) {
            if let Item::Mod(inner) = &item {
                tests.push([module, &[inner.ident.to_string()]].concat());
            }
            *lines += item.span().end().line - item.span().start().line + 1;
            continue;
        }
        if let Item::Mod(inner) = &mut item {
            let name = inner.ident.to_string();
            if let Some((_, content)) = &mut inner.content {
                let below = [module, &[name]].concat();
                *content = keep_untested(std::mem::take(content), &below, lines, tests);
            }
        }
        kept.push(item);
    }
    kept
}

fn is_for_tests(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::List(list) => {
            list.path.is_ident("cfg")
                && list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
        }
        _ => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn from_root(path: &Path) -> String {
    let inner = path.strip_prefix(root()).unwrap_or(path);
    inner.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// What a macro is called.
pub(crate) fn name_of(makro: &Macro) -> String {
    makro.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
}
