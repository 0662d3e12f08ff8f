// What a client may ask to have listed, and the parts in which it is told. A listing has no length that is known
// before, so it is answered in parts, each when the client has taken the one before.

/// All keys of a bucket, or all buckets of a bucket type that hold a key.
package struct ListRequest: Equatable, Sendable {
  package enum Subject: Equatable, Sendable {
    case keys(bucket: [UInt8])
    case buckets
  }
  /// Empty for the default bucket type, as in an `ObjectKey`.
  package var type: [UInt8] = []
  package var subject: Subject
  /// For the whole listing, milliseconds; nil for as long as it makes progress.
  package var timeoutMilliseconds: UInt32?
  package init(_ subject: Subject) { self.subject = subject }
}

/// One part of a listing. Any number of `names`, then one `end` or one `failed`.
package enum ListingPart: Equatable, Sendable {
  /// At least one more name; none is listed twice.
  case names(ListedNames)
  /// All names have been told.
  case end
  /// What was told so far is not all.
  case failed(ClientFailure)
}

/// Names one behind the other in one buffer, so that a million of them are not a million allocations.
package struct ListedNames: Equatable, Sendable {
  package private(set) var bytes: [UInt8] = []
  /// Where each name ends in `bytes`.
  private var ends: [Int] = []

  package init() {}

  package var count: Int { ends.count }
  package var isEmpty: Bool { ends.isEmpty }

  package mutating func append(_ name: ArraySlice<UInt8>) {
    bytes.append(contentsOf: name)
    ends.append(bytes.count)
  }

  package mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
  }

  /// Where the name with this number stands in `bytes`.
  package func place(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }
}
