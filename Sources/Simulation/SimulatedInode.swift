import Primitives

// One file of the simulated disk: its bytes, and what a crash leaves of them.

struct SimulatedInode {
  var bytes: [UInt8] = []
  /// Bytes from the start that survive a crash.
  var syncedLength = 0
  /// What an unsynced truncation took from the synced bytes; they begin at `bytes[syncedLength]`.
  var truncated: [UInt8] = []
  /// What a sync that failed was to cover: nobody knows whether it reached the device, whatever later syncs say.
  var doubtful: Range<Int>?
}

extension SimulatedInode {
  /// What is there now is what a crash leaves.
  mutating func settle() {
    syncedLength = bytes.count
    truncated = []
    doubtful = nil
  }

  /// A sync has failed: the system takes what it was to write for written.
  mutating func failSync() {
    if bytes.count > syncedLength { doubtful = min(doubtful?.lowerBound ?? syncedLength, syncedLength)..<bytes.count }
  }

  /// What was in doubt never reached the device.
  mutating func loseDoubtful() {
    guard let lost = doubtful?.clamped(to: 0..<bytes.count) else { return }
    for index in lost { bytes[index] = 0 }
  }

  mutating func loseUnsynced(using generator: inout SeededGenerator) {
    if doubtful != nil, generator.chance(1, in: 2) { loseDoubtful() }
    if !truncated.isEmpty && generator.chance(1, in: 2) {
      bytes.removeLast(bytes.count - syncedLength)
      bytes += truncated
      return settle()
    }
    let unsynced = bytes.count - syncedLength
    if unsynced > 0 {
      switch generator.below(4) {
      case 0: bytes.removeLast(unsynced)
      case 1: break
      default: bytes.removeLast(generator.below(unsynced + 1))
      }
      if generator.chance(1, in: 2) { tear(using: &generator) }
    }
    settle()
  }

  /// A stretch of what is unsynced never reached the device: it reads as zeros or as something else.
  private mutating func tear(using generator: inout SeededGenerator) {
    guard bytes.count > syncedLength else { return }
    let start = syncedLength + generator.below(bytes.count - syncedLength)
    let end = min(bytes.count, start + 1 + generator.below(512))
    let isZero = generator.chance(1, in: 2)
    for index in start..<end { bytes[index] = isZero ? 0 : UInt8(truncatingIfNeeded: generator.next()) }
  }
}
