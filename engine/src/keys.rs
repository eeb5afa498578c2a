//! Encryption at rest: three kinds of keys, and why no nonce is ever used twice.
//!
//! ```text
//! root key        the operator's, 32 bytes in a file; it never encrypts data
//!   └─ wraps ──► directory key    random, one for each data directory; lies wrapped in SUPER
//!                  └─ HKDF ──► data key    one for each life of a process, from the life's salt
//!                                └─ AES-256-GCM, nonce = place ──► the payload of one record
//! ```
//!
//! Another root key means another wrap and nothing else: no data is written again.
//!
//! **Invariant: under one data key, a nonce is used once.** The nonce is the record's place: segment and
//! offset. A process that opens a directory draws a salt of 128 random bits, writes it into the header
//! of every chunk that it writes, and encrypts with the key that follows from it; so a data key belongs to
//! one life of one process, and what must be shown is that one life never encrypts twice for one place:
//!
//! - A record is encrypted once, when it is appended. What is written, and written again by a disk that
//!   retries or splits a write, is the same bytes; the engine itself never writes a chunk twice, since a
//!   write that failed ends it.
//! - Within a chunk records lie one behind the other, and a chunk is opened behind the one before or at
//!   the beginning of a segment that was claimed for it (`log::gather`).
//! - A segment's number is claimed once (`log::segments`), by one of the two lanes: what is written
//!   aside never shares a segment with the log, and a recycled file has another number.
//! - A power cut, a kill, a clean stop: each ends the life, and with it the use of its key. A life with
//!   a key never goes on in a segment of the one before, not even after a clean stop.
//!
//! The last point needs nothing that a disk could forget or a person could copy: a directory that was
//! restored from a backup, or a disk that lost what it had flushed, repeats an incarnation's number, but
//! not its salt. (A counter in SUPER instead of the salt would; see docs/decisions/0013.)
//!
//! What is authenticated beside the payload: the record's place and incarnation, and all its fields. What
//! is *not* encrypted: those fields (kind, shard, log position, ballot, sizes), chunk headers, and SUPER.
//!
//! The engine has no randomness and reads no key files: both are handed in (`Encryption`).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt as HkdfSalt};
use zeroize::Zeroizing;

use crate::Identity;
use crate::bugs::{Bug, planted};
use crate::format::Place;
use crate::limits::SEAL_TAG_SIZE;

#[cfg(test)]
mod tests;

/// A key of any kind, in bytes.
pub const KEY_SIZE: usize = 32;
/// Tells the lives of processes apart, in bytes.
pub(crate) const SALT_SIZE: usize = 16;
/// A record's place and incarnation, in bytes.
const PLACE_SIZE: usize = 16;
/// The fields of a record that are not its payload, at most, in bytes.
const FIELDS_SIZE_MAX: usize = 80;

/// Drawn anew by every process that writes; in the header of each of its chunks.
pub(crate) type Salt = [u8; SALT_SIZE];

/// The operator's key. Never printed; its memory is cleared when it is dropped.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; KEY_SIZE]>);

/// What tells a root key from others without telling the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

/// What the engine is given so that it encrypts.
#[derive(Clone, PartialEq, Eq)]
pub struct Encryption {
    /// Opens the directory, or, when it is made, will open it.
    pub root: RootKey,
    /// Unpredictable bytes, drawn for this process alone. All that has to be random is derived from
    /// them: with the same ones again, all that was unpredictable is not.
    pub seed: Seed,
}

/// See `Encryption::seed`. Never printed; its memory is cleared when it is dropped.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; KEY_SIZE]>);

/// The directory key as it lies in SUPER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrap {
    /// The root key that opens it.
    pub(crate) root: KeyId,
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) sealed: [u8; KEY_SIZE],
    pub(crate) tag: [u8; SEAL_TAG_SIZE],
}

/// What all data keys of a directory follow from.
pub(crate) struct DirectoryKey(Zeroizing<[u8; KEY_SIZE]>);

/// Encrypts what one life of a process writes.
pub(crate) struct DataKey(LessSafeKey);

impl RootKey {
    /// A key of these bytes, which should be random.
    pub fn new(bytes: [u8; KEY_SIZE]) -> RootKey {
        RootKey(Zeroizing::new(bytes))
    }

    /// Safe to print.
    pub fn id(&self) -> KeyId {
        KeyId(derive(&*self.0, &[], &[b"evenkeel key id 1"]))
    }

    /// Locks a directory key. `seed` must not have been used for another wrap.
    pub(crate) fn wrap(&self, key: &DirectoryKey, identity: &Identity, seed: &Seed) -> Wrap {
        let nonce: [u8; NONCE_LEN] = seed.draw("wrap", 0, 0);
        let root = self.id();
        let mut sealed = *key.0;
        let tag = self
            .wrapping_key()
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(wrap_context(identity, root)),
                &mut sealed,
            )
            .expect("a key is shorter than what GCM can take");
        let tag = *tag.as_ref().first_chunk().expect("the tag of GCM has sixteen bytes");
        Wrap { root, nonce, sealed, tag }
    }

    /// `None`: it is another key, or the wrap is not as it was made.
    pub(crate) fn unwrap(&self, wrap: &Wrap, identity: &Identity) -> Option<DirectoryKey> {
        let mut key = DirectoryKey(Zeroizing::new([0; KEY_SIZE]));
        let opened = self.wrapping_key().open_separate_gather(
            Nonce::assume_unique_for_key(wrap.nonce),
            Aad::from(wrap_context(identity, wrap.root)),
            &wrap.sealed,
            &wrap.tag,
            &mut *key.0,
        );
        opened.is_ok().then_some(key)
    }

    fn wrapping_key(&self) -> LessSafeKey {
        aes(&derive::<KEY_SIZE>(&*self.0, &[], &[b"evenkeel wrapping key 1"]))
    }
}

impl Seed {
    /// These bytes, which must be unpredictable and must not be used twice.
    pub fn new(bytes: [u8; KEY_SIZE]) -> Seed {
        Seed(Zeroizing::new(bytes))
    }

    /// Bytes for one purpose. The numbers make a difference where a seed was used again nevertheless.
    pub(crate) fn draw<const SIZE: usize>(
        &self,
        purpose: &str,
        generation: u64,
        incarnation: u64,
    ) -> [u8; SIZE] {
        let [generation, incarnation] = [generation, incarnation].map(u64::to_le_bytes);
        derive(&*self.0, &[], &[b"evenkeel seed 1 ", purpose.as_bytes(), &generation, &incarnation])
    }
}

impl DirectoryKey {
    pub(crate) fn draw(seed: &Seed) -> DirectoryKey {
        DirectoryKey(Zeroizing::new(seed.draw("directory key", 0, 0)))
    }

    /// The key of the life that has this incarnation and drew this salt.
    pub(crate) fn data_key(&self, incarnation: u64, salt: &Salt) -> DataKey {
        let incarnation = incarnation.to_le_bytes();
        let salt: &[u8] = if planted(Bug::DataKeyOutlivesProcess) { &[] } else { salt };
        DataKey(aes(&derive::<KEY_SIZE>(&*self.0, salt, &[b"evenkeel data key 1", &incarnation])))
    }
}

impl DataKey {
    /// Encrypts `body` where it is; `fields` are the record's other bytes.
    pub(crate) fn seal(&self, place: Place, fields: &[u8], body: &mut [u8]) -> [u8; SEAL_TAG_SIZE] {
        let (context, size) = record_context(place, fields);
        let sealed =
            self.0.seal_in_place_separate_tag(nonce(place), Aad::from(&context[..size]), body);
        let tag = sealed.expect("a record is shorter than what GCM can take");
        *tag.as_ref().first_chunk().expect("the tag of GCM has sixteen bytes")
    }

    /// `None`: these are not the bytes that were encrypted with this key for this place.
    pub(crate) fn open(
        &self,
        place: Place,
        fields: &[u8],
        body: &[u8],
        tag: &[u8],
    ) -> Option<Vec<u8>> {
        let (context, size) = record_context(place, fields);
        let mut plain = vec![0; body.len()];
        let context = Aad::from(&context[..size]);
        let opened = self.0.open_separate_gather(nonce(place), context, body, tag, &mut plain);
        opened.is_ok().then_some(plain)
    }
}

/// See the module's text: under one data key, each place is written once.
fn nonce(place: Place) -> Nonce {
    let block = |offset: u32| offset / 4096 * 4096;
    let offset = if planted(Bug::ReusedNonce) { block(place.offset) } else { place.offset };
    let mut nonce = [0; NONCE_LEN];
    if !planted(Bug::WrongPlaceDecrypted) {
        nonce[..4].copy_from_slice(&place.segment.to_le_bytes());
        nonce[4..8].copy_from_slice(&offset.to_le_bytes());
    }
    Nonce::assume_unique_for_key(nonce)
}

/// What is authenticated beside the payload, and how many bytes it has.
fn record_context(place: Place, fields: &[u8]) -> ([u8; PLACE_SIZE + FIELDS_SIZE_MAX], usize) {
    let mut context = [0; PLACE_SIZE + FIELDS_SIZE_MAX];
    if !planted(Bug::WrongPlaceDecrypted) {
        context[..8].copy_from_slice(&place.incarnation.to_le_bytes());
        context[8..12].copy_from_slice(&place.segment.to_le_bytes());
        context[12..16].copy_from_slice(&place.offset.to_le_bytes());
    }
    let size = PLACE_SIZE + fields.len();
    if !planted(Bug::FieldsNotAuthenticated) {
        context[PLACE_SIZE..size].copy_from_slice(fields);
    }
    (context, size)
}

fn wrap_context(identity: &Identity, root: KeyId) -> [u8; 48] {
    let mut context = [0; 48];
    context[..20].copy_from_slice(b"evenkeel directory 1");
    context[24..32].copy_from_slice(&identity.cluster.to_le_bytes());
    context[32..40].copy_from_slice(&identity.node.to_le_bytes());
    context[40..].copy_from_slice(&root.0);
    context
}

fn aes(key: &[u8; KEY_SIZE]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes");
    LessSafeKey::new(key)
}

/// HKDF-SHA256 (RFC 5869).
fn derive<const SIZE: usize>(secret: &[u8], salt: &[u8], purpose: &[&[u8]]) -> [u8; SIZE] {
    let key: Prk = HkdfSalt::new(HKDF_SHA256, salt).extract(secret);
    let expanded = key.expand(purpose, Size(SIZE)).expect("less than 255 times a hash's size");
    let mut bytes = [0; SIZE];
    expanded.fill(&mut bytes).expect("it was expanded to this size");
    bytes
}

struct Size(usize);

impl KeyType for Size {
    fn len(&self) -> usize {
        self.0
    }
}

impl PartialEq for RootKey {
    fn eq(&self, other: &RootKey) -> bool {
        verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }
}

impl Eq for RootKey {}

impl PartialEq for Seed {
    fn eq(&self, other: &Seed) -> bool {
        verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }
}

impl Eq for Seed {}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RootKey({})", self.id())
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Encryption({})", self.root.id())
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seed(…)")
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DataKey(…)")
    }
}

impl fmt::Debug for DirectoryKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DirectoryKey(…)")
    }
}
