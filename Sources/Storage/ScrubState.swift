// Where scrubbing is, between two chunks.

struct ScrubState {
  /// Where the pass goes on; what comes before it has been read, or was not there then.
  struct Place {
    var store: StoreID
    var file: UInt32
    var offset: UInt64
  }
  /// Nil between two passes.
  var place: Place?
  /// The next record is longer than a chunk.
  var bytesWanted = 0
  /// The chunk that is being read.
  var reading: (store: Bitcask, file: UInt32, read: ColdRead)?
  /// Of the pass under way.
  var bytesDone: UInt64 = 0
  /// Since the engine was opened.
  var bytesRead: UInt64 = 0
  var passes = 0
  /// The pass under way has left out what comes before the place where it began.
  var isPartial = false
}

/// What is to be done next.
package enum ScrubStep: Equatable, Sendable {
  /// Read this off the loop and give it to `scrubbed`, or say `scrubReadFailed`.
  case read(ColdRead)
  /// Everything was read once; the next call begins anew.
  case passEnded
}

/// What a chunk turned out to be.
package enum ScrubOutcome: Equatable, Sendable {
  case intact
  /// The file is gone meanwhile, or its store has been made anew.
  case isGone
  /// Damage, which is noted, at most so many stretches of it as the chunk has.
  case damaged([DamageNote])
  /// The store is fenced.
  case fenced(StoreID, StorageError)
}

package struct ScrubProgress: Equatable, Sendable {
  /// Of the pass under way, and of all sealed files now.
  package var bytesDone: UInt64
  package var bytesTotal: UInt64
  /// Of all passes since the engine was opened, and how many were completed.
  package var bytesRead: UInt64
  package var passes: Int
  /// The data file that is read, and how far it was; nil between passes.
  package var file: String?
  package var position: UInt64
}
