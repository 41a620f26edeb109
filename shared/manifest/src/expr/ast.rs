//! A parsed expression.

use std::sync::Arc;

/// One operation, with the place in the text that an error about it names.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: usize,
    /// Length of the longest path below, which bounds the evaluator's recursion.
    pub depth: usize,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Minus,
    Plus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Coalesce,
    Equal,
    Unequal,
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

impl Binary {
    pub fn is_order(self) -> bool {
        matches!(self, Binary::Less | Binary::Greater | Binary::LessEqual | Binary::GreaterEqual)
    }

    /// The operator as it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Binary::Or => "||",
            Binary::And => "&&",
            Binary::Coalesce => "??",
            Binary::Equal => "==",
            Binary::Unequal => "!=",
            Binary::Less => "<",
            Binary::Greater => ">",
            Binary::LessEqual => "<=",
            Binary::GreaterEqual => ">=",
            Binary::In => "in",
            Binary::Matches => "matches",
            Binary::Contains => "contains",
            Binary::StartsWith => "startsWith",
            Binary::EndsWith => "endsWith",
            Binary::Range => "..",
            Binary::Add => "+",
            Binary::Subtract => "-",
            Binary::Multiply => "*",
            Binary::Divide => "/",
            Binary::Remainder => "%",
            Binary::Power => "**",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Name(Arc<str>),
    /// `#`, `#acc`, `#index`, or the `#` that a leading dot implies.
    Pointer(Arc<str>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    /// `a < b <= c`: every neighbouring pair holds; each side is evaluated once.
    Chain(Box<Node>, Vec<(Binary, Node)>),
    Member {
        of: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    Slice {
        of: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
    },
    /// `a ? b : c`; `a ?: c` has no middle.
    Conditional(Box<Node>, Option<Box<Node>>, Box<Node>),
    Let {
        name: Arc<str>,
        value: Box<Node>,
        body: Box<Node>,
    },
    Sequence(Vec<Node>),
    /// A built-in or Argo's own function.
    Call {
        name: Arc<str>,
        arguments: Vec<Node>,
    },
    /// `sprig.upper(x)`, or a method of a time: `now().Year()`.
    Method {
        of: Box<Node>,
        name: Arc<str>,
        arguments: Vec<Node>,
        optional: bool,
    },
}

impl Node {
    pub fn new(at: usize, kind: Kind) -> Node {
        let mut node = Node { at, depth: 0, kind };
        let mut below = 0;
        node.each(&mut |child| below = below.max(child.depth));
        node.depth = below + 1;
        node
    }

    /// Calls `visit` with every direct part.
    pub fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        match &self.kind {
            Kind::Nil | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => {}
            Kind::Text(_) | Kind::Name(_) | Kind::Pointer(_) => {}
            Kind::List(parts) | Kind::Sequence(parts) => parts.iter().for_each(visit),
            Kind::Map(pairs) => {
                for (key, value) in pairs {
                    visit(key);
                    visit(value);
                }
            }
            Kind::Unary(_, of) => visit(of),
            Kind::Binary(_, left, right) => {
                visit(left);
                visit(right);
            }
            Kind::Chain(first, rest) => {
                visit(first);
                rest.iter().for_each(|(_, node)| visit(node));
            }
            Kind::Member { of, key, .. } => {
                visit(of);
                visit(key);
            }
            Kind::Slice { of, from, to } => {
                visit(of);
                from.iter().chain(to).for_each(|node| visit(node));
            }
            Kind::Conditional(condition, yes, no) => {
                visit(condition);
                yes.iter().for_each(|yes| visit(yes));
                visit(no);
            }
            Kind::Let { value, body, .. } => {
                visit(value);
                visit(body);
            }
            Kind::Call { arguments, .. } => arguments.iter().for_each(visit),
            Kind::Method { of, arguments, .. } => {
                visit(of);
                arguments.iter().for_each(visit);
            }
        }
    }

    /// The `a` of `a.b['c']`.
    pub fn root(&self) -> &Node {
        let mut node = self;
        while let Kind::Member { of, .. } = &node.kind {
            node = of;
        }
        node
    }

    /// The names of `a.b['c']`, and whether one of them is reached by `?.`; None for anything computed.
    pub fn path(&self) -> Option<(Vec<&str>, bool)> {
        let (mut parts, mut guarded, mut node) = (Vec::new(), false, self);
        loop {
            match &node.kind {
                Kind::Name(name) => {
                    parts.push(&**name);
                    parts.reverse();
                    return Some((parts, guarded));
                }
                Kind::Member { of, key, optional } => {
                    let Kind::Text(key) = &key.kind else { return None };
                    parts.push(key);
                    guarded |= optional;
                    node = of;
                }
                _ => return None,
            }
        }
    }
}
