import Primitives
import Protocols
import Testing

@testable import cairn

@Suite struct ClusterReportTests {
  private static let names = ["n1", "n2", "n3"]

  /// What a node of a three-node cluster of four partitions says when all is well, but for what the arguments change.
  private func view(
    _ name: String, state: String = "serving", links: [String: String] = [:], offsets: [String: Int] = [:],
    roles: [Int: String] = [:], inDoubt: Bool = false, cluster: String = "c", damaged: [String] = [], copies: Int = 3,
    freeMebibytes: Int = 9000, refusesPuts: Bool = false
  ) -> NodeView {
    let peers = Self.names.filter { $0 != name }.map { peer in
      JSON.object([
        "name": .string(peer), "link": .string(links[peer] ?? "up"),
        "reason": .string(links[peer] == nil ? "" : "not connected"), "silent_ms": .integer(12_345),
        "clock_offset_ms": .integer(offsets[peer] ?? 1),
      ])
    }
    let stores = (0..<4).map { partition in
      JSON.object([
        "store": .string("p00\(partition)-n3"), "partition": .integer(partition),
        "role": .string(roles[partition] ?? "active"),
      ])
    }
    let members = Self.names.map {
      JSON.object(["name": .string($0), "address": .string("127.0.0.1:1"), "partitions": .integer(4)])
    }
    let owners = (0..<4).map { partition in
      JSON.array((0..<copies).map { .string(Self.names[(partition + $0) % 3]) })
    }
    return NodeView(
      url: "http://\(name)",
      status: .object([
        "name": .string(name), "state": .string(state), "reason": .string(state == "serving" ? "" : "opening"),
        "cluster_id": .string(cluster), "keys_live": .integer(7), "tombstones": .integer(2),
        "memory_bytes": .integer(15 << 20), "clock_in_doubt": .bool(inDoubt), "peers": .array(peers),
        "disk": .object(["free_bytes": .integer(freeMebibytes << 20), "puts_refused": .bool(refusesPuts)]),
        "stores": .array(stores), "recovery": .object(["damaged": .array(damaged.map { .string($0) })]),
      ]),
      members: .object(["members": .array(members)]),
      ring: .object([
        "epoch": .integer(1), "partitions": .integer(4), "n_val": .integer(copies), "owners": .array(owners),
      ]))
  }

  private func problems(_ views: NodeView..., unreachable: [String] = []) -> [String] {
    ClusterReport(views, unreachable: unreachable).problems
  }

  @Test("a healthy cluster has a row per member and no problem; who was not asked shows no figures")
  func healthy() {
    let report = ClusterReport([view("n1"), view("n3")], unreachable: [])
    #expect(report.problems == [])
    #expect(report.rows.map(\.name) == Self.names)
    #expect(report.rows[0].cells == ["n1", "127.0.0.1:1", "serving", "(asked)", "4", "7", "2", "-", "15 MiB"])
    #expect(report.rows[1].cells == ["n2", "127.0.0.1:1", "-", "up", "4", "-", "-", "+1 ms", "-"])
    #expect(report.text.contains("nothing is wrong, as n1 sees it"))
    #expect(report.json["problems"]?.array == [] && report.json["members"]?.array?.count == 3)
  }

  @Test("one of three down: who, since when, why, and that one more is too many")
  func oneDown() {
    #expect(
      problems(view("n1", links: ["n2": "down"])) == [
        "n2 is down for n1, not heard for 12 s: not connected",
        "reads and writes go on; one more node down and all 4 partitions have fewer than 2 of their 3 owners",
      ])
  }

  @Test("two of three down: what fails")
  func twoDown() {
    #expect(
      problems(view("n1", links: ["n2": "down", "n3": "refused"])).last
        == "all 4 partitions have fewer than 2 of their 3 owners: reads and writes there fail until one is back")
  }

  @Test("a member that answers itself counts as up, whatever another one sees, and one that starts does not")
  func disagreement() {
    let seen = problems(view("n1", links: ["n2": "down"]), view("n2"))
    #expect(seen == ["n2 is down for n1, not heard for 12 s: not connected"])
    let starting = problems(view("n1"), view("n2", state: "starting"))
    #expect(starting.first == "n2 does not serve yet: opening")
    #expect(starting.last?.hasPrefix("reads and writes go on; one more node down") == true)
  }

  @Test("stores that are not active are named, and count as missing owners of their partitions only")
  func stores() {
    let found = problems(view("n1", roles: [1: "fenced", 2: "loading"]))
    #expect(
      found == [
        "n1: 2 of 4 stores not active: p001-n3 (fenced), p002-n3 (loading)",
        "reads and writes go on; one more node down and 2 of 4 partitions have fewer than 2 of their 3 owners",
      ])
    let both = problems(view("n1", links: ["n2": "down"], roles: [1: "fenced"]))
    #expect(both.contains { $0.hasPrefix("1 of 4 partitions have fewer than 2") })
    #expect(both.contains { $0.hasPrefix("reads and writes elsewhere go on; one more node down and 3 of 4") })
    let damaged = problems(view("n1", damaged: ["store p001-n3: x"]))
    #expect(damaged == ["n1 found damage when it started: store p001-n3: x"])
  }

  @Test("one that does not answer is told as such, and counts as missing")
  func suspect() {
    let found = problems(view("n1", links: ["n2": "suspect"]))
    #expect(found.first == "n2 does not answer n1, and is routed around: not connected")
    #expect(found.contains { $0.hasPrefix("reads and writes go on; one more node down") })
    let report = ClusterReport([view("n1", links: ["n2": "suspect"])], unreachable: [])
    #expect(report.rows[1].cells[3] == "suspect")
  }

  @Test("with one copy, or two, a quorum that is complete is no risk")
  func fewCopies() {
    #expect(problems(view("n1", copies: 1)) == [])
    #expect(problems(view("n1", copies: 2)) == [])
    let down = problems(view("n1", links: ["n2": "down"], copies: 1))
    #expect(down.last?.contains("fewer than 1 of their 1 owners") == true)
  }

  @Test("clocks: one in doubt, and those that are too far from the asked node's")
  func clocks() {
    #expect(problems(view("n1", offsets: ["n2": 30_000, "n3": -30_000])) == [])
    #expect(
      problems(view("n1", offsets: ["n2": 45_000, "n3": -30_001], inDoubt: true)) == [
        "n1 doubts its own clock, and hands the writes it should coordinate to others: set its clock",
        "the clock of n2 is 45 s ahead of that of n1", "the clock of n3 is 30 s behind that of n1",
      ])
  }

  @Test("a disk that is full is a problem of the node that says so")
  func fullDisk() {
    #expect(problems(view("n1", freeMebibytes: 300)) == [])
    #expect(
      problems(view("n1", freeMebibytes: 300, refusesPuts: true)) == [
        "the disk of n1 is full (300 MiB are free), and it refuses puts: make room there"
      ])
  }

  @Test("a URL that does not answer, or leads to another cluster, is a problem and changes nothing else")
  func strangers() {
    let found = problems(view("n1"), view("n2", cluster: "other"), unreachable: ["cannot reach http://x"])
    #expect(found == ["cannot reach http://x", "http://n2 (n2) belongs to another cluster than http://n1"])
    #expect(ClusterReport([view("n1"), view("n2", cluster: "other")], unreachable: []).rows[1].own == nil)
  }

  @Test("what a node says cannot move the cursor")
  func hostile() {
    let report = ClusterReport([view("n1", damaged: ["a\u{1B}[2Jb\nc"])], unreachable: [])
    #expect(report.text.contains("a\\u{1B}[2Jb\\nc"))
  }

  @Test("durations have one unit")
  func durations() {
    for (milliseconds, text) in [
      (0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (119_999, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"),
      (172_800_000, "2 d"),
    ] { #expect(durationText(milliseconds: milliseconds) == text) }
  }
}
