//! The example in docs/patches.md is a patch.
