import Client
import Platform
import Protocols
import Testing

// Directories that are put back, or lost, around deletes. `DeleteTests` has the copy of a node that was stopped.

extension SystemTests {
  @Suite struct RestoreTests {
    @Test("a node restored from a copy that was made while it stood still brings no deleted key back")
    func pausedCopy() throws {
      try DeletePromise.with("paused-copy") { cluster, promise in
        let process = try cluster.process(3)
        defer { process.signal(.proceed) }
        process.signal(.stop)
        try FileTree.copy("\(cluster.data)/n3", to: "\(cluster.data)/copy")
        process.signal(.proceed)
        try cluster.untilUp()
        try promise.deleteAndCollect(through: 2)
        try promise.watching([1, 2, 3], r: 1...3) {
          try cluster.restore(3, from: "\(cluster.data)/copy")
          try promise.holds()
        }
        #expect(try cluster.counter(3, "regressions") > 0)
        #expect(cluster.log(3).contains(" remembers more of it: "))
        #expect(try cluster.quarantined(3) == promise.dead, "what nobody else has is kept aside")
        #expect(try !cluster.setAside(3).isEmpty)
      }
    }

    @Test("a node restored from a copy that was made while it wrote brings no deleted key back, and loses nothing")
    func runningCopy() throws {
      try DeletePromise.with("running-copy", settings: ["max_file_size=64KiB"]) { cluster, promise in
        let load = Load(2, on: cluster, seed: 5, paddingMax: 3000)
        try load.running {
          try load.advance(40)
          try FileTree.copy("\(cluster.data)/n3", to: "\(cluster.data)/copy")
          try load.advance(20)
          try promise.delete(through: 1)
        }
        try promise.untilCollected()
        try cluster.converge()
        try promise.watching([1, 2, 3], r: 1...3) {
          try cluster.restore(3, from: "\(cluster.data)/copy")
          try cluster.untilWhole()
        }
        #expect(try load.contradictions(in: cluster, query: "?r=3") == [])
        try promise.untilCollected()
        try cluster.expectGone(promise.dead)
        #expect(try cluster.counter(3, "regressions") > 0)
        #expect(try cluster.quarantined(3) >= promise.dead, "what nobody else has is kept aside")
      }
    }

    @Test("a node whose directory is gone comes back with no deleted key, though tombstones waited for it")
    func wiped() throws {
      try DeletePromise.with("wiped") { cluster, promise in
        try cluster.local("kill", "3")
        try promise.delete(through: 2)
        try promise.tombstonesWait(on: [1, 2])
        try promise.watching([1, 2, 3], r: 1...3) {
          try FileTree.remove("\(cluster.data)/n3")
          try cluster.local("start", "3")
          try promise.holds()
        }
        #expect(try cluster.refillsDone(3) == 4, "all of its stores were filled")
      }
    }

    @Test("two nodes whose directories are gone at once are filled by the third, which goes on reading meanwhile")
    func twoWiped() throws {
      try DeletePromise.with("two-wiped", settings: ["pull_rate=4KiB"]) { cluster, promise in
        // Of one half only floors are left, and only on n1 when the others are gone.
        try cluster.deleteAll(promise.dead / 2, through: 1)
        try promise.untilCollected()
        try cluster.local("kill", "3")
        var two = try cluster.client(2)
        for key in promise.dead / 2..<promise.dead { #expect(try two.delete("k\(key)").status == 204) }
        try cluster.local("kill", "2")
        for node in [2, 3] { try FileTree.remove("\(cluster.data)/n\(node)") }
        try promise.watching([1, 2, 3], r: 1...3) {
          for node in [2, 3] { try cluster.local("start", "\(node)") }
          var isSlow = false
          try eventually("both are filled") {
            let refills = try [2, 3].map(cluster.refillsDone)
            isSlow = isSlow || refills.contains { $0 < 4 }
            var one = try cluster.client(1)
            for number in 0..<promise.live {
              #expect(try one.get(promise.liveKey(number), query: "?r=1").status == 200, "n1 has all of it")
            }
            return refills == [4, 4]
          }
          #expect(isSlow, "nobody looked while they were filled")
          try promise.holds()
        }
      }
    }
  }
}

extension TestCluster {
  /// How many stores of a node were filled by their other owners since its start.
  func refillsDone(_ node: Int) throws -> Int { try antiEntropy(node)["refills_done"]?.integer ?? -1 }
}
