import CLinux

// CRC32C of every record, frame and file header, through the processor's own instruction where there is one.

/// CRC-32C (Castagnoli) of `bytes`, continuing from `crc`.
@inline(__always)
package func crc32c(_ bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
  unsafe cairn_crc32c(crc, bytes.baseAddress, bytes.count)
}

/// CRC-32C of `bytes[range]`.
package func crc32c(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
  unsafe bytes.withUnsafeBytes { unsafe crc32c(UnsafeRawBufferPointer(rebasing: $0[range])) }
}

/// CRC-32C of all of `bytes`.
package func crc32c(_ bytes: [UInt8]) -> UInt32 { crc32c(bytes, 0..<bytes.count) }
