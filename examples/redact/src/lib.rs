//! Masks what should not stay in a log, in a stream of bytes of which only a window is in memory.
//!
//! ```
//! let mut log = Vec::new();
//! let text = b"bob@example.com paid with 4111 1111 1111 1111";
//! redact::Masker::new(false).mask(text, true, &mut log);
//! assert_eq!(log, b"[email] paid with [card ..1111]");
//! ```
//!
//! # What is masked
//!
//! - `[email]`: an e-mail address, of letters, digits and `._%+-`, with a domain that has a dot.
//!   `%40` is as good as `@`, and any byte that is not ASCII counts as a letter. Names such as
//!   `logo@2x.png` and `getty@tty1.service` stay.
//! - `[token]`: a JWT; what follows `Bearer` and is long enough for a token; a word that begins as
//!   the tokens of a well-known service do, such as `ghp_`, `sk-` or `AKIA`; the password in
//!   `https://user:password@host`.
//! - `[token]`: the value in `key=value`, `key: value` or `"key": "value"`, also within a string
//!   with `\"`, where the key ends in password, passwd, passphrase, secret, token, api_key,
//!   access_key, secret_key, private_key or authorization, in any case, with `_`, `-` or nothing
//!   between its parts. An unquoted value ends at white space and any of ``,;&"'`<>)]}\``. A quoted
//!   one ends at its quote, or at the end of the line. `null`, `true` and the like stay.
//! - `[card ..1234]`: 13 to 19 digits that pass the Luhn check, at a stretch, in groups of four, or
//!   grouped as Amex (4-6-5) and Diners (4-6-4) do, by single spaces or dashes. What begins with 0,
//!   1, 7, 20 or 21 stays: points in time do, and few cards, of airlines and for fuel.
//! - with `--strict`, `[ip]`: an IPv4 or IPv6 address; and `[token]`: a word of 32 or more letters,
//!   digits and `+/_-` that has both letters and digits, and goes from capitals to small letters
//!   to digits or back at least once in eight bytes.
//!
//! All other bytes pass as they are, UTF-8 or not. Colours (ESC `[`...`m`), escapes such as `\n` and
//! encoded bytes such as `%20` are not taken for a part of what follows them.
//!
//! # What is held back
//!
//! The last word, and as much more as may become a secret with the bytes to come, [`WINDOW`] at
//! most. A prompt such as `Password: ` passes at once. How the input is cut into reads makes no
//! difference to the output.
//!
//! A secret has to show what it is within a window: an address and a URL's password whole, a JWT
//! by its first dot, the others by their first bytes. From there on it is masked to its end, however long. A longer word
//! is cut at a slash in the second half of its window, or else at the end of the window, and the
//! parts are looked at one by one: a secret across such a cut may stay in part.

mod bytes;
mod card;
mod email;
mod key;
mod masker;
mod skim;
mod strict;
mod token;
mod view;
mod word;

pub use masker::Masker;
pub use view::WINDOW;
