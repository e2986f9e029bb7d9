//! The words that matter in the source: string literals, error codes, collections, operations.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ExprCall, ExprMethodCall, ExprTuple, ImplItemFn, ItemFn, Lit, LitStr, Macro,
    parse::ParseStream,
    punctuated::Punctuated,
    visit::{self, Visit},
};

use super::source::Source;

/// What one or more files say.
#[derive(Default)]
pub(crate) struct Words {
    /// Every string literal outside attributes.
    pub(crate) literals: BTreeSet<String>,
    /// String literals that stand right behind a status: `(StatusCode::NOT_FOUND, "not_found", …)`.
    pub(crate) codes: BTreeSet<String>,
    /// What is given to `.collection("a")`, or second to `Collection::new(shard, "j")`.
    pub(crate) collections: BTreeSet<String>,
    /// Names of functions.
    pub(crate) functions: BTreeSet<String>,
    /// What is given second to `.get(path, operation, handler)` and the like.
    pub(crate) operations: BTreeSet<String>,
}

impl Words {
    /// Of all `sources`.
    pub(crate) fn of(sources: &[Source]) -> Self {
        let mut words = Self::default();
        for item in sources.iter().flat_map(|source| &source.items) {
            words.visit_item(item);
        }
        words
    }

    fn pairs<'a>(&mut self, parts: impl Iterator<Item = &'a Expr> + Clone) {
        for (status, code) in parts.clone().zip(parts.skip(1)) {
            if let (Expr::Path(status), Some(code)) = (status, text(code))
                && status.path.segments.iter().any(|segment| segment.ident == "StatusCode")
            {
                self.codes.insert(code);
            }
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        for tree in tokens {
            match tree {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Lit::Str(text) = Lit::new(literal) {
                        self.literals.insert(text.value());
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Words {
    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.literals.insert(literal.value());
    }

    fn visit_macro(&mut self, makro: &'ast Macro) {
        self.tokens(makro.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        self.pairs(call.args.iter());
        if let Expr::Path(function) = &*call.func {
            let names: Vec<String> =
                function.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            if names == ["Collection", "new"] {
                self.collections.extend(call.args.iter().nth(1).and_then(kind));
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.pairs(call.args.iter());
        if call.method == "collection" {
            self.collections.extend(nth_text(&call.args, 0));
        }
        if call.args.len() == 3 && ["get", "post", "stream"].iter().any(|name| call.method == name) {
            self.operations.extend(nth_text(&call.args, 1));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_tuple(&mut self, tuple: &'ast ExprTuple) {
        self.pairs(tuple.elems.iter());
        visit::visit_expr_tuple(self, tuple);
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.functions.insert(function.sig.ident.to_string());
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.functions.insert(function.sig.ident.to_string());
        visit::visit_impl_item_fn(self, function);
    }
}

fn text(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// The part before the colon of `"j"` or `format!("c:{id}")`.
fn kind(name: &Expr) -> Option<String> {
    let name = match name {
        Expr::Macro(format) => format
            .mac
            .parse_body_with(|input: ParseStream<'_>| {
                let name: LitStr = input.parse()?;
                input.parse::<TokenStream>()?;
                Ok(name.value())
            })
            .ok(),
        plain => text(plain),
    }?;
    // `format!("{kind}:{key}")` is the general case, not a collection.
    name.split(':').next().filter(|kind| !kind.contains('{')).map(str::to_owned)
}

fn nth_text<P>(arguments: &Punctuated<Expr, P>, at: usize) -> Option<String> {
    arguments.iter().nth(at).and_then(text)
}
