package import Causality
import Primitives

// The vocabulary of pulls: what one owner of a store asks another for, and what becomes of the answer.

/// A record that another owner asks for: a value or a tombstone, with the stamp that it always had.
package struct PulledRecord: Equatable, Sendable {
  package let key: [UInt8]
  package let version: StoredVersion
  package init(key: [UInt8], version: StoredVersion) {
    self.key = key
    self.version = version
  }
}

/// The records of one hash.
package enum VersionsOutcome: Equatable, Sendable {
  case records([PulledRecord])
  /// Nothing yet: a record must be read first.
  case cold(ColdRead)
}

/// The lowest stamp of the keys with one hash.
package enum StampOutcome: Equatable, Sendable {
  /// Nil when there is no such key.
  case stamp(Stamp?)
  /// Nothing yet: a record must be read first.
  case cold(ColdRead)
}

/// Records in the order of their hashes.
package enum RecordPageOutcome: Equatable, Sendable {
  /// `next` is the hash at which the following page begins; nil when the segment ends here.
  case page([PulledRecord], next: UInt64?)
  /// Nothing yet: the first record must be read first.
  case cold(ColdRead)
}

/// When a pull was asked for, in purges of the store that asked (rule GUARD).
package struct PullGeneration: Hashable, Sendable {
  let incarnation: Identity128
  let purges: UInt64
}

/// What became of a pulled version.
package enum PullOutcome: Equatable, Sendable {
  /// It is the newest now and stands in the log up to this position.
  case applied(LogPosition)
  /// The store held exactly this stamp already.
  case equal
  /// The store holds a higher stamp.
  case newer
  /// A key of this hash may have been purged since the pull was asked for, and the answer may be older than that. Discard
  /// it and ask again.
  case guarded
  /// Nothing happened yet: the existing record must be read first.
  case cold(ColdRead)
  /// Nothing happened: the disk does not take it now.
  case refused(DiskRefusal)
}

/// What became of a request to set a store aside.
package enum SetAsideOutcome: Equatable, Sendable {
  /// The store is given up; these steps move its directory to the one named.
  case steps([DiskStep], directory: String)
  /// Nothing happened: something under way still names its files. Ask again when that is done.
  case busy
  /// Nothing happened: so many directories are kept already.
  case full
}
