import Cluster
import Primitives
import Storage

// What operators ask a node to do. Each request is answered once, when it is done, or with why it is not.

extension Node where Disk: ~Copyable {
  mutating func beginAdmin(_ request: AdminRequest, session: SessionID, at now: Moment) {
    guard let engine, phase == .serving else {
      return free.append(.adminDone(.refused("node \(own.name) does not serve"), session: session))
    }
    switch request {
    case .merge: requestMerge(engine, session: session)
    case .drainHints: beginDrain(session: session, at: now)
    case .antiEntropy: beginRound(session: session, at: now)
    case .quarantine, .quarantineRead, .quarantinePut, .quarantineDiscard:
      beginQuarantine(request, session: session, at: now)
    case .holdPurges(let milliseconds):
      feeds.holdPurges(until: now.instant.adding(milliseconds: milliseconds), at: now.instant)
      let since = feeds.backupHold?.since ?? now.instant
      free.append(.adminDone(.purgesHeld(boot: bootID, since: since), session: session))
    case .snapshot(let name, let part):
      do throws(SnapshotRefusal) {
        let request = SnapshotRequest(
          name: name, part: part, node: identity.manifest, wallMilliseconds: now.wallMilliseconds)
        try engine.requestSnapshot(request, on: &disk)
        snapshotWaiter = session
      } catch {
        free.append(.adminDone(.snapshotRefused(error), session: session))
      }
    case .snapshots:
      // Some hundred small files at most, for an operator who looks.
      do throws(StorageError) {
        let entries = try SnapshotEntry.list(of: options.directory, countMax: Self.snapshotsListed, on: &disk)
        free.append(.adminDone(.snapshots(entries), session: session))
      } catch {
        free.append(.adminDone(.refused("\(error)"), session: session))
      }
    }
  }

  /// Entries of the snapshots' directory in an answer: all there may be, and as many that somebody else put there.
  private static var snapshotsListed: Int { 2 * Engine.snapshotsMax }

  /// Tells who waits for the snapshot what became of it.
  mutating func answerSnapshot() {
    guard let outcome = engine?.takeSnapshotOutcome() else { return }
    let session = snapshotWaiter
    snapshotWaiter = nil
    switch outcome {
    case .made(let report):
      counters.snapshots += 1
      free.append(.log(.info, "snapshot \(report.path) is whole: \(report.contents.bytes) bytes"))
      if let session { free.append(.adminDone(.snapshot(report), session: session)) }
    case .failed(let name, let error):
      counters.snapshotsFailed += 1
      free.append(.log(.warning, "snapshot \(name) failed: \(error)"))
      if let session { free.append(.adminDone(.refused("\(error)"), session: session)) }
    }
  }
}
