//! Whole-product tests on real QEMU; the tests are in `tests/`.
