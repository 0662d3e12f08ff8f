import Causality
import Primitives

// Burying expired values (rule EXPIRY, Docs/DeleteProtocol.md): a tombstone of the value's own stamp takes its place, with a place
// of its own in the feed, and goes the way of all tombstones. By the order of their expiry, over all files of a store;
// when it may be done, and by whom, is decided above.

package enum BuryOutcome: Equatable, Sendable {
  /// So many were buried. More: others may be at once.
  case buried(Int, more: Bool)
  /// So many were buried; for others these records must be read first, all of them at once.
  case cold([ColdRead], buried: Int)
  /// The disk does not take it now.
  case refused(DiskRefusal)
}

extension Engine {
  /// Records that one burial asks the disk for, and their bytes; one record may be larger than that.
  package static let burialReadsMax = 32
  package static let burialReadBytesMax = 4 << 20

  /// Values of the store that count and expire.
  package func expiringCount(_ id: StoreID) -> Int { store(id).expiries.count }

  /// Those of them that may be buried at this time.
  package func buriableCount(_ id: StoreID, at wallMilliseconds: UInt64) -> Int {
    store(id).expiries.buriableCount(at: wallMilliseconds)
  }

  /// Some value of the store may be buried at this time.
  package func mayBury(_ id: StoreID, at wallMilliseconds: UInt64) -> Bool {
    store(id).expiries.nextBurial.map { $0 <= wallMilliseconds } ?? false
  }

  /// Looks at no more than so many values that may be buried at this time. Those of hashes that damage fences are passed over: they come
  /// back from other owners.
  /// - Parameter warm: What the reads brought that the burial before this one asked for.
  /// - Throws: `damaged` or `regressed` when the store is fenced, or what the file system said.
  package func bury<FS: FileSystem & ~Copyable>(
    in id: StoreID, at wallMilliseconds: UInt64, max countMax: Int, warm: [WarmBytes], on files: inout FS
  ) throws(StorageError) -> BuryOutcome {
    let store = store(id)
    if let damage = store.damage { throw damage }
    let entries = store.expiries.nextBuriable(at: wallMilliseconds, max: countMax)
    var buried = 0
    var reads: [ColdRead] = []
    for entry in entries {
      switch try bury(entry, in: store, warm: warm, on: &files) {
      case .buried: buried += 1
      case .cold(let read):
        reads.append(read)
        let bytes = reads.reduce(0) { $0 + $1.count }
        if reads.count >= Self.burialReadsMax || bytes >= Self.burialReadBytesMax {
          return .cold(reads, buried: buried)
        }
      // Only what is read meanwhile comes before it: then it is passed over.
      case .passed: if reads.isEmpty { store.expiries.pass(entry) }
      case .refused(let refusal): return .refused(refusal)
      }
    }
    guard reads.isEmpty else { return .cold(reads, buried: buried) }
    if entries.count < countMax { store.expiries.beginAnew() }
    return .buried(buried, more: entries.count >= countMax)
  }

  private enum Burial {
    case buried
    case cold(ColdRead)
    case passed
    case refused(DiskRefusal)
  }

  private func bury<FS: FileSystem & ~Copyable>(
    _ entry: ExpiryIndex.Entry, in store: Bitcask, warm: [WarmBytes], on files: inout FS
  ) throws(StorageError) -> Burial {
    let key: [UInt8]
    let own: WarmBytes?
    do throws(StorageError) {
      switch try store.keyOfValue(entry, warm: warm, on: &files) {
      case .cold(let read): return .cold(read)
      case .passed: return .passed
      case .key(let found, let bytes): (key, own) = (found, bytes)
      }
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
    if !options.rules.hold(.expiry) { return store.drop(entry) ? .buried : .passed }
    let grave = StoredVersion(stamp: entry.stamp, isTombstone: true, value: [])
    // It is here, whatever the floor is by now: as one of a feed.
    switch try offer(grave, key: key, hash: entry.hash, to: store.id, .feed, warm: own, on: &files) {
    case .applied: return .buried
    case .cold(let read): return .cold(read)
    case .refused(let refusal): return .refused(refusal)
    case .equal, .newer, .belowFloor: return .passed
    }
  }
}

extension Bitcask {
  /// Without rule expiry: the value goes, and nothing takes its place. - Returns: Whether it was there.
  fileprivate func drop(_ entry: ExpiryIndex.Entry) -> Bool {
    var position = keydir.first(entry.hash)
    while let slot = position, keydir.location(at: slot).digest != entry.stamp.digest {
      position = keydir.next(after: slot, entry.hash)
    }
    guard let slot = position else { return false }
    let location = keydir.location(at: slot)
    removeLive(location.byteCount, from: location.file)
    uncount(entry.hash, entry.stamp, tsn: 0, isTombstone: false, entry.expiry)
    keydir.remove(at: slot)
    return true
  }

  fileprivate enum ExpiredKey {
    /// With the bytes that its record was taken from, where the disk brought them.
    case key([UInt8], WarmBytes?)
    case cold(ColdRead)
    /// Its record is damaged, which its repair sees to.
    case passed
  }

  /// The key of a value that expires, by its record.
  fileprivate func keyOfValue<FS: FileSystem & ~Copyable>(
    _ entry: ExpiryIndex.Entry, warm: [WarmBytes], on files: inout FS
  ) throws(StorageError) -> ExpiredKey {
    if damages.fencing > 0, damages.fencing(entry.hash) != nil { return .passed }
    var position = keydir.first(entry.hash)
    // From the second on, as in `keys`: an answer of the disk brings one record.
    var isFirst = true
    while let slot = position {
      position = keydir.next(after: slot, entry.hash)
      let location = keydir.location(at: slot)
      guard !location.isTombstone, location.digest == entry.stamp.digest else { continue }
      do throws(StorageError) {
        let own = try bytes(of: location, among: warm, on: &files)
        switch try wholeRecord(at: location, hash: entry.hash, warm: own, mayBlock: !isFirst, on: &files) {
        case .cold(let read): return .cold(read)
        case .record(let bytes, let header):
          if header.stamp == entry.stamp { return .key(Array(bytes[header.keyOffset..<header.valueOffset]), own) }
        }
      } catch {
        guard case .damaged = error, damage == nil else { throw error }
        return .passed
      }
      isFirst = false
    }
    return .passed
  }

  private func bytes<FS: FileSystem & ~Copyable>(
    of location: Location, among warm: [WarmBytes], on files: inout FS
  ) throws(StorageError) -> WarmBytes? {
    guard !warm.isEmpty else { return nil }
    let file = try handle(location.file, on: &files)
    return warm.first { $0.read.file == file && $0.read.offset == location.offset }
  }
}
