import Primitives
import Storage

// How tombstones of one run travel and how long they stay, and the conditions under which a rule that keeps a deleted key
// deleted has most to do: files of a few records that are merged after each write, owners that compare all the time, room
// for two or three hints, a feed that brings one tombstone at a time.

package struct DeleteOptions: Sendable {
  /// A tombstone is kept so long at least; 0: it goes as soon as it may.
  package var holdMilliseconds: UInt64 = 1000
  /// Between two feeds with a peer.
  package var feedMilliseconds: UInt64 = 200
  /// Tombstones of one answer to a feed.
  package var feedEntriesMax = 4096

  /// Of a thousand messages that bring a version, so many come later than others: what a delete has overtaken.
  package var latePerThousand = 0
  package var lateMilliseconds = 100...2000
  /// Which of them.
  package var late: Set<LateMessage> = [.push, .handoff, .readReply, .pullReply, .feed]
  /// Tombstones do not wait for a round of anti-entropy, which is to make nothing right that would be wrong without.
  package var purgesBeforeRounds = false

  package init() {}

  init(using generator: inout SeededGenerator) {
    holdMilliseconds = generator.pick([0, 0, 0, 50, 500, 3000])
    feedMilliseconds = generator.pick([20, 100, 100, 500, 1000])
    feedEntriesMax = generator.pick([1, 1, 3, 64, 4096])
    latePerThousand = generator.pick([0, 0, 100, 400])
  }
}

extension SimulationOptions {
  /// From a stream of its own, as the others.
  mutating func drawDeletes(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed, stream: 12)
    deletes = DeleteOptions(using: &generator)
    let isContinuous = generator.chance(1, in: 5)
    let isMergedAtOnce = generator.chance(1, in: 4)
    let hasTinyFiles = generator.chance(1, in: 4)
    let hasTinyHints = generator.chance(1, in: 8)
    let percent = generator.pick([15, 30, 45])
    let keys = generator.pick([1, 2, 4, 8])
    if isContinuous { antiEntropy.intervalMilliseconds = 300 }
    if isMergedAtOnce {
      merge.window = .always
      merge.checkIntervalMilliseconds = 10
      merge.triggerFragmentation = 1
      mergeRequestsPerMillion = 20_000
    }
    if hasTinyFiles { fileBytesMax = 512 }
    if hasTinyHints { hintBytesMax = 300 }
    // Registers alone, which nobody deletes, tell nothing of this.
    if workload.kind == .registers, generator.chance(1, in: 2) { workload.kind = .mixed }
    guard workload.kind == .mixed else { return }
    workload.deletePercent = percent
    workload.keys = keys
    if generator.chance(2, in: 5) { drawCollection(&generator) }
  }

  /// Deletes that are collected as soon as they may be, on nodes that are killed all the time, in stores of many small
  /// files of which merges take some and leave others. One machine is put back to what it was, in some of these runs.
  private mutating func drawCollection(_ generator: inout SeededGenerator) {
    workload.keys = generator.pick([4, 8, 16])
    workload.valueBytesMax = 200
    workload.thinkMilliseconds = 5...60
    fileBytesMax = UInt64(generator.pick([512, 1024, 2048]))
    merge.window = .always
    merge.checkIntervalMilliseconds = generator.pick([10, 200])
    merge.triggerFragmentation = generator.pick([30, 60, 90])
    merge.fragmentation = merge.triggerFragmentation
    merge.smallFileBytes = 1
    mergeRequestsPerMillion = 0
    deletes.holdMilliseconds = 0
    deletes.feedMilliseconds = 20
    deletes.latePerThousand = generator.pick([0, 200, 500])
    deletes.lateMilliseconds = generator.pick([20...200, 100...2000, 1000...8000])
    antiEntropy.intervalMilliseconds = generator.pick([300, 300, 1000, 5000])
    faults.means[.kill] = 800
    faults.outageMilliseconds = 5...200
    if generator.chance(1, in: 3), faults.nodesThatForget == 0 {
      faults.means[.snapshot] = 800
      faults.means[.restore] = 3000
    }
  }
}
