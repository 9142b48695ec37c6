use core::fmt;
use core::ops::Range;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::limits::Rates;
use super::operation::{Operation, Operations, Scope};
use super::pattern::Pattern;
use super::principal::{Authentication, Principal};

/// Largest file of rules, in bytes, and maximum number of its rules and of its limits.
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_RULES: usize = 4096;

/// Range of the limits: beyond, a second has no room for the cost of one.
const RATES: core::ops::RangeInclusive<u64> = 1..=1_000_000_000_000;

/// The rules of an authorisation file. A request is allowed if any rule allows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    limits: Vec<Limit>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    principals: Vec<Who>,
    streams: Vec<Pattern>,
    may: Operations,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    principals: Vec<Who>,
    rates: Rates,
}

/// The clients that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// All clients.
    Everyone,
    /// Clients of this machine that have not shown who they are.
    Loopback,
    /// All other clients that have not shown who they are.
    Anonymous,
    /// Clients whose name matches.
    Named(Pattern),
}

impl Who {
    fn parse(text: &str) -> Self {
        match text {
            "*" => Self::Everyone,
            "loopback" => Self::Loopback,
            "anonymous" => Self::Anonymous,
            named => Self::Named(Pattern::new(named)),
        }
    }

    fn is(&self, principal: &Principal) -> bool {
        match self {
            Self::Everyone => true,
            Self::Loopback => principal.how() == Authentication::Loopback,
            Self::Anonymous => principal.how() == Authentication::Anonymous,
            Self::Named(pattern) => principal.name().is_some_and(|name| pattern.matches(name)),
        }
    }
}

/// What the rules grant to one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants(Vec<(Vec<Pattern>, Operations)>);

impl Grants {
    /// Returns true if the client may do this.
    pub(crate) fn allow(&self, operation: Operation, scope: Scope<'_>) -> bool {
        let mut granted = self.0.iter().filter(|(_, may)| may.has(operation));
        granted.any(|(streams, _)| match scope {
            Scope::Stream(name) => streams.iter().any(|pattern| pattern.matches(name)),
            Scope::AnyStream => true,
            Scope::Whole => streams.iter().any(Pattern::is_any),
        })
    }

    /// Returns each pattern of streams with what the client may do there.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, Operations)> {
        self.0
            .iter()
            .flat_map(|(streams, may)| streams.iter().map(|pattern| (pattern.text(), *may)))
    }

    /// Returns what the client may do with some stream.
    pub(crate) fn anywhere(&self) -> Operations {
        let all = self.0.iter().map(|(_, may)| *may);
        all.fold(Operations::default(), Operations::union)
    }
}

impl Rules {
    /// Returns what the rules grant to a client.
    pub(crate) fn grants(&self, principal: &Principal) -> Grants {
        let rules = self.rules.iter();
        let its = rules.filter(|rule| rule.principals.iter().any(|who| who.is(principal)));
        Grants(its.map(|rule| (rule.streams.clone(), rule.may)).collect())
    }

    /// Returns the limits of a client: those of the first entry that names it.
    pub(crate) fn rates(&self, principal: &Principal) -> Option<Rates> {
        let mut limits = self.limits.iter();
        let its = limits.find(|limit| limit.principals.iter().any(|who| who.is(principal)));
        its.map(|limit| limit.rates)
    }

    /// Reads an authorisation file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is wrong at a line that the error names.
    pub(crate) fn from_file(path: &Path) -> Result<Self, AuthorizationError> {
        let refuse = |line, detail: String| AuthorizationError {
            path: path.to_owned(),
            line,
            detail,
        };
        let read = fs::metadata(path).and_then(|metadata| {
            if metadata.len() > MAX_FILE_BYTES {
                let what = format!("it has more than {MAX_FILE_BYTES} bytes");
                return Err(std::io::Error::other(what));
            }
            fs::read_to_string(path)
        });
        let text = read.map_err(|error| refuse(None, error.to_string()))?;
        Self::parse(&text).map_err(|(line, detail)| refuse(line, detail))
    }

    /// Parses the text of an authorisation file. An error has the number of its line, if it is of
    /// one.
    pub(crate) fn parse(text: &str) -> Result<Self, (Option<usize>, String)> {
        let line_of = |span: &Range<usize>| {
            let before = text.as_bytes().get(..span.start).unwrap_or_default();
            1 + before.iter().filter(|byte| **byte == b'\n').count()
        };
        let file: RulesFile = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(&span));
            (line, error.message().to_owned())
        })?;
        if file.rule.len() > MAX_RULES || file.limit.len() > MAX_RULES {
            return Err((
                None,
                format!("it has more than {MAX_RULES} rules or limits"),
            ));
        }
        let at = |span: Range<usize>, what: String| (Some(line_of(&span)), what);
        let rules = file
            .rule
            .into_iter()
            .map(|rule| rule.check().map_err(|it| at(it.0, it.1)));
        let limits = file.limit.into_iter();
        let limits = limits.map(|limit| limit.check().map_err(|it| at(it.0, it.1)));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            limits: limits.collect::<Result<_, _>>()?,
        })
    }
}

/// An authorisation file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    #[serde(default)]
    rule: Vec<RuleEntry>,
    #[serde(default)]
    limit: Vec<LimitEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    principals: Spanned<Vec<Spanned<String>>>,
    streams: Spanned<Vec<Spanned<String>>>,
    may: Spanned<Vec<Spanned<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitEntry {
    principals: Spanned<Vec<Spanned<String>>>,
    requests_per_second: Option<Spanned<u64>>,
    bytes_per_second: Option<Spanned<u64>>,
}

type SpannedError = (Range<usize>, String);

impl RuleEntry {
    fn check(self) -> Result<Rule, SpannedError> {
        let principals = parse_principals(self.principals)?;
        let streams = texts(self.streams, "streams", |text| {
            let wrong = text.is_empty() || text.starts_with('/');
            if wrong {
                return Err("names of streams begin without a /, and are not empty".to_owned());
            }
            Ok(Pattern::new(text))
        })?;
        let may = texts(self.may, "may", |text| {
            let mut all = Operation::ALL.into_iter();
            let known = all.find(|operation| operation.name() == text);
            known.ok_or_else(|| format!("{text:?} is none of read, write, create and admin"))
        })?;
        Ok(Rule {
            principals,
            streams,
            may: may
                .into_iter()
                .fold(Operations::default(), Operations::with),
        })
    }
}

impl LimitEntry {
    fn check(self) -> Result<Limit, SpannedError> {
        let span = self.principals.span();
        let principals = parse_principals(self.principals)?;
        let rate = |given: Option<Spanned<u64>>| match given {
            Some(rate) if !RATES.contains(rate.get_ref()) => {
                let (least, most) = (RATES.start(), RATES.end());
                Err((
                    rate.span(),
                    format!("a limit must be within {least} to {most}"),
                ))
            }
            given => Ok(given.map(Spanned::into_inner)),
        };
        let rates = Rates {
            requests: rate(self.requests_per_second)?,
            bytes: rate(self.bytes_per_second)?,
        };
        if rates == Rates::default() {
            let what = "a limit needs requests_per_second or bytes_per_second, or both";
            return Err((span, what.to_owned()));
        }
        Ok(Limit { principals, rates })
    }
}

fn parse_principals(given: Spanned<Vec<Spanned<String>>>) -> Result<Vec<Who>, SpannedError> {
    texts(given, "principals", |text| {
        if text.is_empty() {
            return Err("the name of a principal is empty".to_owned());
        }
        Ok(Who::parse(text))
    })
}

/// Parses each text of a list, which must not be empty.
fn texts<T>(
    given: Spanned<Vec<Spanned<String>>>,
    what: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, SpannedError> {
    let span = given.span();
    let given = given.into_inner();
    if given.is_empty() {
        return Err((
            span,
            format!("{what} is empty: the entry would have no effect"),
        ));
    }
    let parse = |text: Spanned<String>| parse(text.get_ref()).map_err(|why| (text.span(), why));
    given.into_iter().map(parse).collect()
}

/// Error of an authorisation file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationError {
    /// The file.
    pub path: PathBuf,
    /// Number of the line, from 1 on, if the error is of one.
    pub line: Option<usize>,
    /// Description of the error.
    pub detail: String,
}

impl fmt::Display for AuthorizationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.line {
            Some(line) => write!(f, "{path}:{line}: {}", self.detail),
            None => write!(f, "{path}: {}", self.detail),
        }
    }
}

impl core::error::Error for AuthorizationError {}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    const FILE: &str = r#"
# Who may do what.
[[rule]]
principals = ["alice", "*.writers.example.org"]
streams = ["orders-*", "audit"]
may = ["read", "write"]

[[rule]]
principals = ["loopback"]
streams = ["*"]
may = ["read", "write", "create", "admin"]

[[rule]]
principals = ["*"]
streams = ["public"]
may = ["read"]

[[limit]]
principals = ["alice"]
requests_per_second = 100

[[limit]]
principals = ["*"]
requests_per_second = 1000
bytes_per_second = 1_000_000
"#;

    fn named(name: &str) -> Principal {
        Principal::of_token(name.into())
    }

    fn address(ip: [u8; 4]) -> Principal {
        Principal::of_address(IpAddr::from(ip))
    }

    #[test]
    fn a_request_is_allowed_if_any_rule_allows_it() {
        use Operation::{Admin, Create, Read, Write};
        let rules = Rules::parse(FILE).expect("a valid file");
        let orders = Scope::Stream("orders-1");
        for (principal, operation, scope, allowed) in [
            (named("alice"), Read, orders, true),
            (named("alice"), Write, orders, true),
            (named("alice"), Write, Scope::Stream("audit"), true),
            (named("alice"), Write, Scope::Stream("audit-1"), false),
            (named("alice"), Create, orders, false),
            (named("alice"), Admin, Scope::AnyStream, false),
            (named("alice"), Read, Scope::Stream("public"), true),
            (named("alice"), Read, Scope::AnyStream, true),
            (named("alice"), Read, Scope::Whole, false),
            (named("p1.writers.example.org"), Write, orders, true),
            (named("bob"), Write, orders, false),
            (named("bob"), Read, Scope::AnyStream, true),
            // A name is no address: nobody becomes a client of this machine by being called so.
            (named("loopback"), Write, orders, false),
            (address([127, 0, 0, 1]), Admin, Scope::Whole, true),
            (address([10, 0, 0, 5]), Read, orders, false),
            (address([10, 0, 0, 5]), Read, Scope::Stream("public"), true),
        ] {
            let found = rules.grants(&principal).allow(operation, scope);
            assert_eq!(found, allowed, "{principal} {operation} {scope}");
        }
    }

    #[test]
    fn the_first_limit_that_names_a_client_is_its() {
        let rules = Rules::parse(FILE).expect("a valid file");
        let of = |principal| rules.rates(&principal).expect("a limit");
        assert_eq!(
            (of(named("alice")).requests, of(named("alice")).bytes),
            (Some(100), None)
        );
        assert_eq!(of(named("bob")).bytes, Some(1_000_000));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_its_line() {
        for (text, line, says) in [
            ("[[rule]\n", 1, "unclosed"),
            ("\n[[rules]]\n", 2, "unknown field `rules`"),
            (
                "[[rule]]\nprincipals = [\"a\"]\nmay = [\"read\"]\n",
                1,
                "missing field `streams`",
            ),
            (
                "[[rule]]\nprincipals = [\"a\"]\nstreams = [\"*\"]\nmay = [\"read\",\n\"rite\"]\n",
                5,
                "\"rite\" is none of read, write, create and admin",
            ),
            (
                "[[rule]]\nprincipals = []\nstreams = [\"*\"]\nmay = [\"read\"]\n",
                2,
                "principals is empty",
            ),
            (
                "[[rule]]\nprincipals = [\"a\"]\nstreams = [\"/x\"]\nmay = [\"read\"]\n",
                3,
                "begin without a /",
            ),
            ("[[limit]]\nprincipals = [\"a\"]\n", 2, "a limit needs"),
            (
                "[[limit]]\nprincipals = [\"a\"]\nbytes_per_second = 0\n",
                3,
                "must be within 1 to",
            ),
            (
                "[[limit]]\nprincipals = [\"a\"]\nbytes_per_second = \"1MB\"\n",
                3,
                "invalid type",
            ),
        ] {
            let (found, detail) = Rules::parse(text).expect_err(text);
            assert!(detail.contains(says), "{detail}");
            assert_eq!(found, Some(line), "{text} {detail}");
        }
        assert_eq!(Rules::parse(""), Ok(Rules::default()));
        let missing = Rules::from_file(Path::new("/nowhere/rules.toml")).expect_err("missing");
        assert!(
            missing.to_string().starts_with("/nowhere/rules.toml: "),
            "{missing}"
        );
    }
}
