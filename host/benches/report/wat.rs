//! Guests that are made here, as text.

use std::fmt::Write;

use crate::source::random;

/// A module of WASI 0.1 that reads and writes `size` bytes at once.
pub(crate) fn relay(size: usize) -> String {
    let pages = 1 + size.div_ceil(65_536);
    format!(
        r#"
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") {pages})
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func (export "_start") (local $at i32) (local $end i32)
    (loop $more
      ;; The vector is at 0, what it came to at 8, the buffer at 64.
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const {size}))
      (call $check (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.eqz (i32.load (i32.const 8))) (then (return)))
      (local.set $at (i32.const 64))
      (local.set $end (i32.add (i32.const 64) (i32.load (i32.const 8))))
      (loop $rest
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (i32.sub (local.get $end) (local.get $at)))
        (call $check (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
        (br_if $rest (i32.lt_u (local.get $at) (local.get $end))))
      (br $more))))
"#
    )
}

/// A component of WASI 0.2 that ends at once, with so many functions, none of which is called. Each has
/// about 980 bytes, and 1750 when it is compiled.
pub(crate) fn large(functions: usize) -> String {
    let mut next = random();
    let mut text = String::from("(component (core module $m (memory 2)\n");
    for function in 0..functions {
        let _ = writeln!(text, "(func $f{function} (param $a i32) (param $b i32) (result i32)");
        for _ in 0..16 {
            let (one, another, place) = (next(), next(), next() % 0x1_0000);
            let callee = next() as usize % functions;
            let _ = writeln!(
                text,
                "(local.set $a (i32.add (i32.xor (local.get $a) (i32.const {one}))
                   (i32.load offset={place} (i32.and (local.get $b) (i32.const 0xfffc)))))
                 (if (i32.lt_u (local.get $a) (i32.const {another}))
                   (then (local.set $b (i32.rotl (local.get $a) (local.get $b))))
                   (else (i32.store offset={place} (i32.and (local.get $a) (i32.const 0xfffc))
                     (local.get $b))))"
            );
            if callee.is_multiple_of(4) {
                let call = "(local.set $b (call $f";
                let _ = writeln!(text, "{call}{callee} (local.get $b) (local.get $a)))");
            }
        }
        text.push_str("(local.get $b))\n");
    }
    text.push_str(
        "(func (export \"run\") (result i32) (i32.const 0)))
         (core instance $i (instantiate $m))
         (func $run (result (result)) (canon lift (core func $i \"run\")))
         (instance $run (export \"run\" (func $run)))
         (export \"wasi:cli/run@0.2.0\" (instance $run)))",
    );
    text
}
