import Client
import Platform
import Primitives
import Protocols

// The snapshots that a backup is copied from. While they are made every node says again and again that it forgets no
// tombstone; a node that is slow to say so is asked again for as long as its last word holds.

/// The snapshots of all nodes, under one name each; they go when everything is copied.
struct BackupSnapshots: Sendable {
  let cluster: BackupCluster
  /// Of the stores of hints.
  let hints: String
  /// Of all stores, from a later moment.
  let all: String

  /// Begins the names of the snapshots that backups make.
  static let prefix = "backup-"
  /// A snapshot of a backup that is older than this was left by one that was cut off.
  private static let leftoverMilliseconds: UInt64 = 7 * 86_400_000
  private static let removalMilliseconds = 60_000

  /// A node that does not answer keeps its own until the next backup after a week.
  func remove() {
    for node in cluster.nodes {
      for name in [hints, all] { BackupSnapshots.remove(name, node) }
    }
  }

  private static func remove(_ name: String, _ node: BackupNode) {
    _ = try? askedDocument(
      "POST", "/admin/remove-snapshot?name=\(name)", node.endpoint, patienceMilliseconds: removalMilliseconds)
  }

  /// What backups left on the nodes that were cut off long ago.
  static func removeLeftovers(_ nodes: [BackupNode], _ wallMilliseconds: UInt64) {
    let oldest = timestamp(wallMilliseconds: wallMilliseconds - min(wallMilliseconds, leftoverMilliseconds))
    for node in nodes {
      let shown = try? BackupCluster.look("/admin/snapshots", node.endpoint)
      for entry in shown?["snapshots"]?.array ?? [] {
        guard let name = entry["name"]?.string, name.hasPrefix(prefix), let time = entry["time"]?.string, time < oldest
        else { continue }
        remove(name, node)
      }
    }
  }
}

extension BackupCluster {
  /// So long it is waited, when a backup is given up, for snapshots that are being made: only what is made can be removed.
  private static let unfinishedMilliseconds: UInt64 = 60_000

  /// Makes the snapshots of all nodes; what is made is removed again when that fails.
  func makeSnapshots(wallMilliseconds: UInt64, isQuiet: Bool) throws -> BackupSnapshots {
    let time = timestamp(wallMilliseconds: wallMilliseconds).filter { $0 != ":" && $0 != "-" && $0 != "." }
    let name = "\(BackupSnapshots.prefix)\(time)-\(processIdentifier())"
    let snapshots = BackupSnapshots(cluster: self, hints: name + "-hints", all: name)
    var line = ProgressLine("making snapshots", .items("snapshots"), total: UInt64(2 * nodes.count), isQuiet: isQuiet)
    defer { line.finish() }
    do {
      BackupSnapshots.removeLeftovers(nodes, wallMilliseconds)
      var holds = PurgeHolds(nodes.map(\.name))
      try renew(&holds)
      for (snapshot, query) in [(snapshots.hints, "&store=hints"), (snapshots.all, "")] {
        try make("/admin/snapshot?name=\(snapshot)\(query)", &holds, &line)
      }
      // As they were numbered from the first on: nothing was forgotten in between.
      try renew(&holds)
      try checkAgain()
    } catch {
      snapshots.remove()
      throw error
    }
    return snapshots
  }

  private func make(_ target: String, _ holds: inout PurgeHolds, _ line: inout ProgressLine) throws {
    let tasks = try nodes.map { try PendingTask(target, $0.endpoint) }
    let clock = SystemClock()
    var next = clock.instant().adding(milliseconds: PurgeHolds.renewMilliseconds)
    var shown = 0
    while true {
      let done = tasks.count { $0.answer != nil }
      line.advance(by: UInt64(done - shown))
      shown = done
      if done == tasks.count { break }
      pause(milliseconds: 10)
      guard clock.instant() >= next else { continue }
      do {
        try renew(&holds)
      } catch {
        awaitEnd(of: tasks)
        throw error
      }
      next = clock.instant().adding(milliseconds: PurgeHolds.renewMilliseconds)
    }
    for (node, task) in zip(nodes, tasks) {
      if case .failure(let failure)? = task.answer { throw Failure("\(node.name): \(failure.message)") }
    }
  }

  private func awaitEnd(of tasks: [PendingTask]) {
    let clock = SystemClock()
    let began = clock.instant()
    while tasks.contains(where: { $0.answer == nil }),
      clock.instant().milliseconds(since: began) < Self.unfinishedMilliseconds
    {
      pause(milliseconds: 10)
    }
  }

  private func renew(_ holds: inout PurgeHolds) throws(Failure) {
    let clock = SystemClock()
    try holds.renew(
      ask: { (index) throws(Failure) in
        try askedDocument(
          "POST", "/admin/hold-purges?seconds=\(PurgeHolds.seconds)", nodes[index].endpoint,
          patienceMilliseconds: lookMillisecondsMax)
      }, now: { clock.instant() }, pause: { pause(milliseconds: PurgeHolds.pauseMilliseconds) })
  }
}

/// That no node forgets a tombstone, from the first time on that this was asked of it.
struct PurgeHolds {
  /// Nodes hold purges for so long after they were asked last; a renewal may be tried again until then.
  static let seconds: UInt64 = 120
  /// And are asked again so often.
  static let renewMilliseconds: UInt64 = 20_000
  /// For so long a node is asked that has never answered.
  static let firstMilliseconds: UInt64 = 15_000
  /// Between two tries.
  static let pauseMilliseconds = 500

  private struct Held {
    let number: String
    let at: Instant
  }

  private let names: [String]
  private var held: [Held?]

  init(_ names: [String]) {
    self.names = names
    held = names.map { _ in nil }
  }

  /// Asks all nodes, those that do not answer again.
  /// - Throws: `Failure` when one of them may have forgotten some since, or cannot be asked.
  mutating func renew(
    ask: (_ index: Int) throws(Failure) -> JSON, now: () -> Instant, pause: () -> Void
  ) throws(Failure) {
    let began = now()
    var waiting = Array(names.indices)
    while true {
      var silent: [Int] = []
      for index in waiting {
        // The node holds from a later moment on than this.
        let asked = now()
        switch Result(catching: { () throws(Failure) in try ask(index) }) {
        case .success(let answer): try note(answer, index, at: asked)
        case .failure(let failure):
          let since = asked.milliseconds(since: held[index]?.at ?? began)
          guard since < (held[index] == nil ? Self.firstMilliseconds : Self.seconds * 1000) else { throw failure }
          silent.append(index)
        }
      }
      if silent.isEmpty { return }
      waiting = silent
      pause()
    }
  }

  private mutating func note(_ answer: JSON, _ index: Int, at asked: Instant) throws(Failure) {
    guard let number = answer["hold"]?.string else { throw Failure("\(names[index]) does not hold its tombstones") }
    guard held[index] == nil || held[index]?.number == number else {
      throw Failure(
        "\(names[index]) was started anew, or was away too long, while the snapshots were made, and may have forgotten "
          + "tombstones that another one lacks; begin the backup anew")
    }
    held[index] = Held(number: number, at: asked)
  }
}
