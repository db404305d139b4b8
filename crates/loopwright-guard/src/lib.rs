//! Detectors for what must not be kept or obeyed: text in, findings out. Nothing here stores or blocks by itself.
//!
//! [`Redactor`] finds personal data and secrets and masks them. Its detectors know shapes with their check digits (e-mail,
//! phone, payment card, IBAN, national ids, IP and hardware addresses, secrets), cues for names ("my name is …",
//! "Regards, …") and for what has no shape of its own (documents, dates of birth, coordinates), and the identifiers of
//! the text's own author, whatever their spacing, case or digit grouping. [`StreamRedactor`] does the same for a text that
//! arrives in pieces, [`Surrogates`] puts stand-ins in the place of masks and takes them back, [`secrets`] names the
//! class of each secret, [`check_input`] flags texts that try to take over a model or that carry a secret, [`injections`]
//! sees through disguises of the former, and [`LeakDetector`] tells when an answer repeats its instructions.
//!
//! ```
//! use loopwright_guard::{PiiKind, RedactPolicy, Redactor};
//!
//! let redactor = Redactor::new(&RedactPolicy::default());
//! let known = ["Mara Lindqvist".to_string()];
//! let masked = redactor.redact("mara here, write to m.l@mail.example about ORD-20481", &known);
//! assert_eq!(masked.text, "<PERSON> here, write to <EMAIL> about ORD-20481");
//! assert_eq!(masked.findings[1].kind, PiiKind::Email);
//! ```
//!
//! Masking what is masked already changes nothing: `redact` repeats its pass until nothing new is found, because a mask
//! may open a boundary that was closed before.

mod detect;
mod fold;
mod injection;
mod input;
mod kind;
mod leak;
mod overlap;
mod redact;
mod stream;
mod surrogate;

pub use detect::secret::{Secret, secret_rules, secrets};
pub use injection::injections;
pub use input::{Flag, FlagKind, check_input};
pub use kind::{Finding, PiiKind, RedactPolicy, Redacted};
pub use leak::{Leak, LeakDetector};
pub use redact::Redactor;
pub use stream::StreamRedactor;
pub use surrogate::{Mapping, MappingError, SealedMapping, Surrogates};
