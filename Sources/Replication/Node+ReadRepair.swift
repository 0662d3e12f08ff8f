import Causality
import Cluster
import Messages
import Primitives
import Storage

// Read repair: owners that a read saw behind are sent what it saw as newest, after its client has been answered. Nobody
// waits for that, and what is lost on the way is repaired by the next read. It goes to owners only, and it is a push
// with the write's own stamp like any other (rule PUSH, Docs/DeleteProtocol.md).

extension Node where Disk: ~Copyable {
  /// Sends `version`, which is the newest that the read saw, to the owners that had less.
  mutating func repair(_ get: GetOperation, _ version: StoredVersion) {
    for answer in get.seen where answer.stamp ?? .zero < version.stamp {
      // A tombstone that it has purged does not go back to it: what it may lack the feed brings.
      if version.isTombstone, answer.stamp == nil, version.stamp <= answer.floor { continue }
      guard get.primaries.replicas.contains(answer.node), !chaos.strikes(.repairDropped) else { continue }
      counters.readRepairs += 1
      if answer.node == own.id {
        repairOwn(Repair(key: get.key, hash: get.hash, store: get.store, version: version), warm: nil)
      } else {
        let repair = Repair(key: get.key, hash: get.hash, store: get.store, version: version)
        send(.push(push(of: repair)), to: answer.node)
      }
    }
  }

  private func push(of repair: Repair) -> Push {
    Push(
      kind: .repair, operation: 0, store: repair.store, configID: configID(repair.store), key: repair.key,
      version: repair.version, wantsApplied: false, wantsSynced: false)
  }

  mutating func repairOwn(_ repair: Repair, warm: WarmBytes?) {
    guard refusal(repair.store, configID: configID(repair.store), hash: repair.hash) == nil, let engine else { return }
    identity.clock.observe(repair.version.stamp.time)
    do throws(StorageError) {
      let outcome = try engine.apply(
        repair.version, key: repair.key.encoded, hash: repair.hash, to: repair.store, warm: warm, on: &disk)
      switch outcome {
      case .cold(let read): _ = readCold(read, for: .repair(repair))
      case .belowFloor: settleStale(push(of: repair), from: own.id, at: present)
      case .applied, .equal, .newer, .refused: break
      }
    } catch {
      _ = refusal(of: repair.store, error)
    }
  }
}
