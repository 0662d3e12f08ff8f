import Client
import Platform
import Primitives
import Protocols
import Testing

// Disks that refuse, fail or forget while tombstones are acknowledged and collected, by the preloaded library.

extension SystemTests {
  @Suite struct DeleteDiskTests {
    private static let noSpace = Errno(28)
    private static let failed = Errno(5)

    enum Sequel: String, CaseIterable, CustomTestStringConvertible {
      case room, killed
      var testDescription: String { rawValue }
    }

    @Test(
      "on a full disk no tombstone counts that found no room; what was acknowledged stays deleted",
      arguments: Sequel.allCases)
    func full(_ sequel: Sequel) throws {
      let trace = try DiskTrace("deletes-full-\(sequel)", syncMilliseconds: 0)
      let settings = DeletePromise.settings + ["request_timeout=1s"]
      try TestCluster.with("deletes-full-\(sequel)", settings: settings, environment: trace.environment) { cluster in
        let promise = DeletePromise(cluster: cluster)
        try promise.begin()
        var three = try cluster.client(3)
        #expect(try three.put("more", [1], query: "?w=3").status == 204)
        let process = try cluster.process(3)
        try trace.fail(process, .write(Self.noSpace))
        try promise.delete(through: 3)
        // One copy on n3 may be a value again after it was killed; a quorum knows.
        try promise.watching([1, 2, 3], r: 2...3) {
          let refused = [
            try three.send("DELETE", path("more") + "?w=3"), try three.put("none", [1], query: "?w=3"),
          ]
          #expect(refused.map(\.status).allSatisfy { [503, 507].contains($0) }, "\(refused.map(\.status))")
          #expect(try cluster.view(3).status["disk"]?["puts_refused"] == .bool(true))
          #expect(try [1, 2].map(cluster.pending).allSatisfy { $0 >= promise.dead }, "they wait for n3")
          switch sequel {
          case .room: try trace.fail(process, nil)
          case .killed:
            try cluster.local("kill", "3")
            try cluster.local("start", "3")
          }
          try promise.holds(alone: false)
        }
        #expect(cluster.log(3).contains("the disk is full: "))
        #expect(try (cluster.process(3) == process) == (sequel == .room), "it went on where it could")
        // Its client was told nothing.
        three = try cluster.client(3)
        #expect(try [200, 404].contains(three.get("more", query: "?r=3").status))
      }
    }

    @Test(
      "a node whose disk fails ends with a line that says so; the others acknowledge, and it returns without the keys",
      arguments: ["write", "sync"])
    func failing(_ kind: String) throws {
      let trace = try DiskTrace("deletes-\(kind)", syncMilliseconds: 0)
      try TestCluster.with("deletes-\(kind)", settings: DeletePromise.settings, environment: trace.environment) {
        cluster in
        let promise = DeletePromise(cluster: cluster)
        try promise.begin()
        // Half of them is on every disk, or under way, when n3 fails.
        try cluster.deleteAll(promise.dead / 2, through: 3)
        let process = try cluster.process(3)
        try trace.fail(process, kind == "write" ? .write(Self.failed) : .sync(Self.failed))
        var one = try cluster.client(1)
        for key in promise.dead / 2..<promise.dead { #expect(try one.delete("k\(key)").status == 204) }
        try promise.watching([1, 2, 3], r: 2...3) {
          try eventually("n3 has ended") { !process.isRunning }
          try cluster.local("start", "3")
          try promise.holds()
        }
        let line = cluster.log(3).split(separator: "\n").first { $0.hasPrefix("cairn node: ") }
        #expect(
          line?.contains(": error 5 (input/output error") == true && line?.contains("/n3/") == true,
          "\(line ?? "it says nothing")")
      }
    }

    @Test(
      "power cuts of all machines while deletes are collected revive nothing, and collecting goes on",
      arguments: [UInt64(1), 2])
    func powerLoss(seed: UInt64) throws {
      let trace = try DiskTrace("deletes-power", syncMilliseconds: 2)
      let settings =
        DeletePromise.settings + ["tombstone_hold=20ms", "max_file_size=64KiB", "merge_check_interval=100ms"]
      try TestCluster.with("deletes-power", settings: settings, environment: trace.environment) { cluster in
        var generator = SeededGenerator(seed: seed)
        let promise = DeletePromise(cluster: cluster)
        try promise.begin()
        let load = Load(3, on: cluster, seed: seed, paddingMax: 3000)
        try load.running {
          try load.advance(20)
          try promise.delete(through: 1 + generator.below(3))
          try eventually("some are collected") {
            try (1...3).contains { try cluster.counter($0, "tombstones_purged") > 0 }
          }
          try load.advance(generator.below(10))
          for node in 1...3 { load.hurt.insert(node) }
          cluster.killAll()
        }
        var loss = PowerLossStrike.Loss()
        for node in 1...3 {
          loss = loss + (try PowerLossStrike.perform(on: "\(cluster.data)/n\(node)", of: trace, &generator))
        }
        #expect(loss.bytes > 0, "it took nothing: \(loss)")
        try cluster.local("up")
        try promise.watching([1, 2, 3], r: 2...3) { try promise.holds(alone: false) }
        #expect(try load.contradictions(in: cluster) == [], "\(loss)")
      }
    }
  }
}
