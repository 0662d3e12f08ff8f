package import Primitives

// What a repair did, and exactly what it could not do.

/// A stretch of a file that is not in the new store.
package struct UnsalvagedRange: Equatable, Sendable {
  package let path: String
  package let offset: UInt64
  /// In bytes; 0 when nobody can tell.
  package var length: UInt64
  package let reason: String
  /// It held, or may have held, something that was durable. What was never known to be durable, the next start of the
  /// old store would have cut off.
  package var isLoss: Bool
  package var keys: NearbyKeys

  package init(
    path: String, offset: UInt64, length: UInt64, reason: String, isLoss: Bool, keys: NearbyKeys = NearbyKeys()
  ) {
    self.path = path
    self.offset = offset
    self.length = length
    self.reason = reason
    self.isLoss = isLoss
    self.keys = keys
  }
}

/// What became of a store.
package struct RepairReport: Sendable {
  /// More stretches are counted and not kept.
  package static let rangesMax = 1000

  package let directory: String
  package let target: String
  package let store: StoreID
  package let incarnation: Identity128
  /// Of the new store.
  package let role: StoreRole
  package internal(set) var filesRead = 0
  package internal(set) var bytesRead: UInt64 = 0
  package internal(set) var filesWritten = 0
  package internal(set) var bytesWritten: UInt64 = 0
  package internal(set) var hintsWritten = 0
  /// Whole records that are in the new store, those from the journal among them.
  package internal(set) var records: UInt64 = 0
  package internal(set) var tombstones: UInt64 = 0
  /// Of `records`, those that a newer record of the same key stands beside.
  package internal(set) var superseded: UInt64 = 0
  /// Of `records`, those that only the journal had.
  package internal(set) var journalRecords: UInt64 = 0
  /// Records of the journal at or below the store's floor whose key is not there: perhaps old copies of a purged key,
  /// so that a start skips them too.
  package internal(set) var belowFloor: UInt64 = 0

  package private(set) var unsalvaged: [UnsalvagedRange] = []
  package private(set) var leftOut = 0
  package private(set) var lossCount = 0
  package private(set) var bytesLost: UInt64 = 0
  /// Bytes that are no record and were never known to be durable.
  package private(set) var bytesCut: UInt64 = 0
  /// What was left alone, and what else an operator should know.
  package internal(set) var notes = StoreFindings()

  init(directory: String, target: String, store: StoreID, incarnation: Identity128, role: StoreRole) {
    self.directory = directory
    self.target = target
    self.store = store
    self.incarnation = incarnation
    self.role = role
  }

  mutating func add(_ range: UnsalvagedRange) {
    if range.isLoss {
      lossCount += 1
      bytesLost += range.length
    } else {
      bytesCut += range.length
    }
    if unsalvaged.count < RepairReport.rangesMax { unsalvaged.append(range) } else { leftOut += 1 }
  }

  mutating func note(_ path: String, at offset: UInt64? = nil, _ text: String) {
    notes.add(StoreFinding(.note, path, at: offset, text))
  }
}
