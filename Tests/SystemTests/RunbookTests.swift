import Client
import Platform
import Protocols
import Testing

// Each event of Docs/Operations happens, and its page is followed to the end: every command on it is typed and says what the
// page shows. What the page promises is looked at beside it.

extension SystemTests {
  @Suite struct RunbookTests {
    @Test("NodeLost.md: a node whose disk is gone is filled on an empty one, and brings no deleted key back")
    func nodeLost() throws {
      try Runbook.with("Operations/NodeLost") { cluster, book in
        try cluster.write(["apple", "pear", "plum", "fig"])
        try cluster.local("kill", "3")
        try FileTree.remove("\(cluster.data)/n3")
        try book.play("What you see")
        try book.play("What to run")
        try book.play("How you know that it is over")
        try cluster.untilWhole()
        try cluster.expectKeys(there: ["pear", "plum", "fig"], gone: ["apple"])
      }
    }

    @Test(
      "NodeRestored.md: a node that was put back from an old copy is made anew, and an operator decides about the rest")
    func nodeRestored() throws {
      try Runbook.with("Operations/NodeRestored") { cluster, book in
        try cluster.write(["apple", "pear", "plum", "fig"])
        try cluster.local("stop", "3")
        try FileTree.copy("\(cluster.data)/n3", to: "\(cluster.data)/copy")
        try cluster.local("start", "3")
        try cluster.untilUp()
        try cluster.delete("apple")
        try eventually("the delete is collected") { try (1...3).allSatisfy { try cluster.pending($0) == 0 } }
        try cluster.restore(3, from: "\(cluster.data)/copy")
        try book.play("What you see")
        try book.play("What to run")
        try book.play("How you know that it is over")
        try cluster.expectKeys(there: ["pear", "plum", "fig"], gone: ["apple"])
      }
    }

    @Test(
      "ClockWrong.md: a node whose clock is wrong is pointed out, serves, and is right again as soon as its clock is")
    func clockWrong() throws {
      let trace = try DiskTrace("runbook-clock", syncMilliseconds: 0)
      try Runbook.with("Operations/ClockWrong", environment: trace.environment) { cluster, book in
        try trace.putForward(cluster.process(3), seconds: 120)
        try book.play("What you see")
        try trace.putForward(cluster.process(3), seconds: nil)
        try book.play("How you know that it is over")
        try cluster.expectKeys(there: ["pear"], gone: ["apple"])
      }
    }

    @Test("TombstonesPileUp.md: what an owner that is away keeps is told, and goes when it is back")
    func tombstonesPileUp() throws {
      try Runbook.with("Operations/TombstonesPileUp") { cluster, book in
        let keys = (0..<20).map { "k\($0)" }
        try cluster.write(keys + ["pear"])
        try cluster.local("kill", "3")
        for key in keys { try cluster.delete(key) }
        try book.play("What you see")
        try book.play("What to run")
        try book.play("How you know that it is over")
        try cluster.expectKeys(there: ["pear"], gone: keys)
      }
    }

    @Test("DiskFull.md: with full disks puts are refused and deletes go on; with room nothing has to be started again")
    func diskFull() throws {
      let settings = ["max_file_size=4MiB", "disk_reserve=8MiB"]
      try Runbook.with("Operations/DiskFull", settings: settings) { cluster, book in
        let disks = [2, 3].map { "\(cluster.data)/n\($0)" }
        defer { for disk in disks { _ = try? shell("umount -l \(disk)") } }
        for (node, disk) in zip([2, 3], disks) {
          try cluster.local("stop", "\(node)")
          guard try shell("rm -r \(disk)/* && mount -t tmpfs -o size=64m cairn-test \(disk)") == .exited(0) else {
            print("SKIPPED: the test of Docs/Operations/DiskFull.md, because nothing can be mounted here")
            return book.skip()
          }
          try cluster.local("start", "\(node)")
          try cluster.untilWhole()
        }
        try cluster.write(["apple", "pear", "plum", "fig"])
        let processes = try cluster.pids()
        try cluster.fill(disks[1])
        try book.play("What you see")
        try cluster.fill(disks[0])
        try book.play("When two of them are full")
        try book.play("What to run")
        for disk in disks { try FileTree.remove("\(disk)/ballast") }
        try book.play("How you know that it is over")
        #expect(try cluster.pids() == processes, "nothing was started again")
        try cluster.expectKeys(there: ["apple", "pear", "plum", "lime", "kiwi"], gone: ["fig"])
        try cluster.local("down")
      }
    }

    @Test("Delete.md: the example at its beginning")
    func example() throws {
      try Runbook.with("Delete") { cluster, book in
        try cluster.write(["apple"])
        try book.play("")
        try cluster.expectKeys(there: [], gone: ["apple"])
      }
    }

    @Test("a page that shows something else than the command says is found out, and numbers alone are not")
    func agreement() {
      func agrees(_ shown: String, _ said: String) -> Bool {
        Runbook.agree(shown.split(separator: "\n"), said.split(separator: "\n"))
      }
      let row = "n1    p038-n3  1        56 B   2 s     n3 is down, not heard for 4 s: not connected"
      #expect(agrees(row, row))
      #expect(agrees(row, "n1 p002-n3 1,204 94.1 KiB 3 h n3 is down, not heard for 3 min: not connected"))
      #expect(!agrees(row, row.replacing("n3 is", with: "n2 is")))
      #expect(!agrees(row, row.replacing("not connected", with: "")))
      #expect(!agrees(row, row + "\n" + row) && !agrees(row, "") && !agrees("", row))
      #expect(agrees("…\n\(row)", "a\nb\n\(row)") && agrees("\(row)\n…", row) && !agrees("…\n\(row)\nb", row))
      let log = "2026-11-26T18:04:56.562Z warning n3 the disk is full: 4 MiB are free (2 %), until 10 MiB are free"
      #expect(
        agrees(log, log.replacing("26T18:04:56.562Z", with: "27T08:04:06.001Z").replacing("4 MiB", with: "1.5 KiB")))
      #expect(!agrees(log, log.replacing("until", with: "til")) && !agrees(log, log.replacing("n3", with: "n1")))
      #expect(agrees("get http://127.0.0.1:10018 {\"merges\":4}", "get http://127.0.0.1:20338 {\"merges\":17}"))
      #expect(agrees("no: 1 of 2; n2: full; n3: full", "no: 1 of 2; n3: full; n2: full") && !agrees("a; b", "a; c"))
      #expect(agrees("n2 up 64 -1 ms", "n2 up 64 +12 ms") && !agrees("n2 up 64 -1 ms", "n2 up 64 -"))
      let page = "## A\n```console\n$ x 1\nsaid\n$ y\ncairn: no\n```\n## B\n```text\n$ z\n```\n```console\n$ z\n```\n"
      let steps = Runbook.steps(in: page)
      #expect(steps.map(\.command) == ["x 1", "y", "z"] && steps.map(\.section) == ["A", "A", "B"])
      #expect(steps.map(\.shown) == [["said"], ["cairn: no"], []] && steps.map(\.fails) == [false, true, false])
    }
  }
}

extension TestCluster {
  private func fruit(_ key: String) -> String { objectPath(type: nil, bucket: "fruit", key: key) }

  /// Puts keys of the bucket that the pages use, on all nodes.
  fileprivate func write(_ keys: [String]) throws {
    var client = try client(1)
    for key in keys {
      let answer = try client.send(
        "PUT", fruit(key) + "?w=3", headers: [("Content-Type", "text/plain; charset=utf-8")], body: Array("red".utf8))
      #expect(answer.status == 204, "\(key)")
    }
  }

  fileprivate func delete(_ key: String) throws {
    var client = try client(1)
    #expect(try client.send("DELETE", fruit(key)).status == 204, "\(key)")
  }

  /// Leaves less room on a small file system than the reserve, and some.
  fileprivate func fill(_ disk: String) throws {
    #expect(try shell("head -c 59M /dev/zero > \(disk)/ballast") == .exited(0))
  }

  fileprivate func expectKeys(there: [String], gone: [String]) throws {
    for node in 1...3 {
      var client = try client(node)
      for r in 1...3 {
        for key in there { #expect(try client.send("GET", fruit(key) + "?r=\(r)").status == 200, "\(key) at r=\(r)") }
        for key in gone { #expect(try client.send("GET", fruit(key) + "?r=\(r)").status == 404, "\(key) at r=\(r)") }
      }
    }
  }
}
