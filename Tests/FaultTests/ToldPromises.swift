import Causality
import Primitives
import Testing

@testable import Storage

// What a node may have told its peers at any moment of a drive: whatever happens, the next life tells no less.

struct ToldPromises {
  private var heads: [StoreID: UInt64] = [:]
  private var floors: [StoreID: Stamp] = [:]
  private var cursors: [StoreID: [FeedCursor]] = [:]
  private var promises: [StoreID: [PeerPromise]] = [:]

  private static let peers = [NodeID(2), NodeID(3)]

  /// What the engine would tell now.
  mutating func note(_ engine: Engine) {
    for id in engine.storeIDs {
      heads[id] = engine.durableHead(id)
      floors[id] = engine.durableFloor(id)
      cursors[id] = ToldPromises.peers.compactMap { engine.durableCursor(id, on: $0) }
      promises[id] = ToldPromises.peers.compactMap { engine.durablePromise(id, of: $0) }
      #expect(engine.durableHead(id) <= engine.status(id).tsnHead)
      #expect(engine.durableFloor(id) <= engine.floor(id))
    }
  }

  func check(_ engine: Engine, _ label: String) {
    for id in engine.storeIDs {
      #expect(engine.durableHead(id) >= heads[id] ?? 0, "\(label): the feed head of \(id) went backwards")
      #expect(engine.durableHead(id) == engine.status(id).tsnHead, "\(label): everything is durable at the start")
      #expect(engine.durableFloor(id) >= floors[id] ?? .zero, "\(label): the floor of \(id) went backwards")
      #expect(engine.durableFloor(id) == engine.floor(id), "\(label)")
      for cursor in cursors[id] ?? [] {
        let found = engine.durableCursor(id, on: cursor.peer)
        #expect(found.map { $0.tsn >= cursor.tsn } == true, "\(label): a cursor of \(id) went backwards")
      }
      for promise in promises[id] ?? [] {
        let found = engine.durablePromise(id, of: promise.peer)
        #expect(
          found.map {
            $0.tsnHead >= promise.tsnHead && $0.cursorOnMe >= promise.cursorOnMe && $0.floor >= promise.floor
          }
            == true, "\(label): a promise to \(id) is forgotten")
      }
      #expect(engine.cursors(id) == ToldPromises.peers.compactMap { engine.durableCursor(id, on: $0) })
    }
  }
}
