import Client
import Platform
import Protocols
import Storage
import Testing

// Deleted keys stay deleted, and their tombstones go away: the schedules under which other stores of this kind bring keys
// back, on real processes. A hint is made late by a slow handoff of long values.

extension SystemTests {
  @Suite struct DeleteTests {
    private static let keys = 200
    private static let settings = [
      "tombstone_hold=200ms", "feed_interval=100ms", "anti_entropy_interval=2s",
    ]

    @Test("hints that reach a node after its tombstones were collected bring nothing back; their values are kept aside")
    func lateHints() throws {
      let slow = ["handoff_rate=64KiB", "hint_retry_interval=1h"]
      try TestCluster.with("late-hints", settings: Self.settings + slow) { cluster in
        try cluster.local("kill", "3")
        try cluster.write(Self.keys, bytes: 8 << 10, through: 1)
        try cluster.local("start", "3")
        try cluster.untilUp()
        try cluster.deleteAll(Self.keys, through: 2)
        try eventually("the deletes are collected") { try (1...3).allSatisfy { try cluster.pending($0) == 0 } }
        #expect(try cluster.hintsLeft() > 0, "some hints are late")
        try cluster.expectGone(Self.keys)
        try eventually("no hint is left") { try cluster.hintsLeft() == 0 }
        try cluster.expectGone(Self.keys)
        try cluster.expectNothingLeft()
        #expect(try cluster.counter(3, "stale_pushes_dropped") > 0)
        #expect(try cluster.quarantined(3) > 0)
      }
    }

    @Test("a node restored from a copy of its directory that is older than the deletes brings nothing back")
    func restored() throws {
      try TestCluster.with("restored", settings: Self.settings) { cluster in
        try cluster.write(Self.keys, bytes: 100, through: 1)
        try cluster.local("stop", "3")
        try FileTree.copy("\(cluster.data)/n3", to: "\(cluster.data)/copy")
        try cluster.local("start", "3")
        try cluster.untilUp()
        try cluster.deleteAll(Self.keys, through: 2)
        try eventually("the deletes are collected") { try (1...3).allSatisfy { try cluster.pending($0) == 0 } }
        try cluster.local("kill", "3")
        try FileTree.remove("\(cluster.data)/n3")
        try FileTree.copy("\(cluster.data)/copy", to: "\(cluster.data)/n3")
        try cluster.local("start", "3")
        for _ in 0..<2 { try cluster.expectGone(Self.keys, mayRefuse: true) }
        try cluster.untilWhole()
        try cluster.expectGone(Self.keys)
        try cluster.expectNothingLeft()
        #expect(try cluster.counter(3, "regressions") > 0)
        #expect(try cluster.quarantined(3) == Self.keys, "what nobody else has is kept aside")
        try cluster.useQuarantine(Self.keys)
      }
    }
  }
}

extension TestCluster {
  /// What operators can do with values in quarantine on node 3.
  fileprivate func useQuarantine(_ count: Int) throws {
    let url = url(3)
    let listed = try cairn("quarantine", "list", "--data", data)
    #expect(listed.code == 0 && listed.outputText.contains("\nn3    test/k"), "\(listed.outputText)")
    #expect(listed.outputText.contains("\ntotal: \(count) values, "))
    #expect(try cairn("quarantine", "--data", data).outputText == listed.outputText)
    let shown = try cairn("quarantine", "show", "test", "k7", "--url", url)
    #expect(shown.code == 0 && shown.outputText.contains("\nvalue 7 "), "\(shown.outputText)\(shown.errors)")

    let again = try cairn("quarantine", "re-put", "test", "k7", "--url", url)
    #expect(again.code == 0 && again.outputText == "wrote 1 value anew\n", "\(again.errors)")
    var client = try client(1)
    #expect(try client.get("k7").status == 200)
    let asked = try cairn("quarantine", "drop", "test", "k8", "--url", url)
    #expect(asked.code == 2 && asked.errors.hasPrefix("cairn: this forgets the value of test/k8 for ever\n  add --yes"))
    #expect(try quarantined(3) == count - 1, "nothing was dropped")
    let dropped = try cairn("quarantine", "drop", "test", "k8", "--yes", "--url", url)
    #expect(dropped.code == 0 && dropped.outputText == "dropped 1 value\n", "\(dropped.errors)")
    #expect(try client.get("k8").status == 404)
    #expect(try quarantined(3) == count - 2)
    for words in [["show"], ["re-put"], ["drop", "--yes"]] {
      let none = try cairn(["quarantine"] + words + ["test", "k8", "--url", url])
      #expect(none.code == 1 && none.errors == "cairn: test/k8 is not in quarantine on any of these nodes\n")
    }
    let unclear = try cairn("quarantine", "re-put", "--url", url)
    #expect(unclear.code == 2 && unclear.errors.hasPrefix("cairn: re-put needs BUCKET and KEY, or --all\n"))
    #expect(try cairn("quarantine", "list", "--from", "0", "--data", data).code == 2)
    #expect(try cairn("quarantine", "drop", "--all", "--data", data).code == 2)
    #expect(try cairn("quarantine", "drop", "--all", "--yes", "--data", data).code == 0)
    #expect(try cairn("quarantine", "--data", data).outputText == "nothing is in quarantine\n")
  }
}
