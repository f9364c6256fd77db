//! The house rules that a compiler does not check; the tests are in `tests/`.
