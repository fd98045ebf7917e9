//! An expression of the check language: bounded before it is compiled, every name in it known, ready to be evaluated.
//!
//! Nothing can interrupt an evaluation, so what could take long is refused here instead, and no deadline is needed:
//! at most 4 KiB of source, 500 nodes, 64 nodes deep, loops two deep, 100 items in a list, patterns of bounded size.
//! What is left to grow is the evidence; `evaluate` bounds the product of loop depth and longest list. The loops
//! themselves always end, since the language has no other.

use std::collections::{BTreeMap, BTreeSet};

use cel::Program;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelString};
use cel::common::value::Val;
use regex::RegexBuilder;
use serde_json::Value;

use crate::functions::{ENV, MATCHES, OURS, STANDARD};
use crate::problem::did_you_mean;
use crate::value::{Owned, Pattern, convert};

/// The version of the language's implementation; part of every check's version, since another one may judge otherwise.
pub(crate) const ENGINE: &str = "cel 0.15";

/// The name under which the organisation's own thresholds are found.
pub(crate) const PARAMS: &str = "params";

const GREATEST_SOURCE: usize = 4 * 1024;
const GREATEST_NODES: usize = 500;
const GREATEST_DEPTH: usize = 64;
const GREATEST_LOOPS: usize = 2;
const GREATEST_LIST: usize = 100;
const GREATEST_PATTERN: usize = 1 << 20;

/// The stack of the thread that parses. The parser takes about 170 KiB per bracket when it is not optimised, and goes
/// at most 96 deep; an overflow would end the process. The system gives the memory only as it is used.
const PARSER_STACK: usize = 64 << 20;

/// An expression that may be evaluated.
#[derive(Debug)]
pub(crate) struct Expression {
    /// Its tree, with parameters, constant lists and patterns put in.
    pub(crate) tree: IdedExpr,
    /// Values that the tree names as `@0`, `@1` …
    pub(crate) constants: Vec<Owned>,
    /// The fields that it names, each once, sorted.
    pub(crate) fields: BTreeSet<String>,
    /// The parameters that it names.
    pub(crate) params: BTreeSet<String>,
    /// How deep its loops are nested.
    pub(crate) loops: usize,
}

/// Something wrong with an expression, by its place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What.
    pub(crate) message: String,
    /// What to do.
    pub(crate) remedy: Option<String>,
    /// Where it begins, in characters.
    pub(crate) offset: usize,
    /// How many characters are meant.
    pub(crate) width: usize,
}

impl Fault {
    fn new(offset: usize, width: usize, message: impl Into<String>) -> Self {
        Fault { message: message.into(), remedy: None, offset, width }
    }
}

/// Compiles an expression that may name `fields`, and `params` with their values.
pub(crate) fn compile(
    source: &str,
    fields: &BTreeSet<&str>,
    params: &BTreeMap<String, Value>,
) -> Result<Expression, Vec<Fault>> {
    if source.len() > GREATEST_SOURCE {
        return Err(vec![Fault::new(0, 1, format!("longer than {} KiB", GREATEST_SOURCE / 1024))]);
    }
    let work = || {
        let program = parse(source)?;
        let tree = program.expression().clone();
        let mut compiler =
            Compiler { fields, params, info: program.source_info(), nodes: 0, faults: Vec::new(), scope: Vec::new() };
        let mut expression = Expression {
            tree: IdedExpr::default(),
            constants: Vec::new(),
            fields: BTreeSet::new(),
            params: BTreeSet::new(),
            loops: 0,
        };
        let tree = compiler.node(tree, 1, 0, &mut expression);
        if compiler.faults.is_empty() {
            expression.tree = tree;
            Ok(expression)
        } else {
            Err(compiler.faults)
        }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("compile".into()).stack_size(PARSER_STACK);
        let failed = |what: &str| vec![Fault::new(0, 1, format!("could not be compiled: {what}"))];
        match thread.spawn_scoped(scope, work) {
            Ok(running) => running.join().unwrap_or_else(|_| Err(failed("the parser gave up"))),
            Err(refused) => Err(failed(&refused.to_string())),
        }
    })
}

/// The expression without differences that mean nothing: white space outside of text is one blank.
pub(crate) fn canonical(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut quote = None;
    let mut escaped = false;
    for c in source.trim().chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Source text to tree, with the place of every node.
fn parse(source: &str) -> Result<Program, Vec<Fault>> {
    match ENV.compile(source) {
        Ok(program) => Ok(program),
        // The first fault is what a person should mend; those after it often only follow from it.
        Err(errors) => Err(errors.errors.first().map_or_else(Vec::new, |error| {
            let line = usize::try_from(error.pos.0).unwrap_or(1).max(1);
            let column = usize::try_from(error.pos.1).unwrap_or(1).max(1);
            let before: usize = source.split_inclusive('\n').take(line - 1).map(|l| l.chars().count()).sum();
            vec![Fault::new(before + column - 1, 1, in_few_words(&error.msg))]
        })),
    }
}

/// The first line of the parser's message, shortened before its list of everything that could stand there.
fn in_few_words(message: &str) -> String {
    if message.contains("Recursion limit") {
        return format!("too deep: more than {GREATEST_DEPTH} levels");
    }
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" expecting ").next().unwrap_or(line);
    let line: String = line.chars().take(160).collect();
    format!("not an expression: {}", line.replace("Syntax error: ", "").replace("<EOF>", "end"))
}

/// Walks a tree once: counts, checks every name, and puts in what is known beforehand.
struct Compiler<'a> {
    fields: &'a BTreeSet<&'a str>,
    params: &'a BTreeMap<String, Value>,
    info: &'a SourceInfo,
    nodes: usize,
    faults: Vec<Fault>,
    /// The variables of the loops around.
    scope: Vec<String>,
}

impl Compiler<'_> {
    /// One node and what is below it. `depth` counts nodes from the root, `loops` the loops around.
    fn node(&mut self, node: IdedExpr, depth: usize, loops: usize, out: &mut Expression) -> IdedExpr {
        self.nodes += 1;
        if self.nodes > GREATEST_NODES || depth > GREATEST_DEPTH {
            // Said once: the rest of such a tree is not looked at.
            if !self.faults.iter().any(|fault| fault.message.starts_with("too ")) {
                let message = if depth > GREATEST_DEPTH {
                    format!("too deep: more than {GREATEST_DEPTH} levels")
                } else {
                    format!("too large: more than {GREATEST_NODES} parts, loops written out")
                };
                self.fault(node.id, message);
            }
            return IdedExpr::default();
        }
        let id = node.id;
        let expr = match node.expr {
            Expr::Ident(name) => self.name(id, name, out),
            Expr::Select(select) => self.select(select, depth, loops, out),
            Expr::Call(call) => self.call(id, call, depth, loops, out),
            Expr::List(list) => {
                if list.elements.len() > GREATEST_LIST {
                    self.fault(id, format!("a list of more than {GREATEST_LIST} items; make it a parameter"));
                    return IdedExpr::default();
                }
                let elements: Vec<IdedExpr> =
                    list.elements.into_iter().map(|item| self.node(item, depth + 1, loops, out)).collect();
                match constant_list(&elements) {
                    Some(constant) if list.optional_indices.is_empty() => keep(out, constant),
                    _ => Expr::List(cel::common::ast::ListExpr::new_with_optionals(elements, list.optional_indices)),
                }
            }
            Expr::Comprehension(comprehension) => self.comprehension(id, *comprehension, depth, loops, out),
            // Such a map goes through its keys in another order every time.
            Expr::Map(_) => {
                self.fault(id, "a map cannot be written here; make it a parameter");
                Expr::default()
            }
            Expr::Struct(_) => {
                self.fault(id, "a message cannot be written here");
                Expr::default()
            }
            literal @ (Expr::Literal(_) | Expr::Unspecified) => literal,
        };
        IdedExpr { id, expr }
    }

    fn name(&mut self, id: u64, name: String, out: &mut Expression) -> Expr {
        if name.starts_with('@') || self.scope.contains(&name) {
            return Expr::Ident(name);
        }
        if name == PARAMS {
            self.fault(id, "name the parameter: params.<name>");
        } else if self.fields.contains(name.as_str()) {
            out.fields.insert(name.clone());
        } else {
            let known = self.fields.iter().copied().chain([PARAMS]).chain(self.scope.iter().map(String::as_str));
            let remedy = did_you_mean(&name, known);
            self.fault_with(id, format!("names {name}, which is no field of this check"), remedy);
        }
        Expr::Ident(name)
    }

    fn select(&mut self, select: SelectExpr, depth: usize, loops: usize, out: &mut Expression) -> Expr {
        if matches!(&select.operand.expr, Expr::Ident(name) if name == PARAMS)
            && !self.scope.iter().any(|v| v == PARAMS)
        {
            let Some(value) = self.params.get(&select.field) else {
                let remedy = did_you_mean(&select.field, self.params.keys().map(String::as_str));
                let message = format!("names the parameter {}, which this check does not have", select.field);
                self.fault_with(select.operand.id, message, remedy);
                return Expr::default();
            };
            out.params.insert(select.field.clone());
            if select.test {
                self.fault(select.operand.id, "a parameter always has a value");
            }
            return literal(value).unwrap_or_else(|| keep(out, convert(value, &mut 0)));
        }
        if let Expr::Ident(name) = &select.operand.expr
            && !name.starts_with('@')
            && !self.scope.contains(name)
            && !self.fields.contains(name.as_str())
        {
            let name = name.clone();
            return self.name(select.operand.id, name, out);
        }
        let operand = self.node(*select.operand, depth + 1, loops, out);
        Expr::Select(SelectExpr { operand: Box::new(operand), ..select })
    }

    fn call(&mut self, id: u64, call: CallExpr, depth: usize, loops: usize, out: &mut Expression) -> Expr {
        let name = call.func_name.as_str();
        let given = call.args.len() + usize::from(call.target.is_some());
        if let Some((_, takes)) = OURS.iter().find(|(ours, _)| *ours == name) {
            if call.target.is_some() || given != *takes {
                self.fault(id, format!("{name} takes {takes} in brackets: {name}(…)"));
                self.point_at_name(name);
            }
        } else if !is_operator(name) && !STANDARD.contains(&name) {
            let known = STANDARD.iter().copied().chain(OURS.iter().map(|(ours, _)| *ours));
            let remedy = did_you_mean(name, known.chain(["all", "exists", "exists_one", "filter", "map", "has"]));
            self.fault_with(id, format!("calls {name}, which is no function here"), remedy);
            self.point_at_name(name);
        }
        let is_match = name == "matches";
        let target = call.target.map(|target| Box::new(self.node(*target, depth + 1, loops, out)));
        let mut args: Vec<IdedExpr> = call.args.into_iter().map(|arg| self.node(arg, depth + 1, loops, out)).collect();
        if !is_match {
            return Expr::Call(CallExpr { func_name: call.func_name, target, args });
        }
        match args.last_mut() {
            Some(IdedExpr { expr: pattern @ Expr::Literal(LiteralValue::String(_)), .. }) if given == 2 => {
                let Expr::Literal(LiteralValue::String(text)) = &*pattern else { return Expr::default() };
                match RegexBuilder::new(text.inner()).size_limit(GREATEST_PATTERN).build() {
                    Ok(regex) => *pattern = keep(out, Box::new(Pattern(regex))),
                    Err(refused) => {
                        let message = refused.to_string();
                        let last = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
                        self.fault(id, format!("not a pattern: {last}"));
                    }
                }
            }
            _ => self.fault(id, "the pattern of matches is a text or a parameter, so that it can be compiled now"),
        }
        Expr::Call(CallExpr { func_name: MATCHES.to_owned(), target, args })
    }

    fn comprehension(
        &mut self,
        id: u64,
        loop_: ComprehensionExpr,
        depth: usize,
        loops: usize,
        out: &mut Expression,
    ) -> Expr {
        let inner = loops + 1;
        out.loops = out.loops.max(inner);
        if inner > GREATEST_LOOPS {
            self.fault(id, format!("loops more than {GREATEST_LOOPS} deep"));
            return Expr::default();
        }
        for variable in std::iter::once(&loop_.iter_var).chain(&loop_.iter_var2) {
            if self.fields.contains(variable.as_str()) || variable == PARAMS || self.scope.contains(variable) {
                self.fault(id, format!("a loop's variable is called {variable}, which is taken; call it otherwise"));
            }
        }
        let iter_range = self.node(loop_.iter_range, depth + 1, loops, out);
        let accu_init = self.node(loop_.accu_init, depth + 1, loops, out);
        let outside = self.scope.len();
        self.scope.push(loop_.iter_var.clone());
        self.scope.extend(loop_.iter_var2.clone());
        let loop_cond = self.node(loop_.loop_cond, depth + 1, inner, out);
        let loop_step = self.node(loop_.loop_step, depth + 1, inner, out);
        self.scope.truncate(outside);
        let result = self.node(loop_.result, depth + 1, loops, out);
        Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range,
            accu_init,
            loop_cond,
            loop_step,
            result,
            ..loop_
        }))
    }

    fn fault(&mut self, id: u64, message: impl Into<String>) {
        let (start, stop) = self.info.offset_for(id).unwrap_or_default();
        let width = (stop.saturating_sub(start) + 1) as usize;
        self.faults.push(Fault::new(start as usize, width, message));
    }

    /// Moves the last fault from a call's bracket, where the parser places it, to the name before it.
    fn point_at_name(&mut self, name: &str) {
        let Some(fault) = self.faults.last_mut() else { return };
        let width = name.chars().count();
        let start = fault.offset.saturating_sub(width);
        let before: String = self.info.source.chars().skip(start).take(width).collect();
        if before == name {
            (fault.offset, fault.width) = (start, width);
        }
    }

    fn fault_with(&mut self, id: u64, message: String, remedy: String) {
        self.fault(id, message);
        if let Some(fault) = self.faults.last_mut() {
            fault.remedy = Some(remedy);
        }
    }
}

/// Keeps a value beside the tree, and gives the name it is found under.
fn keep(out: &mut Expression, value: Owned) -> Expr {
    out.constants.push(value);
    Expr::Ident(format!("@{}", out.constants.len() - 1))
}

/// A scalar as a literal; `None` for a list or a map.
fn literal(value: &Value) -> Option<Expr> {
    Some(Expr::Literal(match value {
        Value::Null => LiteralValue::Null,
        Value::Bool(b) => LiteralValue::Boolean(CelBool::from(*b)),
        Value::Number(n) => match n.as_i64() {
            Some(whole) => LiteralValue::Int(CelInt::from(whole)),
            None => LiteralValue::Double(CelDouble::from(n.as_f64()?)),
        },
        Value::String(s) => LiteralValue::String(CelString::from(s.clone())),
        Value::Array(_) | Value::Object(_) => return None,
    }))
}

/// A list of nothing but literals, made once instead of at every evaluation. An empty list stays as it is: loops that
/// collect begin with one and grow it.
fn constant_list(elements: &[IdedExpr]) -> Option<Owned> {
    if elements.is_empty() {
        return None;
    }
    let values: Option<Vec<Box<dyn Val>>> = elements
        .iter()
        .map(|element| match &element.expr {
            Expr::Literal(literal) => Some(literal.to_val().into_owned()),
            _ => None,
        })
        .collect();
    Some(Box::new(CelList::from(values?)))
}

/// Whether a call is an operator written as such: `_&&_`, `!_`, `@in`.
fn is_operator(name: &str) -> bool {
    name.starts_with(['_', '@', '!', '-']) || name == operators::CONDITIONAL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> BTreeSet<&'static str> {
        ["users", "count", "name", "enabled"].into()
    }

    fn params() -> BTreeMap<String, Value> {
        let params = serde_json::json!({"limit": 3, "allowed": ["a", "b"], "pattern": "^a+$"});
        serde_json::from_value(params).unwrap()
    }

    fn faults(source: &str) -> Vec<String> {
        match compile(source, &fields(), &params()) {
            Ok(_) => Vec::new(),
            Err(faults) => faults
                .into_iter()
                .map(|f| {
                    let meant: String = source.chars().skip(f.offset).take(f.width.min(12)).collect();
                    [Some(meant), Some(f.message), f.remedy].into_iter().flatten().collect::<Vec<_>>().join(" | ")
                })
                .collect(),
        }
    }

    #[test]
    fn an_expression_names_its_fields_and_parameters_and_how_deep_it_loops() {
        let expression = compile(
            "enabled && users.all(u, u.roles.exists(r, r in params.allowed)) && count < params.limit",
            &fields(),
            &params(),
        )
        .unwrap();
        assert_eq!(expression.fields.iter().map(String::as_str).collect::<Vec<_>>(), ["count", "enabled", "users"]);
        assert_eq!(expression.params.iter().map(String::as_str).collect::<Vec<_>>(), ["allowed", "limit"]);
        assert_eq!(expression.loops, 2);
    }

    #[test]
    fn what_an_expression_may_not_say_is_refused_where_it_stands() {
        let many = format!("count in [{}]", vec!["1"; 101].join(","));
        let table = [
            ("enabeld == true", "enabeld | names enabeld, which is no field of this check | did you mean enabled?"),
            ("enabeld.x == true", "enabeld | names enabeld, which is no field of this check | did you mean enabled?"),
            (
                "count < params.limt",
                "params | names the parameter limt, which this check does not have | did you mean limit?",
            ),
            ("count < params", "params | name the parameter: params.<name>"),
            ("count <", " | not an expression: mismatched input 'end'"),
            ("", " | not an expression: mismatched input 'end'"),
            ("count in [1, 2", " | not an expression: mismatched input 'end'"),
            ("sise(users) > 0", "sise | calls sise, which is no function here | did you mean size?"),
            ("users.sise() > 0", "sise | calls sise, which is no function here | did you mean size?"),
            ("days_since(name, name) > 1", "days_since | days_since takes 1 in brackets: days_since(…)"),
            ("name.days_since() > 1", "days_since | days_since takes 1 in brackets: days_since(…)"),
            (
                "name.matches(name)",
                "( | the pattern of matches is a text or a parameter, so that it can be compiled now",
            ),
            (
                "name.matches('(a{100}){1000}')",
                "( | not a pattern: Compiled regex exceeds size limit of 1048576 bytes.",
            ),
            ("name.matches('(')", "( | not a pattern: unclosed group"),
            ("{'a': 1}.a == count", "{ | a map cannot be written here; make it a parameter"),
            ("users.all(a, users.all(b, users.all(c, true)))", "( | loops more than 2 deep"),
            ("users.all(name, true)", "( | a loop's variable is called name, which is taken; call it otherwise"),
            (&many, "[ | a list of more than 100 items; make it a parameter"),
        ];
        for (source, expected) in table {
            assert_eq!(faults(source).join("\n"), expected, "{source}");
        }
    }

    #[test]
    fn what_could_take_long_or_deep_is_refused_on_a_small_stack_without_going_there() {
        let table = [
            (vec!["count == 1"; 300].join(" && "), "longer than 4 KiB"),
            (vec!["count==1"; 200].join("||"), "too large: more than 500 parts, loops written out"),
            (vec!["count"; 300].join("+"), "too deep: more than 64 levels"),
            (format!("name{}", ".a".repeat(2000)), "too deep: more than 64 levels"),
            (format!("{}count{}", "(".repeat(1000), ")".repeat(1000)), "too deep: more than 64 levels"),
            ("[".repeat(4000), "too deep: more than 64 levels"),
            ("size(".repeat(800), "too deep: more than 64 levels"),
            ("count ? ".repeat(400), "not an expression: Incomplete `ExprContext` for `_?_:_` expression!"),
            ("-".repeat(4000), "not an expression: No `MemberContextAll`!"),
        ];
        let small = std::thread::Builder::new().stack_size(512 * 1024);
        let work = move || {
            for (source, expected) in table {
                let faults = compile(&source, &fields(), &params()).unwrap_err();
                assert_eq!(faults.first().unwrap().message, expected, "{}", source.split_at(20).0);
            }
        };
        small.spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn the_engine_that_a_version_names_is_the_one_that_is_built_in() {
        let pinned = ENGINE.split_once(' ').map(|(name, version)| format!("\n{name} = \"{version}\"\n")).unwrap();
        assert!(include_str!("../../Cargo.toml").contains(&pinned), "{pinned}");
    }

    #[test]
    fn layout_is_no_part_of_the_canonical_form_but_text_is() {
        assert_eq!(canonical("  a  &&\n\t b == 'x  y' "), "a && b == 'x  y'");
        assert_eq!(canonical(r#""a\"  b"  ==  c"#), r#""a\"  b" == c"#);
        assert_ne!(canonical("a == 'x y'"), canonical("a == 'x  y'"));
    }
}
