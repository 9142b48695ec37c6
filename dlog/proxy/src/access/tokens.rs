use core::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::principal::is_name;

/// Maximum number of tokens: each request with a token is compared with all of them.
const MAX_TOKENS: usize = 1024;
/// Largest file of tokens, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Bytes of chance in a token that is made here.
const RANDOM_BYTES: usize = 32;
/// Longest token that is looked at.
const MAX_CHARS: usize = 4096;
/// Beginning of the tokens that are made here, by which scanners for secrets find them.
const PREFIX: &str = "dlog_";
/// Beginning of a hash in a file.
const HASH_PREFIX: &str = "sha256:";

type Hash = [u8; SHA256_OUTPUT_LEN];

/// Named tokens of HTTP clients: `Authorization: Bearer TOKEN`. The file has the SHA-256 of each
/// token, not the token. Clones share them, also when they are [replaced](Self::reload_file).
///
/// SHA-256 suffices, and no hash that is slow on purpose is needed: a token has 256 bits of chance,
/// so that no list of guesses contains it.
#[derive(Clone)]
pub struct HttpTokens(Arc<RwLock<Arc<[NamedToken]>>>);

struct NamedToken {
    name: Arc<str>,
    hash: Hash,
}

impl HttpTokens {
    /// Reads the file: one token a line, its name, blanks, and `sha256:` with 64 hex digits. Empty
    /// lines and those that begin with `#` have no meaning. Several tokens may have one name.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is wrong at a line that the error names.
    pub fn from_file(path: &Path) -> Result<Self, HttpTokensError> {
        Ok(Self(Arc::new(RwLock::new(read(path)?))))
    }

    /// Reads other tokens from a file. Requests that come from now on need one of those, also at a
    /// running proxy that has a clone of this value.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file). Nothing has changed then.
    pub fn reload_file(&self, path: &Path) -> Result<(), HttpTokensError> {
        let tokens = read(path)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tokens;
        Ok(())
    }

    /// Makes a token for a client of this name. Returns the token, and its line for the file.
    ///
    /// # Errors
    ///
    /// The name is no name of a client, or the system has no random numbers.
    pub fn generate(name: &str) -> Result<(String, String), &'static str> {
        if !is_name(name) || name.starts_with('#') || name.contains(char::is_whitespace) {
            return Err("a name has 1 to 256 bytes without blanks, and does not begin with #");
        }
        let mut random = [0; RANDOM_BYTES];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| "the system has no random numbers")?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let hash: String = hash(token.as_bytes())
            .map(|byte| format!("{byte:02x}"))
            .concat();
        Ok((token, format!("{name} {HASH_PREFIX}{hash}")))
    }

    /// Returns the name of the client with this token. All tokens are compared, in a time that does
    /// not depend on how much of one was right.
    pub(crate) fn find(&self, token: &[u8]) -> Option<Arc<str>> {
        if token.len() > MAX_CHARS {
            return None;
        }
        let given = hash(token);
        let tokens = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let mut found = None;
        // Bounded: MAX_TOKENS.
        for named in tokens.iter() {
            let pairs = named.hash.iter().zip(&given);
            let differing = pairs.fold(0, |sum, (one, other)| sum | (one ^ other));
            if core::hint::black_box(differing) == 0 {
                found = Some(Arc::clone(&named.name));
            }
        }
        found
    }
}

fn hash(token: &[u8]) -> Hash {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}

fn read(path: &Path) -> Result<Arc<[NamedToken]>, HttpTokensError> {
    let refuse = |line, detail: &dyn fmt::Display| HttpTokensError {
        path: path.to_owned(),
        line,
        detail: detail.to_string(),
    };
    let metadata = fs::metadata(path).map_err(|error| refuse(None, &error))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(refuse(None, &"it is too large for a file of tokens"));
    }
    let text = fs::read_to_string(path).map_err(|error| refuse(None, &error))?;
    let mut tokens: Vec<NamedToken> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let token = parse_line(line).map_err(|why| refuse(Some(number), &why))?;
        if tokens.iter().any(|other| other.hash == token.hash) {
            return Err(refuse(Some(number), &"the token is there twice"));
        }
        if tokens.len() == MAX_TOKENS {
            let what = format!("there are more than {MAX_TOKENS} tokens");
            return Err(refuse(Some(number), &what));
        }
        tokens.push(token);
    }
    Ok(tokens.into())
}

fn parse_line(line: &str) -> Result<NamedToken, &'static str> {
    const SHAPE: &str = "it is not a name and sha256: with 64 hex digits, which `dlog token new` \
                         makes";
    let mut words = line.split_whitespace();
    let (Some(name), Some(hash), None) = (words.next(), words.next(), words.next()) else {
        return Err(SHAPE);
    };
    if !is_name(name) {
        return Err("a name has 1 to 256 bytes");
    }
    let digits = hash.strip_prefix(HASH_PREFIX).ok_or(SHAPE)?.as_bytes();
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    if !is_hex || digits.len() != 2 * SHA256_OUTPUT_LEN {
        return Err(SHAPE);
    }
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let pair = core::str::from_utf8(pair).map_err(|_| SHAPE)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| SHAPE)?;
    }
    Ok(NamedToken {
        name: name.into(),
        hash: bytes,
    })
}

impl fmt::Debug for HttpTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpTokens")
    }
}

/// Error of a file of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTokensError {
    /// The file.
    pub path: PathBuf,
    /// Number of the line, from 1 on, if the error is of one.
    pub line: Option<usize>,
    /// Description of the error.
    pub detail: String,
}

impl fmt::Display for HttpTokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.line {
            Some(line) => write!(f, "{path}:{line}: {}", self.detail),
            None => write!(f, "{path}: {}", self.detail),
        }
    }
}

impl core::error::Error for HttpTokensError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens");
        fs::write(&path, text).expect("a file");
        (folder, path)
    }

    #[test]
    fn a_token_that_was_made_is_found_by_its_line_and_no_other() {
        let (alice, alice_line) = HttpTokens::generate("alice").expect("a token");
        let (again, again_line) = HttpTokens::generate("alice").expect("a token");
        let (bob, bob_line) = HttpTokens::generate("bob").expect("a token");
        assert_eq!((alice.len(), alice == again), (48, false));
        let (_folder, path) = file(&format!("# two\n{alice_line}\n\n  {again_line}\n"));
        let tokens = HttpTokens::from_file(&path).expect("valid");
        let found = |token: &str| tokens.find(token.as_bytes()).map(|name| name.to_string());
        assert_eq!(found(&alice).as_deref(), Some("alice"));
        assert_eq!(found(&again).as_deref(), Some("alice"));
        for wrong in [
            bob.as_str(),
            "",
            &alice[1..],
            &alice_line,
            &"x".repeat(5000),
        ] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        fs::write(&path, bob_line).expect("a file");
        tokens.reload_file(&path).expect("valid");
        assert_eq!((found(&alice), found(&bob).as_deref()), (None, Some("bob")));
        fs::write(&path, "bob").expect("a file");
        tokens.reload_file(&path).expect_err("no hash");
        assert_eq!(
            found(&bob).as_deref(),
            Some("bob"),
            "the former tokens stay"
        );
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_its_line() {
        let (_, line) = HttpTokens::generate("alice").expect("a token");
        for (text, says) in [
            ("\nalice\n".to_owned(), ":2: it is not a name and sha256:"),
            (line.replace("sha256:", "md5:"), ":1: it is not"),
            (line[..line.len() - 1].to_owned(), ":1: it is not"),
            (format!("{line} more"), ":1: it is not"),
            (format!("{line}\n{line}"), ":2: the token is there twice"),
        ] {
            let (_folder, path) = file(&text);
            let error = HttpTokens::from_file(&path).expect_err(&text).to_string();
            assert!(error.contains(says), "{error}");
        }
        for name in ["", "a b", "#a", "a\n"] {
            assert!(HttpTokens::generate(name).is_err(), "{name:?}");
        }
    }
}
