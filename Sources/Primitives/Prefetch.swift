import CLinux

// A hint to the processor: memory that is needed soon, and that nobody has to wait for meanwhile.

/// Brings the line of memory at `address` into the caches without waiting for it. Any address is fine.
package func prefetch(_ address: UnsafeRawPointer) { unsafe cairn_prefetch(address) }
