//! Every path that a file names, resolved as far as the file itself tells: `use` trees flattened, `self` and `super`
//! followed, imported names replaced by what they stand for, macro arguments read token by token.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility,
    visit::{self, Visit},
};

use super::source::Source;

/// The name by which `src/main.rs` knows the library.
const OURS: &str = "authsession";

/// A path that a file names.
pub(crate) struct Named {
    /// Its segments: from our crate's root where `ours`, else from the outside crate's name.
    pub(crate) segments: Vec<String>,
    /// Whether it leads into this crate.
    pub(crate) ours: bool,
}

impl Named {
    /// As it would be written.
    pub(crate) fn written(&self) -> String {
        let start = if self.ours { "crate::" } else { "" };
        format!("{start}{}", self.segments.join("::"))
    }
}

/// All paths of `source`.
pub(crate) fn of(source: &Source) -> Vec<Named> {
    let mut walk = Walk { module: source.module(), aliases: BTreeMap::new(), named: Vec::new() };
    // Imports first: a name may be used above the line that imports it.
    for item in &source.items {
        Imports(&mut walk).visit_item(item);
    }
    for item in &source.items {
        walk.visit_item(item);
    }
    walk.named
}

struct Walk {
    module: Vec<String>,
    aliases: BTreeMap<String, Named>,
    named: Vec<Named>,
}

impl Walk {
    /// Follows `crate`, `self`, `super`, and names that stand for something of ours.
    fn resolve(&self, mut segments: Vec<String>) -> Named {
        let first = segments.first().cloned().unwrap_or_default();
        if first == "crate" || first == OURS {
            segments.remove(0);
            return Named { segments, ours: true };
        }
        if first == "self" || first == "super" {
            let mut module = self.module.clone();
            while segments.first().is_some_and(|segment| segment == "self" || segment == "super") {
                if segments.remove(0) == "super" {
                    module.pop();
                }
            }
            module.extend(segments);
            return Named { segments: module, ours: true };
        }
        match self.aliases.get(&first) {
            Some(alias) => {
                segments.remove(0);
                Named { segments: [alias.segments.clone(), segments].concat(), ours: alias.ours }
            }
            None => Named { segments, ours: false },
        }
    }

    fn name(&mut self, segments: Vec<String>) {
        let named = self.resolve(segments);
        self.named.push(named);
    }

    /// Paths in what a macro is given: names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for tree in tokens {
            match tree {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.finish(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.finish(&mut path);
                    self.tokens(group.stream());
                    colons = 0;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.finish(&mut path);
                    colons = 0;
                }
            }
        }
        self.finish(&mut path);
    }

    fn finish(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.name(path);
        }
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // One name alone is a local thing, or was seen where it was imported.
        if segments.len() > 1 {
            self.name(segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, makro: &'ast Macro) {
        self.visit_path(&makro.path);
        self.tokens(makro.tokens.clone());
    }

    // Its paths are seen by `Imports`.
    fn visit_item_use(&mut self, _: &'ast ItemUse) {}

    // `pub(super)` and attributes import nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }
}

/// Finds what is imported, inside functions too, and the modules that a file declares.
struct Imports<'walk>(&'walk mut Walk);

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut leaves = Vec::new();
        flatten(&item.tree, Vec::new(), &mut leaves);
        for (path, name) in leaves {
            // `use redis;` and the like bind a name to itself.
            let itself = path.len() == 1 && path.first() == Some(&name);
            let target = self.0.resolve(path.clone());
            if !itself {
                self.0.aliases.insert(name, target);
            }
            self.0.name(path);
        }
    }

    fn visit_item(&mut self, item: &'ast Item) {
        if let Item::Mod(inner) = item {
            let name = inner.ident.to_string();
            let segments = [self.0.module.clone(), vec![name.clone()]].concat();
            self.0.aliases.insert(name, Named { segments, ours: true });
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.0.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.0.module.pop();
    }
}

/// Every leaf of a `use` tree: its whole path, and the name that it is known by.
fn flatten(tree: &UseTree, mut before: Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, leaves);
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before.clone(), leaves);
            }
        }
        UseTree::Name(name) if name.ident == "self" => {
            let known = before.last().cloned().unwrap_or_default();
            leaves.push((before, known));
        }
        UseTree::Name(name) => {
            before.push(name.ident.to_string());
            leaves.push((before, name.ident.to_string()));
        }
        UseTree::Rename(rename) => {
            if rename.ident != "self" {
                before.push(rename.ident.to_string());
            }
            leaves.push((before, rename.rename.to_string()));
        }
        UseTree::Glob(_) => leaves.push((before, "*".to_owned())),
    }
}
