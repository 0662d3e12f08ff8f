import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// The feed in a drive: tombstones of others taken, own ones told and forgotten, cursors and promises.

extension RandomDrive {
  /// Forgets what stands first in a feed, as far as it is durable.
  mutating func purgeFeed() throws {
    let id = Rig.seeds[generator.below(2)].id
    let head = rig.engine.durableHead(id)
    let (purged, _) = try rig.purgeFeed(id, upTo: head, max: 1 + generator.below(4))
    for gone in purged {
      // Keys may share their hash, and here even their stamps.
      let wanted = StoredVersion(stamp: gone.stamp, isTombstone: true, value: [])
      let key = try keys.first { key in
        try rig.hash(key) == gone.hash && rig.store(of: key) == id && model.current(key) == wanted
          && rig.lookup(key) == .absent
      }
      guard let key else {
        Issue.record("what was forgotten was no tombstone that counted")
        return
      }
      #expect(gone.tsn <= head)
      #expect(model.newest(key, upTo: rig.engine.durable.rawValue) == wanted, "forgotten before it was durable")
      model.purge(key, gone.stamp, in: id)
    }
  }

  /// The feed has the tombstones that count and are durable, in order, whatever the pages are.
  mutating func readFeed() throws {
    let id = Rig.seeds[generator.below(2)].id
    let head = rig.engine.durableHead(id)
    var entries: [FeedEntry] = []
    var after: UInt64 = 0
    let (count, bytes) = (1 + generator.below(5), 1 + generator.below(200))
    while after < head {
      let page = try rig.feedPage(of: id, after: after, entriesMax: count, bytesMax: bytes)
      #expect(page.next > after && page.next <= head && page.entries.count <= count)
      #expect(page.entries.allSatisfy { $0.tsn > after && $0.tsn <= page.next })
      // The next one to ask gets the same.
      let again = try rig.feedPage(of: id, after: after, entriesMax: count, bytesMax: bytes)
      #expect(again.entries == page.entries && again.next == page.next)
      entries += page.entries
      after = page.next
    }
    #expect(zip(entries, entries.dropFirst()).allSatisfy { $0.tsn < $1.tsn })
    let durable = rig.engine.durable.rawValue
    for entry in entries {
      let version = StoredVersion(stamp: entry.stamp, isTombstone: true, value: [])
      #expect(model.current(entry.key) == version, "the feed tells of what does not count")
      #expect(model.newest(entry.key, upTo: durable) == version, "the feed tells of what is not durable")
    }
    guard rig.engine.durable == rig.engine.appended else { return }
    let expected = keys.filter { rig.store(of: $0) == id && model.current($0)?.isTombstone == true }
    #expect(Set(entries.map(\.key)) == Set(expected), "the feed lacks tombstones")
    #expect(head == rig.engine.status(id).tsnHead)
  }

  /// A peer says something, or its feed has been applied.
  mutating func promise() {
    let id = Rig.seeds[generator.below(2)].id
    let peer = NodeID(UInt32(2 + generator.below(2)))
    let incarnation = Identity128(high: 5, low: UInt64(peer.rawValue))
    if generator.chance(1, in: 2) {
      let tsn = (rig.engine.cursor(id, on: peer)?.tsn ?? 0) + UInt64(generator.below(3))
      rig.engine.setCursor(id, FeedCursor(peer: peer, incarnation: incarnation, tsn: tsn))
    } else {
      let known = rig.engine.promise(id, of: peer)
      let more = UInt64(generator.below(3))
      rig.engine.setPromise(
        id,
        PeerPromise(
          peer: peer, incarnation: incarnation, configID: 99, tsnHead: (known?.tsnHead ?? 0) + more,
          floor: stamp((known?.floor.time.milliseconds ?? 0) + more), cursorOnMe: (known?.cursorOnMe ?? 0) + more))
    }
  }

  /// The same as an entry of another owner's feed: whatever the floor is, it is stored unless something newer is here.
  mutating func takeFeed(_ version: StoredVersion, _ key: [UInt8]) throws {
    let known = model.current(key)?.stamp
    switch try rig.feed(key, version.stamp) {
    case .applied(let position):
      #expect(known.map { $0 < version.stamp } ?? true)
      note(version, key, position)
    case .equal(let position):
      #expect(known == version.stamp)
      #expect(position == rig.engine.durable || position == rig.engine.appended)
    case .newer(let stamp, let position):
      #expect(known == stamp && stamp > version.stamp)
      // What is not durable by now is so with what was appended last.
      #expect(position == rig.engine.durable || position == rig.engine.appended)
    case .refused: #expect(fillsDisk)
    case .belowFloor, .cold: Issue.record("a feed knows no floor")
    }
  }
}
