import Cluster
import Primitives

extension Node where Disk: ~Copyable {
  mutating func beginRound(session: SessionID, at now: Moment) {
    free.append(.adminDone(.refused("node \(own.name) makes no rounds"), session: session))
  }
}
