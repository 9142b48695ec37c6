//! The secret that a store and its clients share: each proves to the other that it knows the
//! secret, and neither sends it.
//!
//! The client's Tinit has a number drawn at random ([`NONCE`]). The server draws one too, and
//! answers with it and its proof ([`CHALLENGE`]); the client sends its Tinit again with its own
//! proof ([`PROOF`]). A proof is HMAC-SHA256 over who proves, both numbers and the client's hello,
//! so that one that was recorded is worth nothing on another connection, and one side's proof is
//! none of the other's.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// Key of Tinit's header with the client's random number. A client without a secret has none.
pub(super) const NONCE: &[u8] = b"dlog-store-nonce";
/// Key of Rinit's header with the server's random number and its proof.
pub(super) const CHALLENGE: &[u8] = b"dlog-store-challenge";
/// Key of the second Tinit's header with the client's proof.
pub(super) const PROOF: &[u8] = b"dlog-store-proof";

/// Size of a random number in bytes.
pub(super) const NONCE_BYTES: usize = 32;
/// Size of a proof in bytes.
const PROOF_BYTES: usize = 32;
/// Minimum and maximum length of a secret in bytes. Whoever sees a handshake can try secrets
/// against it at leisure: shorter ones could be guessed.
const SECRET_BYTES: core::ops::RangeInclusive<usize> = 16..=4096;

/// A number that one side of a handshake drew.
pub(super) type Nonce = [u8; NONCE_BYTES];

/// A secret that a store and its clients share. Clones share it, also when it is
/// [replaced](Self::reload_file).
#[derive(Clone)]
pub struct StoreSecret(Arc<RwLock<hmac::Key>>);

/// The side of a handshake that proves that it knows the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prover {
    Client,
    Server,
}

/// What a proof is about: one handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenge<'a> {
    pub(super) client: &'a Nonce,
    pub(super) server: &'a Nonce,
    /// The encoded hello.
    pub(super) hello: &'a [u8],
}

impl StoreSecret {
    /// Returns the secret with this text, of 16 to 4,096 bytes. One with less than 128 bits of
    /// chance, such as a word, can be guessed.
    ///
    /// # Errors
    ///
    /// The text is shorter or longer.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if !SECRET_BYTES.contains(&text.len()) {
            return Err("a secret has 16 to 4096 bytes");
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        Ok(Self(Arc::new(RwLock::new(key))))
    }

    /// Reads the secret from a file, which contains nothing else but an end of line.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or its content is not a secret.
    pub fn from_file(path: &Path) -> Result<Self, StoreSecretError> {
        let refuse = |detail: &dyn fmt::Display| StoreSecretError {
            path: path.to_owned(),
            detail: detail.to_string(),
        };
        let text = std::fs::read_to_string(path).map_err(|error| refuse(&error))?;
        Self::new(text.trim_end()).map_err(|error| refuse(&error))
    }

    /// Reads another secret from a file. Connections that begin from now on need that one, also
    /// those of a running server that has a clone of this value; open ones go on.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file). Nothing has changed then.
    pub fn reload_file(&self, path: &Path) -> Result<(), StoreSecretError> {
        let key = Self::from_file(path)?.key();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    fn key(&self) -> hmac::Key {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the proof of `prover` in a handshake.
    pub(super) fn prove(&self, prover: Prover, challenge: &Challenge<'_>) -> [u8; PROOF_BYTES] {
        let mut context = hmac::Context::with_key(&self.key());
        for part in challenge.parts(prover) {
            context.update(part);
        }
        let mut proof = [0; PROOF_BYTES];
        proof.copy_from_slice(context.sign().as_ref());
        proof
    }

    /// Returns true if `proof` is that of `prover`. The time that this takes does not depend on how
    /// much of it is right.
    pub(super) fn is_proof(&self, prover: Prover, challenge: &Challenge<'_>, proof: &[u8]) -> bool {
        let message = challenge.parts(prover).concat();
        hmac::verify(&self.key(), &message, proof).is_ok()
    }
}

impl Challenge<'_> {
    /// The parts of the message that is authenticated. All but the last have fixed lengths, so that
    /// no two handshakes have the same message.
    fn parts(&self, prover: Prover) -> [&[u8]; 4] {
        let label: &[u8] = match prover {
            Prover::Client => b"dlog store: client\0",
            Prover::Server => b"dlog store: server\0",
        };
        [label, self.client, self.server, self.hello]
    }
}

/// Draws a number for one handshake, or returns `None` if the system has no random numbers.
pub(super) fn nonce() -> Option<Nonce> {
    let mut nonce = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut nonce).ok()?;
    Some(nonce)
}

/// Splits the value of [`CHALLENGE`] into the server's number and its proof.
pub(super) fn split_challenge(value: &[u8]) -> Option<(Nonce, &[u8])> {
    let (nonce, proof) = value.split_first_chunk()?;
    (proof.len() == PROOF_BYTES).then_some((*nonce, proof))
}

impl fmt::Debug for StoreSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret must not get into logs.
        f.write_str("StoreSecret")
    }
}

/// Error of a file that does not contain a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSecretError {
    /// The file.
    pub path: PathBuf,
    /// Description of the error.
    pub detail: String,
}

impl fmt::Display for StoreSecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no secret in {}: {}", self.path.display(), self.detail)
    }
}

impl core::error::Error for StoreSecretError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_secret_one_side_and_one_handshake() {
        let secret = StoreSecret::new("sixteen or more!").expect("it is long enough");
        let (one, two) = ([1; NONCE_BYTES], [2; NONCE_BYTES]);
        let challenge = Challenge {
            client: &one,
            server: &two,
            hello: b"hello",
        };
        let proof = secret.prove(Prover::Client, &challenge);
        let holds = |secret: &StoreSecret, prover, challenge: &Challenge<'_>| {
            secret.is_proof(prover, challenge, &proof)
        };
        assert!(holds(&secret, Prover::Client, &challenge));
        assert!(!holds(&secret, Prover::Server, &challenge), "reflected");
        for other in [
            Challenge {
                client: &two,
                ..challenge
            },
            Challenge {
                server: &one,
                ..challenge
            },
            Challenge {
                hello: b"hello!",
                ..challenge
            },
        ] {
            assert!(!holds(&secret, Prover::Client, &other), "replayed");
        }
        let other = StoreSecret::new("seventeen or more").expect("it is long enough");
        assert!(!holds(&other, Prover::Client, &challenge));
        assert!(!secret.is_proof(Prover::Client, &challenge, &proof[..31]));
        assert!(StoreSecret::new("fifteen or less").is_err());
    }
}
