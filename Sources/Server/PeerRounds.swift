import Cluster
import Primitives
import Replication

// The rounds with one peer, of all stores that are shared with it, put together: there may be thousands of pairs, and a
// handful of peers.

struct PeerRounds {
  let peer: Member
  var stores = 0
  /// Stores that were not compared since the start of the process.
  var never = 0
  /// Since the oldest of the stores' last rounds; nil while there was none.
  var oldestMilliseconds: UInt64?
  var differences: UInt64 = 0
  var keysPulled: UInt64 = 0
  var bytesPulled: UInt64 = 0
  var running = 0
  var failed = 0
  /// Why, of the first store that failed.
  var reason = ""

  private init(_ peer: Member) { self.peer = peer }

  /// In the order in which the peers first occur.
  static func all(_ pairs: [PairStatus]) -> [PeerRounds] {
    var places: [NodeID: Int] = [:]
    var peers: [PeerRounds] = []
    for pair in pairs {
      let place = places[pair.peer.id] ?? peers.count
      if place == peers.count {
        places[pair.peer.id] = place
        peers.append(PeerRounds(pair.peer))
      }
      peers[place].add(pair)
    }
    return peers
  }

  private mutating func add(_ pair: PairStatus) {
    stores += 1
    if let age = pair.lastRoundMilliseconds {
      oldestMilliseconds = max(oldestMilliseconds ?? 0, age)
    } else {
      never += 1
    }
    differences += pair.differences
    keysPulled += pair.keysPulled
    bytesPulled += pair.bytesPulled
    switch pair.state {
    case .idle: break
    case .running: running += 1
    case .failed(let reason):
      if failed == 0 { self.reason = reason }
      failed += 1
    }
  }

  /// For how long the store that waits longest has not been compared; one that never was, since the start of the process.
  func longestMilliseconds(uptime: UInt64) -> UInt64 {
    never > 0 ? max(uptime, oldestMilliseconds ?? 0) : oldestMilliseconds ?? 0
  }
}
