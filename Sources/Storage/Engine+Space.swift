package import Primitives

// Room on the disk. Values are refused while less is free than the reserve, so that tombstones, checkpoints and merging,
// which make room, still find some. Whoever else fills the disk can make an append fail all the same: then the file is
// cut back to what it was, the bytes stay in memory, nothing of them is acknowledged, and the same append is tried again
// later. That is safe for an append, whose bytes are still at hand; a sync is never tried again.

/// What is known of the room on the disk.
struct SpaceState {
  /// As the file system said last.
  var freeBytes: UInt64?
  /// Values are refused.
  var isShort = false
  /// The append that found no room.
  var refusal: StorageError?
  /// The append may be tried again.
  var mayRetry = false
  /// Something found no room since the last review.
  var wasRefused = false
  /// Values are refused until then at least, whatever is said to be free: a quota, for one, does not show there.
  var shortUntil: Instant?
  var lastRetry: Instant?
  var lastMeasured: Instant?
  /// Appended since the file system was asked.
  var appendedBytes: UInt64 = 0

  var mayAppend: Bool { refusal == nil || mayRetry }
}

extension Engine {
  /// How often the file system is asked for its free bytes.
  private static let measureMilliseconds: UInt64 = 1000
  /// It is asked as well after so many appended bytes.
  static let bytesPerSpaceReview: UInt64 = 16 << 20
  /// How often an append that found no room is tried again.
  package static let retryMilliseconds: UInt64 = 100
  /// How long values are refused at least after something found no room.
  package static let shortMillisecondsMin: UInt64 = 5000
  /// What must be free beyond the reserve before values are taken again is a quarter of it, and at least this.
  private static let marginBytesMin: UInt64 = 1 << 20

  /// Looks after the room on the disk: asks for it when that is due, and lets the next `flush` try an append again that
  /// found none. To be called at every tick, before `flush`.
  package func reviewSpace<FS: FileSystem & ~Copyable>(at now: Instant, on files: inout FS) {
    if space.wasRefused {
      space.wasRefused = false
      space.shortUntil = now.adding(milliseconds: Engine.shortMillisecondsMin)
    }
    if let until = space.shortUntil, until <= now { space.shortUntil = nil }
    if space.refusal != nil, isDue(space.lastRetry, Engine.retryMilliseconds, at: now) {
      space.lastRetry = now
      space.mayRetry = true
    }
    guard isDue(space.lastMeasured, Engine.measureMilliseconds, at: now) else { return }
    space.lastMeasured = now
    measureSpace(on: &files)
  }

  /// Whether values are refused for want of room. Tombstones are not, while any room is left.
  package var refusesValues: Bool { space.isShort }

  package var spaceStatus: SpaceStatus {
    SpaceStatus(
      freeBytes: space.freeBytes, reserveBytes: options.reserveBytes, resumeBytes: resumeBytes,
      isShort: space.isShort, refusal: space.refusal)
  }

  /// Something found no room.
  func noteOutOfSpace() {
    space.isShort = true
    space.wasRefused = true
  }

  func measureSpace<FS: FileSystem & ~Copyable>(on files: inout FS) {
    space.appendedBytes = 0
    // A file system that does not say is taken at its word when it refuses.
    space.freeBytes = try? files.freeBytes(at: directory)
    let left = space.freeBytes.map { $0 - min($0, unflushedBytes) }
    if let left, left < options.reserveBytes {
      space.isShort = true
    } else if space.refusal == nil, !space.wasRefused, space.shortUntil == nil, left.map({ $0 >= resumeBytes }) ?? true
    {
      space.isShort = false
    }
  }

  private var resumeBytes: UInt64 { options.reserveBytes + max(options.reserveBytes / 4, Engine.marginBytesMin) }

  private func isDue(_ last: Instant?, _ interval: UInt64, at now: Instant) -> Bool {
    last.map { now.milliseconds(since: $0) >= interval } ?? true
  }
}
