//! Command HMACs, signed download URLs, device and admin tokens.
