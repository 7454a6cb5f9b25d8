//! From `cel`'s syntax tree to our own, with the checks of types and names.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::MAX_AUDIENCE_NODES;
use super::attribute::{Attribute, Kind};
use super::parse::fault_at;
use super::predicate::{Comparison, Entries, Predicate, TextTest};
use super::quote::{list, quoted};
use crate::Error;

/// How alike a name must be to be suggested, 0 to 1.
const ALIKE: f64 = 0.8;

/// An expression on its way into a tree.
pub(super) struct Lowering<'a> {
    text: &'a str,
    nodes: usize,
}

/// What stands on one side of an operator.
enum Operand {
    Attribute(Attribute),
    Number(i64),
    Text(String),
    List(Literals),
    /// A condition, as in `has(sdk) == true`.
    Condition,
}

/// The literals of a list, which are all of one type.
enum Literals {
    None,
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

impl<'a> Lowering<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, nodes: 0 }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Lowers one clause, which begins at this byte of the text.
    pub(super) fn clause(
        &mut self,
        expression: &IdedExpr,
        places: &SourceInfo,
        start: usize,
    ) -> Result<Predicate, Error> {
        let text = self.text;
        let mut clause = ClauseLowering {
            whole: self,
            places,
            start,
            text,
        };
        clause.condition(expression)
    }
}

struct ClauseLowering<'a, 'w> {
    whole: &'w mut Lowering<'a>,
    places: &'w SourceInfo,
    start: usize,
    text: &'a str,
}

impl ClauseLowering<'_, '_> {
    /// An error at an expression: at its operator where it has one.
    fn fault(&self, at: &IdedExpr, fault: impl Into<String>, suggestion: Option<String>) -> Error {
        let offset = self.places.offset_for(at.id).map_or(0, |(start, _)| start);
        let byte = self.start + usize::try_from(offset).unwrap_or(0);
        fault_at(self.text, byte, fault, suggestion)
    }

    fn count(&mut self, at: &IdedExpr) -> Result<(), Error> {
        self.whole.nodes += 1;
        if self.whole.nodes <= MAX_AUDIENCE_NODES {
            return Ok(());
        }
        let fault = format!(
            "here are more than {MAX_AUDIENCE_NODES} conditions and operators: list values behind `in`"
        );
        Err(self.fault(at, fault, None))
    }

    fn condition(&mut self, at: &IdedExpr) -> Result<Predicate, Error> {
        self.count(at)?;
        match &at.expr {
            Expr::Call(call) => self.call(at, call),
            Expr::Literal(LiteralValue::Boolean(answer)) => Ok(Predicate::Constant(*answer.inner())),
            Expr::Ident(name) => {
                let attribute = self.attribute(at, name)?;
                let fault = format!("{name} alone is no condition: compare it with something");
                Err(self.fault(at, fault, Some(example(attribute))))
            }
            Expr::Literal(_) | Expr::List(_) => Err(self.fault(
                at,
                "a value alone is no condition: compare an attribute with it",
                None,
            )),
            _ => Err(self.fault(at, "this has no meaning in an audience", None)),
        }
    }

    fn call(&mut self, at: &IdedExpr, call: &CallExpr) -> Result<Predicate, Error> {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_AND, None, _) => Ok(Predicate::All(self.joined(at)?)),
            (operators::LOGICAL_OR, None, _) => Ok(Predicate::Any(self.joined(at)?)),
            (operators::LOGICAL_NOT, None, [part]) => Ok(Predicate::Not(Box::new(self.condition(part)?))),
            (operators::IN, None, [one, other]) => self.member(at, one, other),
            ("has", None, [asked]) => self.stated(asked),
            (_, None, [one, other]) if comparison(name).is_some() => {
                let comparison = comparison(name).unwrap_or(Comparison::Equal);
                self.compare(at, one, comparison, other)
            }
            (_, Some(target), [asked]) if text_test(name).is_some() => {
                let test = text_test(name).unwrap_or(TextTest::Equals);
                self.text_test(at, target, test, asked)
            }
            _ => Err(self.unknown_function(at, call)),
        }
    }

    /// The parts of a chain of one operator, which the parser makes a balanced tree of.
    fn joined(&mut self, at: &IdedExpr) -> Result<Box<[Predicate]>, Error> {
        let mut parts = Vec::new();
        self.join_into(&mut parts, at, at)?;
        Ok(parts.into())
    }

    fn join_into(
        &mut self,
        parts: &mut Vec<Predicate>,
        chain: &IdedExpr,
        at: &IdedExpr,
    ) -> Result<(), Error> {
        match (&chain.expr, &at.expr) {
            (Expr::Call(chain_call), Expr::Call(call)) if call.func_name == chain_call.func_name => {
                for part in &call.args {
                    self.join_into(parts, chain, part)?;
                }
            }
            _ => parts.push(self.condition(at)?),
        }
        Ok(())
    }

    fn attribute(&self, at: &IdedExpr, name: &str) -> Result<Attribute, Error> {
        let known = Attribute::named(name);
        known.ok_or_else(|| {
            let alike = most_alike(name, Attribute::ALL.map(Attribute::as_str));
            let fault = format!(
                "there is no attribute {name}{}",
                match alike {
                    Some(_) => String::new(),
                    None => format!(": there are {}", Attribute::ALL.map(Attribute::as_str).join(", ")),
                }
            );
            self.fault(at, fault, alike.map(str::to_owned))
        })
    }

    /// A word where a value is expected is a text whose quotation marks are missing.
    fn value_for(&self, attribute: Attribute, at: &IdedExpr, name: &str) -> Error {
        if Attribute::named(name).is_some() {
            let fault = "an attribute is compared with a value, and not with another attribute";
            return self.fault(at, fault, None);
        }
        if attribute.kind() == Kind::Number {
            return self.fault(
                at,
                format!("{} is a number, such as 30", attribute.as_str()),
                None,
            );
        }
        self.fault(at, "a text stands in quotation marks", Some(quoted(name)))
    }

    fn operand(&self, at: &IdedExpr) -> Result<Operand, Error> {
        Ok(match &at.expr {
            Expr::Ident(name) => Operand::Attribute(self.attribute(at, name)?),
            Expr::Literal(LiteralValue::Int(number)) => Operand::Number(*number.inner()),
            Expr::Literal(LiteralValue::String(text)) => Operand::Text(text.inner().to_owned()),
            Expr::Literal(LiteralValue::Boolean(_)) => Operand::Condition,
            Expr::Call(call) if is_condition(&call.func_name) => Operand::Condition,
            Expr::Call(call) => return Err(self.unknown_function(at, call)),
            Expr::List(list) => Operand::List(self.literals(&list.elements)?),
            _ => return Err(self.fault(at, "an attribute is compared with a text or a whole number", None)),
        })
    }

    /// Both sides of an operator. A word that is no attribute is judged by the other side.
    fn operands(&self, one: &IdedExpr, other: &IdedExpr) -> Result<(Operand, Operand), Error> {
        let unknown = |at: &IdedExpr| match &at.expr {
            Expr::Ident(name) if Attribute::named(name).is_none() => Some(name.clone()),
            _ => None,
        };
        let known = |at: &IdedExpr| match &at.expr {
            Expr::Ident(name) => Attribute::named(name),
            _ => None,
        };
        if let (Some(attribute), Some(name)) = (known(one), unknown(other)) {
            return Err(self.value_for(attribute, other, &name));
        }
        if let (Some(name), Some(attribute)) = (unknown(one), known(other)) {
            return Err(self.value_for(attribute, one, &name));
        }
        Ok((self.operand(one)?, self.operand(other)?))
    }

    fn literals(&self, elements: &[IdedExpr]) -> Result<Literals, Error> {
        let mut literals = Literals::None;
        for at in elements {
            match (&at.expr, &mut literals) {
                (Expr::Literal(LiteralValue::Int(number)), Literals::Numbers(numbers)) => {
                    numbers.push(*number.inner());
                }
                (Expr::Literal(LiteralValue::Int(number)), Literals::None) => {
                    literals = Literals::Numbers(vec![*number.inner()]);
                }
                (Expr::Literal(LiteralValue::String(text)), Literals::Texts(texts)) => {
                    texts.push(text.inner().to_owned());
                }
                (Expr::Literal(LiteralValue::String(text)), Literals::None) => {
                    literals = Literals::Texts(vec![text.inner().to_owned()]);
                }
                (Expr::Ident(name), _) if Attribute::named(name).is_none() => {
                    return Err(self.fault(at, "a text stands in quotation marks", Some(quoted(name))));
                }
                (Expr::Literal(LiteralValue::Int(_) | LiteralValue::String(_)), _) => {
                    return Err(self.fault(at, "a list has either texts or numbers", None));
                }
                _ => return Err(self.fault(at, "a list has texts or whole numbers, and nothing else", None)),
            }
        }
        Ok(literals)
    }

    fn compare(
        &mut self,
        at: &IdedExpr,
        one: &IdedExpr,
        comparison: Comparison,
        other: &IdedExpr,
    ) -> Result<Predicate, Error> {
        let (attribute, comparison, value) = match self.operands(one, other)? {
            (Operand::Attribute(_), Operand::Attribute(_)) => {
                let fault = "an attribute is compared with a value, and not with another attribute";
                return Err(self.fault(other, fault, None));
            }
            (Operand::Attribute(attribute), value) => (attribute, comparison, value),
            (value, Operand::Attribute(attribute)) => (attribute, mirrored(comparison), value),
            _ => return Err(self.fault(at, "one side of a comparison is an attribute", None)),
        };
        self.comparison(at, attribute, comparison, value)
    }

    fn comparison(
        &mut self,
        at: &IdedExpr,
        attribute: Attribute,
        comparison: Comparison,
        value: Operand,
    ) -> Result<Predicate, Error> {
        let name = attribute.as_str();
        let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        match (attribute.kind(), value) {
            (Kind::Number, Operand::Number(number)) => Ok(Predicate::Number(attribute, comparison, number)),
            (Kind::Number, Operand::Text(text)) => {
                let meant = text.trim().parse::<i64>().ok();
                let meant = meant.map(|number| format!("{name} {} {number}", sign(comparison)));
                Err(self.fault(
                    at,
                    format!("{name} is a number and {} a text", quoted(&text)),
                    meant,
                ))
            }
            (Kind::Text, Operand::Text(text)) if is_equality => {
                let equals = Predicate::Text(attribute, TextTest::Equals, text.into());
                Ok(if comparison == Comparison::Equal {
                    equals
                } else {
                    Predicate::Not(Box::new(equals))
                })
            }
            (Kind::Text, Operand::Number(number)) if is_equality => {
                let meant = format!("{name} {} \"{number}\"", sign(comparison));
                Err(self.fault(at, format!("{name} is a text and {number} a number"), Some(meant)))
            }
            (Kind::Text, Operand::Text(_) | Operand::Number(_)) => {
                let hint = match attribute {
                    Attribute::Android => "; Android's versions have an order in sdk",
                    _ => "",
                };
                let fault = format!("{name} is a text, which is compared by == and in only{hint}");
                Err(self.fault(at, fault, None))
            }
            (Kind::List, Operand::Text(text)) if is_equality => {
                let meant = format!("{} in {name}", quoted(&text));
                let meant = match comparison {
                    Comparison::Equal => meant,
                    _ => format!("!({meant})"),
                };
                Err(self.fault(at, format!("{name} is a list"), Some(meant)))
            }
            (Kind::List, _) => Err(self.fault(
                at,
                format!("{name} is a list, which is asked by `in`"),
                Some(example(attribute)),
            )),
            (_, Operand::List(_)) => {
                let fault = format!("{name} is compared with one value by this; a list stands behind `in`");
                Err(self.fault(at, fault, None))
            }
            _ => Err(self.fault(
                at,
                format!("{name} is compared with a text or a whole number"),
                None,
            )),
        }
    }

    fn member(&mut self, at: &IdedExpr, one: &IdedExpr, other: &IdedExpr) -> Result<Predicate, Error> {
        match self.operands(one, other)? {
            (Operand::Attribute(attribute), Operand::List(literals)) => self.one_of(at, attribute, literals),
            (Operand::Text(text), Operand::Attribute(attribute)) if attribute.kind() == Kind::List => {
                Ok(Predicate::Lists(attribute, text.into()))
            }
            (Operand::Text(text), Operand::Attribute(attribute)) if attribute.kind() == Kind::Text => {
                let name = attribute.as_str();
                let meant = format!("{name} == {}", quoted(&text));
                Err(self.fault(at, format!("{name} is one text and no list"), Some(meant)))
            }
            (Operand::Attribute(attribute), Operand::Text(text)) => {
                let meant = match attribute.kind() {
                    Kind::List => format!("{} in {}", quoted(&text), attribute.as_str()),
                    _ => format!("{} in [{}]", attribute.as_str(), quoted(&text)),
                };
                Err(self.fault(at, "behind `in` stands a list", Some(meant)))
            }
            (Operand::Number(_), Operand::Attribute(attribute)) if attribute.kind() == Kind::List => {
                let fault = format!("{} is a list of texts", attribute.as_str());
                Err(self.fault(at, fault, None))
            }
            _ => {
                let fault = "`in` asks whether an attribute is one of a list, or whether a text is in tags, device_tags or abi";
                Err(self.fault(at, fault, None))
            }
        }
    }

    fn one_of(
        &mut self,
        at: &IdedExpr,
        attribute: Attribute,
        literals: Literals,
    ) -> Result<Predicate, Error> {
        let name = attribute.as_str();
        match (attribute.kind(), literals) {
            (Kind::Text, Literals::Texts(texts)) => Ok(Predicate::TextIn(attribute, Entries::new(texts))),
            (Kind::Text, Literals::None) => Ok(Predicate::TextIn(attribute, Entries::new(vec![]))),
            (Kind::Number, Literals::Numbers(mut numbers)) => {
                numbers.sort_unstable();
                Ok(Predicate::NumberIn(attribute, numbers.into()))
            }
            (Kind::Number, Literals::None) => Ok(Predicate::NumberIn(attribute, [].into())),
            (Kind::Text, Literals::Numbers(numbers)) => {
                let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                let meant = format!("{name} in {}", list(&texts));
                Err(self.fault(at, format!("{name} is a text and no number"), Some(meant)))
            }
            (Kind::Number, Literals::Texts(_)) => {
                let fault = format!("{name} is a number, and these are texts");
                Err(self.fault(at, fault, None))
            }
            (Kind::List, Literals::Texts(texts)) => {
                let each = |text: &String| format!("{} in {name}", quoted(text));
                let each: Vec<String> = texts.iter().take(3).map(each).collect();
                let meant = each.join(" || ");
                Err(self.fault(at, format!("{name} is a list itself"), Some(meant)))
            }
            (Kind::List, _) => {
                Err(self.fault(at, format!("{name} is a list itself"), Some(example(attribute))))
            }
        }
    }

    fn text_test(
        &mut self,
        at: &IdedExpr,
        target: &IdedExpr,
        test: TextTest,
        asked: &IdedExpr,
    ) -> Result<Predicate, Error> {
        match self.operands(target, asked)? {
            (Operand::Attribute(attribute), Operand::Text(text)) => match attribute.kind() {
                Kind::Text => Ok(Predicate::Text(attribute, test, text.into())),
                Kind::List => {
                    let name = attribute.as_str();
                    let meant = format!("{} in {name}", quoted(&text));
                    Err(self.fault(at, format!("{name} is a list"), Some(meant)))
                }
                Kind::Number => {
                    let fault = format!("{} is a number, of which no part is asked", attribute.as_str());
                    Err(self.fault(at, fault, None))
                }
            },
            _ => {
                let fault =
                    "startsWith, endsWith and contains ask an attribute for a text in quotation marks";
                Err(self.fault(at, fault, None))
            }
        }
    }

    fn stated(&mut self, asked: &IdedExpr) -> Result<Predicate, Error> {
        let Expr::Ident(name) = &asked.expr else {
            return Err(self.fault(
                asked,
                "has asks for an attribute by its name",
                Some("has(region)".to_owned()),
            ));
        };
        match self.attribute(asked, name)? {
            Attribute::Version => {
                let fault = "version is always known: it is 0 where the package is not installed";
                Err(self.fault(asked, fault, Some("version > 0".to_owned())))
            }
            Attribute::Tags => {
                Err(self.fault(asked, "tags are always known, even when a device has none", None))
            }
            attribute => Ok(Predicate::Stated(attribute)),
        }
    }

    fn unknown_function(&self, at: &IdedExpr, call: &CallExpr) -> Error {
        let name = &call.func_name;
        if FUNCTIONS.contains(&name.as_str()) {
            let usage = match name.as_str() {
                "has" => "has(region)".to_owned(),
                name => format!("model.{name}(\"Pixel\")"),
            };
            return self.fault(at, format!("{name} is written otherwise"), Some(usage));
        }
        let alike = most_alike(name, FUNCTIONS);
        let fault = match name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            true => format!("there is no function {name}: there are {}", FUNCTIONS.join(", ")),
            false => "this has no meaning in an audience".to_owned(),
        };
        self.fault(at, fault, alike.map(str::to_owned))
    }
}

const FUNCTIONS: [&str; 4] = ["startsWith", "endsWith", "contains", "has"];

/// Whether a call of this name answers true or false.
fn is_condition(name: &str) -> bool {
    let joins = [
        operators::LOGICAL_AND,
        operators::LOGICAL_OR,
        operators::LOGICAL_NOT,
        operators::IN,
    ];
    joins.contains(&name) || FUNCTIONS.contains(&name) || comparison(name).is_some()
}

fn most_alike<const N: usize>(name: &str, known: [&'static str; N]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let alike = known.map(|known| (strsim::jaro_winkler(&name, &known.to_ascii_lowercase()), known));
    let best = alike
        .into_iter()
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(alike, _)| *alike >= ALIKE).map(|(_, known)| known)
}

fn example(attribute: Attribute) -> String {
    let name = attribute.as_str();
    match attribute.kind() {
        Kind::Text => format!("{name} == \"…\""),
        Kind::Number => format!("{name} >= 30"),
        Kind::List => format!("\"…\" in {name}"),
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "==",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

/// The comparison with its sides exchanged.
fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}

fn text_test(name: &str) -> Option<TextTest> {
    Some(match name {
        "startsWith" => TextTest::StartsWith,
        "endsWith" => TextTest::EndsWith,
        "contains" => TextTest::Contains,
        _ => return None,
    })
}
