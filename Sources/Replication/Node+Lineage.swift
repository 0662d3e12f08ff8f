import Causality
import Cluster
import Messages
import Primitives
import Storage

// A data directory that is older than what a process from it had told (rule LINEAGE, Docs/DeleteProtocol.md). Promises about
// tombstones give a copy that was put back away only where deletes came between; puts are lost with it as well. So every
// node remembers of every other one the boot and the edition of its file `node` that it was told last. Whoever says hello
// from a directory in which that boot, or what it wrote then, never was is refused, and makes all of its stores anew.
// What it has done meanwhile by itself, and for how long, makes no difference: its line is another one.

extension Node where Disk: ~Copyable {
  // MARK: - Of others

  /// The highest edition that a boot before this one has told and that its directory lacks; nil when it lacks nothing.
  func editionLacked(by hello: Hello, at index: Int) -> UInt64? {
    guard options.rules.hold(.fence) else { return nil }
    var known: [BootEdition] = []
    if let written = identity.manifest.told(by: peers[index].member.id) { known.append(written) }
    if let accepted = peers[index].accepted {
      known.append(BootEdition(bootID: accepted.bootID, edition: peers[index].edition))
    }
    return known.filter { $0.bootID != hello.bootID && $0.isMissing(in: hello.lineage) }.map(\.edition).max()
  }

  /// The accepted boot has told this. It goes into the own file with the next lease, and at once where it is another boot;
  /// but not as long as that may be a clone, which would leave the member itself behind.
  mutating func note(edition: UInt64, of index: Int, at now: Moment) {
    peers[index].edition = max(peers[index].edition, edition)
    if let displaced = peers[index].displaced,
      now.instant.milliseconds(since: displaced.at) < 2 * options.suspectAfterMilliseconds
    {
      return
    }
    guard let bootID = peers[index].accepted?.bootID else { return }
    let told = BootEdition(bootID: bootID, edition: peers[index].edition)
    if identity.manifest.note(told, toldBy: peers[index].member.id) { identity.isDirty = true }
  }

  // MARK: - Of this node

  /// Another node was told more by an earlier boot of this one than its directory holds. Nothing that is in it is to be
  /// trusted: every store is fenced, durably, and then the lineage begins anew. Until that is on the disk the others refuse
  /// this node, as often as it greets them.
  mutating func leaveLineage(known edition: UInt64, by node: NodeID) {
    guard edition > 0 else { return }
    // An answer from before that.
    if let first = identity.told.lineage.first, first.bootID == bootID, first.edition > edition { return }
    beginLineage(above: edition, "\(name(node)) was told more by an earlier start than the data directory holds")
  }

  /// A start or a turn before this one was told so, and did not come to the end of it.
  mutating func goOnLeavingLineage() {
    beginLineage(above: identity.manifest.edition, "the data directory was found to be an older copy")
  }

  private mutating func beginLineage(above edition: UInt64, _ reason: String) {
    let steps = fenceAll(reason)
    lineageKnown = max(lineageKnown, edition)
    identity.manifest.leavesLineage = true
    guard identity.pendingLeaseEnd == nil, !jobs.contains(where: \.writesIdentity) else {
      // A turn after that write goes on with it; the stores count for nothing from now on.
      return abandonFences()
    }
    let taken = identity.manifest.pastActors + [identity.manifest.actor] + peers.peers.compactMap { $0.hello?.actor }
    let actor = NodeStart.drawActor(&generator, except: taken)
    start(.lineage, identity.beginAnew(bootID, above: lineageKnown, replacedBy: actor, fencing: steps))
    feeds.noteChange()
  }

  /// Nothing that was in the directory when this process started counts any more. - Returns: What makes that durable.
  private mutating func fenceAll(_ reason: String) -> [DiskStep] {
    guard let engine else { return [] }
    // One that this process has made itself is in no other line.
    let whole = engine.storeIDs.filter { store in
      engine.role(store) != .fenced && headsAtStart[store]?.incarnation == engine.incarnation(store)
    }
    counters.regressions += UInt64(whole.count)
    if unlinedStores.isEmpty {
      let text =
        "this data directory is older than what this node has told others before, a copy that was put back or an empty "
        + "one: \(reason): its stores (\(whole.count)) are fenced, and made anew from the other nodes'"
      free.append(.log(.error, text))
    }
    unlinedStores = (unlinedStores.filter { engine.role($0) == .fenced } + whole).sorted()
    var steps: [DiskStep] = []
    for store in unlinedStores { steps += engine.fence(store, .regressed(path: "store \(store)", reason: reason)) }
    return steps
  }

  mutating func lineageLeft(at now: Moment) {
    identity.begunAnew()
    for store in unlinedStores where engine?.contains(store) == true { engine?.completeFence(store) }
    unlinedStores = []
    resumeLeaseWaiters(at: now)
    sayHelloAgain(at: now)
  }

  /// The disk had no room: the stores stay fenced as long as this process lives, and it is tried again with the next
  /// greeting.
  mutating func leavingLineageFailed() {
    identity.beginAnewFailed()
    abandonFences()
  }

  private mutating func abandonFences() {
    for store in unlinedStores where engine?.contains(store) == true { engine?.abandonRole(store) }
  }
}
