//! What Redis says stays where it can do no harm.

use syn::{
    Expr, ExprCall, Macro,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{
    none,
    source::{name_of, sources},
};

/// An error of Redis quotes what it was sent: passwords, keys, records. `engine/redis/told.rs` makes of it what may be
/// logged; nobody else hands one on as the cause of an `Unavailable`, or prints one.
#[test]
fn what_redis_says_is_told_in_one_place() {
    let mut complaints = Vec::new();
    for source in sources() {
        let speaks =
            ["src/engine/redis/", "src/gateway/redis/"].iter().any(|home| source.path.starts_with(home));
        if speaks && source.path != "src/engine/redis/told.rs" {
            let mut search = Search { path: &source.path, complaints: &mut complaints };
            source.items.iter().for_each(|item| search.visit_item(item));
        }
    }
    none("text of Redis that may get into the log: use `told`", complaints);
}

struct Search<'a> {
    path: &'a str,
    complaints: &'a mut Vec<String>,
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_macro(&mut self, makro: &'ast Macro) {
        let name = name_of(makro);
        let tokens = makro.tokens.to_string();
        if ["trace", "debug", "info", "warn", "error"].contains(&&*name) && tokens.contains(['%', '?']) {
            self.complaints.push(format!("{}: {name}!({tokens})", self.path));
        }
        visit::visit_macro(self, makro);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        let is_ours = match call.args.last() {
            Some(Expr::Lit(_)) => true,
            Some(Expr::Call(made)) => calls(made, &["told"]),
            _ => false,
        };
        if calls(call, &["Unavailable", "new"]) && !is_ours {
            let line = call.span().start().line;
            self.complaints.push(format!("{}: line {line}: Unavailable::new", self.path));
        }
        visit::visit_expr_call(self, call);
    }
}

/// Whether it is this function that is called.
fn calls(call: &ExprCall, name: &[&str]) -> bool {
    let Expr::Path(function) = &*call.func else { return false };
    function.path.segments.iter().map(|segment| segment.ident.to_string()).eq(name.iter().copied())
}
