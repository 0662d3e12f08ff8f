import Client
import Platform
import Protocols
import Testing

// Deletes while an owner does not hear of them, and what its hints and its files have become when it does.

extension SystemTests {
  @Suite struct DeleteOutageTests {
    @Test("tombstones wait for a node that stands still, however long, and go by themselves when it goes on")
    func paused() throws {
      let settings = DeletePromise.settings + ["suspect_after=200ms"]
      try TestCluster.with("paused-deletes", settings: settings) { cluster in
        let promise = DeletePromise(cluster: cluster)
        try promise.begin()
        let process = try cluster.process(3)
        defer { process.signal(.proceed) }
        process.signal(.stop)
        try eventually("n1 and n2 have noticed") {
          try [1, 2].allSatisfy { try cluster.view($0).missing.keys.contains("n3") }
        }
        try promise.delete(through: 2)
        try promise.watching([1, 2], r: 1...2) {
          // Ten times what they are held, twice what anti-entropy needs, twenty retries of a hint.
          try promise.tombstonesWait(on: [1, 2], seconds: 2)
        }
        let reasons = try cluster.reasons(1)
        #expect(!reasons.isEmpty && reasons.allSatisfy { $0.contains("n3") }, "\(reasons)")
        #expect(try [1, 2].map { try cluster.counter($0, "tombstones_purged") } == [0, 0])
        // One copy on n3 need not have heard of them yet; a quorum has.
        try promise.watching([1, 2, 3], r: 2...3) {
          process.signal(.proceed)
          try promise.untilCollected()
        }
        try promise.holds()
        #expect(try (1...3).allSatisfy { try cluster.counter($0, "tombstones_purged") == promise.dead })
      }
    }

    @Test("a node whose hints of deletes are lost at those who kept them learns of the deletes all the same")
    func lostHints() throws {
      try TestCluster.with("hints-lost", settings: DeletePromise.settings) { cluster in
        let promise = DeletePromise(cluster: cluster)
        let stores = try deletesWithHints(promise)
        // Of one store all is gone; of the other what the manifest lists.
        try FileTree.remove(stores[0])
        for name in try FileTree.names(in: stores[1]) where name.hasSuffix(".data") {
          try FileTree.remove("\(stores[1])/\(name)")
        }
        try returns(promise)
        #expect(cluster.log(1).contains("store hints-3 is missing: the hints in it are lost"))
        #expect(cluster.log(2).contains("store hints-3 is fenced: ") && cluster.log(2).contains(" in it are lost"))
        #expect(try cluster.setAside(2) == ["hints-3.1"])
      }
    }

    @Test("hints of another node are refused by name, directory or file; put right they are delivered")
    func foreignHints() throws {
      try TestCluster.with("hints-foreign", settings: DeletePromise.settings) { cluster in
        let promise = DeletePromise(cluster: cluster)
        let stores = try deletesWithHints(promise)
        for name in ["", "/000001.data"] {
          try swapFiles(stores[0] + name, stores[1] + name)
          let refused = try cairn(cluster.nodeArguments(1))
          #expect(refused.code == 1)
          #expect(refused.errors.contains("/stores/hints-3/") && refused.errors.contains(" belongs to another "))
          try swapFiles(stores[0] + name, stores[1] + name)
        }
        try returns(promise)
        let delivered = try [1, 2].map { try cluster.counter($0, "hints_delivered") }
        #expect(delivered.reduce(0, +) >= promise.dead, "\(delivered)")
      }
    }

    @Test("what a start makes of files does not rest on hint files, nor on times of files, nor on their order")
    func files() throws {
      let settings = DeletePromise.settings + ["partitions=2", "max_file_size=64KiB", "merge_window=never"]
      try TestCluster.with("files-handled", settings: settings) { cluster in
        // Values and their tombstones stand in several files of each store.
        let promise = DeletePromise(cluster: cluster, bytes: 4000)
        _ = try deletesWithHints(promise)
        let stores = [1, 2].map { "\(cluster.data)/n\($0)/stores" }
        for store in try FileTree.names(in: stores[0]) where store.hasPrefix("p") {
          try mishandle(stores.map { "\($0)/\(store)" })
        }
        try returns(promise)
        #expect(try [1, 2].allSatisfy { try cluster.setAside($0).isEmpty }, "nothing was taken for damage")
      }
    }

    /// n3 is killed, deletes are acknowledged, of which n1 and n2 keep half of the hints each, and both are stopped.
    /// - Returns: The directories of their hints.
    private func deletesWithHints(_ promise: DeletePromise) throws -> [String] {
      let cluster = promise.cluster
      try promise.begin()
      try cluster.local("kill", "3")
      for node in [1, 2] {
        var client = try cluster.client(node)
        for key in 0..<promise.dead where key % 2 == node - 1 { #expect(try client.delete("k\(key)").status == 204) }
      }
      let kept = try [1, 2].map { try cluster.view($0).status["hints"]?["count"]?.integer ?? 0 }
      #expect(kept == [promise.dead / 2, promise.dead / 2])
      for node in [1, 2] { try cluster.local("stop", "\(node)") }
      return [1, 2].map { "\(cluster.data)/n\($0)/stores/hints-3" }
    }

    /// All come back, n3 last.
    private func returns(_ promise: DeletePromise) throws {
      let cluster = promise.cluster
      for node in [1, 2] { try cluster.local("start", "\(node)") }
      // Without n3 nothing is collected, so these are the tombstones that were in the files.
      try promise.tombstonesWait(on: [1, 2])
      // One copy on n3 need not have heard of the deletes yet; a quorum has.
      try promise.watching([1, 2, 3], r: 2...3) {
        try cluster.local("start", "3")
        try promise.holds()
      }
      try eventually("no hint is left") { try cluster.hintsLeft() == 0 }
    }

    /// The first of two owners' stores gets the other one's hint files, and new files from the last to the first; the
    /// other one keeps no hint file.
    private func mishandle(_ stores: [String]) throws {
      let names = try FileTree.names(in: stores[0])
      let hints = names.filter { $0.hasSuffix(".hint") }
      #expect(hints.count > 1, "\(names)")
      for hint in hints {
        try FileTree.remove("\(stores[0])/\(hint)")
        try FileTree.copy("\(stores[1])/\(hint)", to: "\(stores[0])/\(hint)")
        try FileTree.remove("\(stores[1])/\(hint)")
      }
      try FileTree.create("\(stores[0]).copy")
      for (age, name) in names.enumerated().reversed() {
        let copy = "\(stores[0]).copy/\(name)"
        try FileTree.copy("\(stores[0])/\(name)", to: copy)
        #expect(try shell("touch -d '2030-01-01 00:00:00 -\(age) hours' '\(copy)'") == .exited(0))
      }
      try FileTree.remove(stores[0])
      #expect(try shell("mv '\(stores[0]).copy' '\(stores[0])'") == .exited(0))
    }
  }
}

/// Puts each of two files or directories in the place of the other.
private func swapFiles(_ one: String, _ other: String) throws {
  let end = try shell("mv '\(one)' '\(one).swap' && mv '\(other)' '\(one)' && mv '\(one).swap' '\(other)'")
  #expect(end == .exited(0))
}
