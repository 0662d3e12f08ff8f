package import Causality
import Primitives

// The tombstone feed of the stores (rules FEED, PURGE and TSN HEAD, Docs/DeleteProtocol.md): what the other owners are told,
// what is taken from them, and what may be forgotten. When it may be is decided above.

/// Pages that were read lately: the other owners ask for the same one, each after the other.
struct FeedPageCache {
  struct Page {
    let store: Identity128
    let generation: UInt64
    let after: UInt64
    let upTo: UInt64
    let entriesMax: Int
    let bytesMax: Int
    let entries: [FeedEntry]
    let next: UInt64
  }

  static let pagesMax = 16
  private var pages: [Page] = []

  mutating func add(_ page: Page) {
    pages.removeAll { $0.store == page.store && $0.after == page.after }
    if pages.count >= FeedPageCache.pagesMax { pages.removeFirst() }
    pages.append(page)
  }

  /// A page that still holds: nothing of its store's feed was removed since.
  func find(
    _ store: Identity128, _ generation: UInt64, after tsn: UInt64, upTo last: UInt64, entriesMax: Int, bytesMax: Int
  ) -> Page? {
    pages.first {
      $0.store == store && $0.generation == generation && $0.after == tsn && $0.upTo == last
        && $0.entriesMax == entriesMax && $0.bytesMax == bytesMax
    }
  }
}

extension Engine {
  /// The highest position of the feed such that everything given up to it is durable (rule FEED).
  package func durableHead(_ id: StoreID) -> UInt64 {
    let store = store(id)
    guard options.rules.hold(.durableFeed) else { return store.manifest.tsnHead }
    store.feedHead.settle(durableCount)
    return store.feedHead.durable
  }

  /// The floor of the last manifest that is known to be written.
  package func durableFloor(_ id: StoreID) -> Stamp { store(id).durableFloor }

  /// Costs nothing.
  package func feedStatus(_ id: StoreID) -> FeedStatus {
    let store = store(id)
    let oldest = store.feed.oldest
    return FeedStatus(
      pending: store.feed.count, oldest: oldest?.stamp,
      oldestExpired: oldest.flatMap { $0.expired > 0 ? Expiry(milliseconds: UInt64($0.expired) * 1000) : nil },
      oldestTSN: oldest?.tsn, head: store.manifest.tsnHead)
  }

  /// The tombstones that stand in the feed behind `tsn` and are durable. What fences one of their hashes ends the page
  /// before it.
  /// - Parameters:
  ///   - last: Nothing above is told.
  ///   - entriesMax: At least one.
  ///   - bytesMax: Of keys, with 32 bytes for each entry; one entry may be longer.
  /// - Throws: `damaged` or `regressed` when the store is fenced.
  package func feedPage<FS: FileSystem & ~Copyable>(
    of id: StoreID, after tsn: UInt64, upTo last: UInt64? = nil, entriesMax: Int, bytesMax: Int, warm: WarmBytes?,
    on files: inout FS
  ) throws(StorageError) -> FeedPageOutcome {
    let store = store(id)
    let last = min(last ?? .max, durableHead(id))
    let cached = feedPages.find(
      store.manifest.incarnation, store.feed.generation, after: tsn, upTo: last, entriesMax: entriesMax,
      bytesMax: bytesMax)
    if let cached, store.damage == nil { return .page(cached.entries, next: cached.next) }
    do throws(StorageError) {
      let outcome = try store.feedPage(
        after: tsn, upTo: last, entriesMax: max(1, entriesMax), bytesMax: bytesMax, warm: warm, on: &files)
      if case .page(let entries, let next) = outcome, !entries.isEmpty {
        feedPages.add(
          FeedPageCache.Page(
            store: store.manifest.incarnation, generation: store.feed.generation, after: tsn, upTo: last,
            entriesMax: entriesMax, bytesMax: bytesMax, entries: entries, next: next))
      }
      return outcome
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }

  /// Takes a tombstone of another owner's feed: whatever the floor is, and also where its key is absent, because the
  /// acknowledgement says that it is here. What is newer stays (`newer`); the position of every outcome that has one is
  /// what must be durable before it is acknowledged.
  /// - Throws: What `apply` throws.
  package func applyFeed<FS: FileSystem & ~Copyable>(
    key: [UInt8], hash: UInt64, stamp: Stamp, to id: StoreID, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> ApplyOutcome {
    let store = store(id)
    // Nearly always it came with the delete itself. What damage fences may have been that very record.
    if let tsn = store.feed.position(of: key, hash: hash, stamp), store.damage == nil, store.damages.fencing == 0 {
      return .equal(tsn <= durableHead(id) ? durable : appended)
    }
    let version = StoredVersion(stamp: stamp, isTombstone: true, value: [])
    return try offer(version, key: key, hash: hash, to: id, .feed, warm: warm, on: &files)
  }

  /// Forgets tombstones from the front of the feed up to `tsn`, at most so many, and raises the floor above them. The
  /// conditions of rule PURGE are the caller's; that each is exactly the one that counts is seen to here.
  /// - Throws: `damaged` or `regressed` when the store is fenced.
  package func purgeFeed<FS: FileSystem & ~Copyable>(
    _ id: StoreID, upTo tsn: UInt64, max countMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> PurgeFeedOutcome {
    let store = store(id)
    do throws(StorageError) {
      let outcome = try store.purgeFeed(upTo: tsn, countMax: countMax, warm: warm, on: &files)
      if case .purged(let purged, _) = outcome, !purged.isEmpty { checkpoint.hasPurged = true }
      return outcome
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }
}
