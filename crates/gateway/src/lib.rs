//! The tidegate binary.
