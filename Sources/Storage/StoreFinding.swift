// What a check of files says: where, what, how grave, and which keys are near.

/// The keys around bytes that cannot be read, as they stand in records; nil where no record can be read.
package struct NearbyKeys: Equatable, Sendable {
  /// Of the last whole record before the damage.
  package var before: [UInt8]?
  /// What the damaged bytes themselves say, when they still look like a record: probably, not certainly, its key.
  package var hit: [UInt8]?
  /// Of the first whole record behind the damage.
  package var after: [UInt8]?

  package init(before: [UInt8]? = nil, hit: [UInt8]? = nil, after: [UInt8]? = nil) {
    self.before = before
    self.hit = hit
    self.after = after
  }
}

/// One thing that a check found.
package struct StoreFinding: Equatable, Sendable {
  package enum Gravity: String, Sendable {
    /// Something that was durable is gone or changed, or a node would not start with this.
    case error
    /// Nothing is lost: the next start puts it right by itself, or it only costs time.
    case note
  }

  package let gravity: Gravity
  package let path: String
  /// Where in the file; nil when it concerns all of it.
  package let offset: UInt64?
  package let text: String
  package let keys: NearbyKeys?

  package init(_ gravity: Gravity, _ path: String, at offset: UInt64? = nil, _ text: String, keys: NearbyKeys? = nil) {
    self.gravity = gravity
    self.path = path
    self.offset = offset
    self.text = text
    self.keys = keys
  }

  /// An error that reading ended with.
  package init(_ error: StorageError) {
    switch error {
    case .damaged(let path, let offset, let reason, let key):
      self.init(.error, path, at: offset, reason, keys: key.map { NearbyKeys(hit: $0) })
    case .missing(let path, let reason): self.init(.error, path, "it is missing: \(reason)")
    case .regressed(let path, let reason):
      self.init(.error, path, "it has gone back to an earlier state: \(reason)")
    case .incompatible(let path, let reason): self.init(.error, path, reason)
    case .io(_, let path, _), .locked(let path): self.init(.error, path, "\(error)")
    }
  }
}

/// What checks found, in the order they found it, up to a bound.
package struct StoreFindings: Equatable, Sendable {
  /// More are counted and not kept.
  package static let countMax = 1000

  package private(set) var all: [StoreFinding] = []
  package private(set) var errorCount = 0
  package private(set) var leftOut = 0

  package init() {}

  package var isClean: Bool { errorCount == 0 }

  package mutating func add(_ finding: StoreFinding) {
    if finding.gravity == .error { errorCount += 1 }
    if all.count < StoreFindings.countMax { all.append(finding) } else { leftOut += 1 }
  }
}
