//! SIP's nouns and machines. Pure: no tokio, no clock, no randomness of its own, no I/O.
