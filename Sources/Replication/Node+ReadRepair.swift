import Causality
import Cluster
import Messages
import Primitives
import Storage

// Read repair: owners that a read saw behind are sent what it saw as newest, after its client has been answered. Nobody
// waits for that, and what is lost on the way is repaired by the next read. It goes to owners only, and it is a push
// with the write's own stamp like any other (rule PUSH, Docs/Delete.md).

extension Node where Disk: ~Copyable {
  /// Sends `version`, which is the newest that the read saw, to the owners that had less.
  mutating func repair(_ get: GetOperation, _ version: StoredVersion) {
    for answer in get.seen where answer.stamp ?? .zero < version.stamp {
      guard get.primaries.replicas.contains(answer.node), !chaos.strikes(.repairDropped) else { continue }
      counters.readRepairs += 1
      if answer.node == own.id {
        repairOwn(Repair(key: get.key, hash: get.hash, store: get.store, version: version), warm: nil)
      } else {
        let push = Push(
          kind: .repair, operation: 0, store: get.store, configID: get.configID, key: get.key, version: version,
          wantsApplied: false, wantsSynced: false)
        send(.push(push), to: answer.node)
      }
    }
  }

  mutating func repairOwn(_ repair: Repair, warm: WarmBytes?) {
    guard refusal(repair.store, configID: configID(repair.store), hash: repair.hash) == nil, let engine else { return }
    identity.clock.observe(repair.version.stamp.time)
    do throws(StorageError) {
      let outcome = try engine.apply(
        repair.version, key: repair.key.encoded, hash: repair.hash, to: repair.store, warm: warm, on: &disk)
      if case .cold(let read) = outcome { _ = readCold(read, for: .repair(repair)) }
    } catch {
      _ = refusal(of: repair.store, error)
    }
  }
}
