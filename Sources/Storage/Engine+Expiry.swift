import Causality
import Primitives

// Burying expired values (rule EXPIRY, Docs/DeleteProtocol.md): a tombstone of the value's own stamp takes its place, with a place
// of its own in the feed, and goes the way of all tombstones. By the order of their expiry, over all files of a store;
// when it may be done, and by whom, is decided above.

package enum BuryOutcome: Equatable, Sendable {
  /// So many were buried. More: others may be at once.
  case buried(Int, more: Bool)
  /// Nothing happened yet: a record must be read first.
  case cold(ColdRead)
  /// The disk does not take it now.
  case refused(DiskRefusal)
}

extension Engine {
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
  /// - Throws: `damaged` or `regressed` when the store is fenced, or what the file system said.
  package func bury<FS: FileSystem & ~Copyable>(
    in id: StoreID, at wallMilliseconds: UInt64, max countMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> BuryOutcome {
    let store = store(id)
    if let damage = store.damage { throw damage }
    var (buried, seen) = (0, 0)
    while let entry = store.expiries.nextBuriable(at: wallMilliseconds) {
      guard seen < countMax else { return .buried(buried, more: true) }
      seen += 1
      let key: [UInt8]
      do throws(StorageError) {
        switch try store.keyOfValue(entry, warm: warm, on: &files) {
        case .cold(let read): return seen > 1 ? .buried(buried, more: true) : .cold(read)
        case .passed:
          store.expiries.pass()
          continue
        case .key(let found): key = found
        }
      } catch {
        throw refuse(error, by: store, isReading: true)
      }
      if !options.rules.hold(.expiry) {
        store.drop(entry)
        buried += 1
        continue
      }
      let grave = StoredVersion(stamp: entry.stamp, isTombstone: true, value: [])
      // It is here, whatever the floor is by now: as one of a feed.
      switch try offer(grave, key: key, hash: entry.hash, to: id, .feed, warm: warm, on: &files) {
      case .applied: buried += 1
      case .cold(let read): return seen > 1 ? .buried(buried, more: true) : .cold(read)
      case .refused(let refusal): return .refused(refusal)
      case .equal, .newer, .belowFloor: store.expiries.pass()
      }
    }
    return .buried(buried, more: false)
  }
}

extension Bitcask {
  /// Without rule expiry: the value goes, and nothing takes its place.
  fileprivate func drop(_ entry: ExpiryIndex.Entry) {
    var position = keydir.first(entry.hash)
    while let slot = position, keydir.location(at: slot).digest != entry.stamp.digest {
      position = keydir.next(after: slot, entry.hash)
    }
    guard let slot = position else { return expiries.pass() }
    let location = keydir.location(at: slot)
    removeLive(location.byteCount, from: location.file)
    uncount(entry.hash, entry.stamp, tsn: 0, isTombstone: false, entry.expiry)
    keydir.remove(at: slot)
  }

  fileprivate enum ExpiredKey {
    case key([UInt8])
    case cold(ColdRead)
    /// Its record is damaged, which its repair sees to.
    case passed
  }

  /// The key of a value that expires, by its record.
  fileprivate func keyOfValue<FS: FileSystem & ~Copyable>(
    _ entry: ExpiryIndex.Entry, warm: WarmBytes?, on files: inout FS
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
        switch try wholeRecord(at: location, hash: entry.hash, warm: warm, mayBlock: !isFirst, on: &files) {
        case .cold(let read): return .cold(read)
        case .record(let bytes, let header):
          if header.stamp == entry.stamp { return .key(Array(bytes[header.keyOffset..<header.valueOffset])) }
        }
      } catch {
        guard case .damaged = error, damage == nil else { throw error }
        return .passed
      }
      isFirst = false
    }
    return .passed
  }
}
