import Causality
import Primitives

// What the keydir knows of a record, in one word.

/// Where a record is: packed into 64 bits, never 0 (a record never stands at offset 0).
///     file index 14 | offset in 8-byte units 28 | length in 8-byte units, saturating, 12 | tombstone 1
///     | digest of the stamp 9
package struct Location: Equatable, Sendable {
  package let rawValue: UInt64
  package static let lengthUnitsMax = 4095

  init(rawValue: UInt64) { self.rawValue = rawValue }

  /// - Parameter digest: Of the record's stamp (`Stamp.digest`).
  package init(file: Int, offset: UInt64, byteCount: Int, isTombstone: Bool, digest: UInt16) {
    invariant(
      file < StorageLimits.filesMax && offset & 7 == 0 && offset >> 3 < 1 << 28 && offset > 0,
      "file \(file) offset \(offset) does not fit a slot")
    invariant(digest <= Stamp.digestMax, "\(digest) is no digest of a stamp")
    let units = UInt64(min(byteCount >> 3, Location.lengthUnitsMax))
    rawValue = UInt64(file) << 50 | (offset >> 3) << 22 | units << 10 | (isTombstone ? 1 << 9 : 0) | UInt64(digest)
  }

  /// The place alone, as an unwritten record of no length has it.
  init(file: Int, offset: UInt64) { rawValue = UInt64(file) << 50 | (offset >> 3) << 22 }

  /// File and offset.
  var place: UInt64 { rawValue >> 22 }

  /// Index into the store's table of live files.
  package var file: Int { Int(rawValue >> 50) }
  package var offset: UInt64 { (rawValue >> 22 & 0xFFF_FFFF) << 3 }
  /// Bytes of the record; when saturated it is at least this long.
  package var byteCount: Int { Int(rawValue >> 10 & 0xFFF) << 3 }
  package var isSaturated: Bool { rawValue >> 10 & 0xFFF == 0xFFF }
  package var isTombstone: Bool { rawValue & 1 << 9 != 0 }
  /// Of the record's stamp: enough to tell most versions of a key from each other without reading them.
  package var digest: UInt16 { UInt16(truncatingIfNeeded: rawValue) & Stamp.digestMax }
}
