//! The name of the transient unit that activates a VG.
