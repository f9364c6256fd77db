//! Real QEMU guests for the demo, the atlas and the tests.
